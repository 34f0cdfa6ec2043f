"""The packet filter is what it should be, also after somebody else changed it."""
import json
import subprocess
import time

import pytest

from harness.wait import wait_for


def nft(*args, check=True):
    return subprocess.run(["nft", *args], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=check).stdout


def table(stack):
    """The table without what changes by itself: handles, and the counters' numbers."""
    out = []
    for entry in json.loads(nft("-j", "-s", "list", "table", "inet", stack.instance))["nftables"]:
        (kind, what), = entry.items()
        if kind != "metainfo":
            what.pop("handle", None)
            what["elem"] = sorted(map(json.dumps, what.get("elem", []))) if "dynamic" not in what.get("flags", []) else []
            out.append(json.dumps({kind: what}, sort_keys=True))
    return out


def first(stack, kind, **like):
    for entry in json.loads(nft("-j", "-a", "list", "table", "inet", stack.instance))["nftables"]:
        what = entry.get(kind)
        if what and like.items() <= what.items():
            return what
    raise AssertionError(f"there is no {kind} {like}")


def cut_element(stack, name):
    element = first(stack, "set", name=name)["elem"][0]
    text = " . ".join(map(str, element["concat"]))
    nft("delete", "element", "inet", stack.instance, name, "{ " + text + " }")


CHANGES = {
    "table": lambda s: nft("delete", "table", "inet", s.instance),
    "rule": lambda s: nft("delete", "rule", "inet", s.instance, (r := first(s, "rule"))["chain"], "handle", str(r["handle"])),
    "rule added": lambda s: nft("insert", "rule", "inet", s.instance, first(s, "rule")["chain"], "accept"),
    "element": lambda s: cut_element(s, "src"),
    "element added": lambda s: nft("add", "element", "inet", s.instance, "src", '{ "zzz0" . 10.0.0.9 }'),
    "private ranges": lambda s: nft("flush", "set", "inet", s.instance, "priv"),
    "dormant": lambda s: nft("add", "table", "inet", s.instance, "{ flags dormant; }"),
}


def mended(stack):
    return stack.log_text("runtime").count("somebody changed the packet filter")


@pytest.mark.parametrize("change", CHANGES)
def test_what_somebody_changes_is_mended(stack, api, container, change):
    before, said = table(stack), mended(stack)
    CHANGES[change](stack)
    wait_for(lambda: mended(stack) > said and table(stack) == before, what="the table is as before")
    assert api.get(f"/api/containers/{container['container_id']}/ready")["network_ready"]


def test_nothing_is_mended_that_is_whole(stack, api, container, make_container):
    """Containers come and go, counters count, and the runtime compares each second: none of it is taken for a change."""
    said, until, lives = mended(stack), time.monotonic() + 4, 0
    while time.monotonic() < until or lives < 4:
        assert api.delete(f"/api/containers/{make_container()['container_id']}").status == 200
        lives += 1
    assert mended(stack) == said
