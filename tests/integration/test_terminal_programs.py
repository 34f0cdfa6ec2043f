"""Terminals as people use them: vim, tmux and bash's job control, seen through a terminal emulator."""
import os
import re

import pytest

from harness.fixtures import fresh_name
from harness.oci import Image, Registry, host_layer
from harness.terminal import Screen, Terminal
from harness.wait import wait_for


@pytest.fixture(scope="module")
def programs(api):
    """A container of an image with bash, vim and tmux."""
    registry = Registry()
    image = Image([host_layer("bash", "vim.tiny", "tmux", "sleep", "stty", "cat", "ls")], config={"Env": ["PATH=/usr/bin", "LC_ALL=C.UTF-8", "PS1=$ "]})
    reference = registry.push("tests/programs", "1", image)
    r = api.post("/api/oci/images/pull", {"reference": reference})
    assert r.status == 200, r
    c = api.post("/api/containers", {"name": "programs", "image": r["image"]["reference"], "oci": True})
    assert c.status == 201, c
    yield c["container_id"]
    wait_for(lambda: api.delete(f"/api/containers/{c['container_id']}?timeout_ms=0").status in (200, 404), what="the container is deleted")
    wait_for(lambda: api.delete(f"/api/oci/images?reference={reference}").status in (200, 404), what="the image is deleted")
    registry.close()


def commands(api, cid):
    return [p["command"] for p in api.get(f"/api/containers/{cid}/processes")["processes"]]


def in_foreground(cid, command):
    """Is COMMAND of the container in the foreground of its terminal?"""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", encoding="ascii") as f, open(f"/proc/{pid}/cgroup", encoding="ascii") as g, \
                    open(f"/proc/{pid}/stat", encoding="ascii") as h:
                if f.read().split("\0")[:-1] == command.split() and cid in g.read():
                    fields = h.read().rpartition(")")[2].split()
                    return fields[2] == fields[5]  # process group; the terminal's foreground
        except (OSError, UnicodeDecodeError):
            continue
    return False


def test_vim(api, programs):
    poem = f"/tmp/{fresh_name('poem')}"
    with Terminal(api, f"container_id={programs}&cols=80&rows=24") as t:
        s = Screen(t)
        assert t.message("ready")["shell"] == "/bin/bash"
        t.type(f"vim.tiny -N -u NONE -c 'set showmode' {poem}\n")
        s.until(lambda s: "[New" in s.display[23] and s.display[1][0] == "~" and s.display[22][0] == "~", "vim's empty screen")
        t.type("iroses are red\n" + "x" * 120 + "\n\u00e4\u20ac end")
        s.until(lambda s: "-- INSERT --" in s.display[23] and s.display[0].startswith("roses are red"), "insert mode")
        s.until(lambda s: s.display[1] == "x" * 80 and s.display[2].rstrip() == "x" * 40 and s.display[3].startswith("\u00e4\u20ac end"), "a long line wraps at 80 columns")
        t.type("\x1b")
        s.until(lambda s: "INSERT" not in s.text, "no mode")
        s.change(200, 50)
        s.until(lambda s: s.display[1].rstrip() == "x" * 120 and s.display[2].startswith("\u00e4") and s.display[48][0] == "~", "200 columns, 50 lines")
        t.type(":1s/red/blue/\n")
        s.until(lambda s: s.display[0].startswith("roses are blue"), "a change")
        t.type(":wq\n")
        s.until(lambda s: "3L, 146B written" in s.text and s.display[s.cursor.y].startswith("$ "), "the shell again")
        assert api.exec(programs, "cat", poem)["stdout"] == "roses are blue\n" + "x" * 120 + "\n\u00e4\u20ac end\n"
        t.type("exit\n")
        assert t.until_closed() == 1000


def test_tmux(api, programs):
    with Terminal(api, f"container_id={programs}&cols=80&rows=24") as t:
        s, session = Screen(t), t.message("ready")["session_id"]
        t.type("tmux -u new -s work\n")
        s.until(lambda s: s.display[23].startswith("[work]"), "tmux's status line")
        t.type("echo in''first; stty size\n")
        s.until(lambda s: "infirst" in s.text and "23 80" in s.text, "the first pane")
        t.type("\x02%")
        s.until(lambda s: all(line[40] == "\u2502" for line in s.display[:23]), "a split at column 40")
        t.type("stty size\n")
        s.wait_for("23 39")
        s.change(200, 50)
        s.until(lambda s: s.display[49].startswith("[work]") and [m.start() for m in re.finditer("\u2502", s.display[0])] in ([99], [100]), "200 columns, 50 lines")
        t.type("until [[ $(stty size) == 49* ]]; do sleep 0.05; done; stty size\n")  # tmux draws first, and tells the pane later
        s.until(lambda s: re.search(r"49 (99|100)\b", s.text), "the pane's new size")
    # The client is gone without a word; the next one sees what was there.
    with Terminal(api, f"session_id={session}") as t:
        s = Screen(t, 200, 50)
        s.until(lambda s: s.display[49].startswith("[work]") and "infirst" in s.text, "the same screen, out of the scrollback")
        t.type("\x02d")
        s.wait_for("[detached (from session work)]")
        t.type("tmux -u attach -t work\n")
        s.until(lambda s: s.display[49].startswith("[work]") and "infirst" in s.text, "tmux's session again")
        t.type("\x02x")
        s.until(lambda s: "kill-pane" in s.display[49], "tmux asks")
        t.type("y")
        s.until(lambda s: "\u2502" not in s.text and "infirst" in s.text, "one pane")
        t.type("tmux kill-server\n")
        s.until(lambda s: "[server exited]" in s.text or "[exited]" in s.text, "tmux's end")
        wait_for(lambda: not any("tmux" in c for c in commands(api, programs)), what="tmux's processes are gone")
        t.type("exit\n")
        assert t.until_closed() == 1000


def test_job_control_of_bash(api, programs):
    def run(*which):
        return wait_for(lambda: {c for c in commands(api, programs) if c.startswith("sleep")} == {f"sleep {n}" for n in which}, what=f"{which} run")

    with Terminal(api, f"container_id={programs}") as t:
        t.run("sleep 4001 & echo b''g", "bg")
        t.type("sleep 4002; echo after-$?\n")
        run(4001, 4002)
        t.type("\x03")  # the one in the foreground alone, and bash goes on
        t.run("echo st''ill", "still")
        run(4001)
        assert b"after-" not in t.out.replace(b"after-$?", b"")  # Ctrl-C ends the line, too
        t.run("sleep 4003 & echo thi''rd", "third")
        t.type("fg %1; echo fg-$?\n")
        wait_for(lambda: in_foreground(programs, "sleep 4001"), what="the first is in the foreground")
        t.type("\x1a")
        t.wait_for(b"Stopped")
        t.run("bg %1; echo ba''ck", "back")
        run(4001, 4003)
        t.type("fg %2; echo code-$?\n")
        wait_for(lambda: in_foreground(programs, "sleep 4003"), what="the second is in the foreground")
        assert not in_foreground(programs, "sleep 4001")
        t.type("\x03")
        run(4001)
        t.run("kill %1; wait; echo go''ne", "gone")
        run()
        t.type("exit\n")
        assert t.until_closed() == 1000
