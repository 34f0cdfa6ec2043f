"""Archives that attack, made by Python's tarfile: into a running container and a volume, and nothing beside them may change."""
import gzip
import io
import os
import tarfile
import threading

import pytest

from harness.fixtures import fresh_name
from harness.wait import wait_for

GZIP = {"Content-Type": "application/gzip"}


def info(name, kind=tarfile.REGTYPE, link="", mode=0o644, size=0, uid=0, pax=None):
    t = tarfile.TarInfo(name)
    t.type, t.linkname, t.mode, t.size, t.uid, t.gid = kind, link, mode, size, uid, uid
    t.pax_headers = pax or {}
    return t


def archive(*members, fmt=tarfile.PAX_FORMAT):
    """MEMBERS: (TarInfo, content). Compressed by hand, that tarfile has no say in it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=fmt) as t:
        for member, content in members:
            member.size = len(content)
            t.addfile(member, io.BytesIO(content))
    return gzip.compress(out.getvalue(), 1)


FIRST = (info("first"), b"must not be written")
SYM, LNK, CHR, BLK, FIFO, DIR = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE)

# Each holds a good member first; refused before that is written.
EVIL = {
    "absolute": [(info("/evil"), b"x")],
    "dotdot": [(info("../evil"), b"x")],
    "dotdot inside": [(info("a/../../evil"), b"x")],
    "dotdot by pax": [(info("plain", pax={"path": "../../evil"}), b"x")],
    "long dotdot": [(info("../" * 200 + "evil"), b"x")],
    "link out": [(info("l", SYM, "/etc"), b"")],
    "link up": [(info("l", SYM, "../../.."), b"")],
    "link up by way": [(info("d/e", SYM, ".."), b""), (info("l", SYM, "d/e/../.."), b"")],
    "through a link": [(info("l", SYM, "."), b""), (info("l/evil"), b"x")],
    "through a link by case": [(info("a/l", SYM, "../a"), b""), (info("./a//l/evil"), b"x")],
    "hard link out": [(info("h", LNK, "/etc/passwd"), b"")],
    "hard link up": [(info("h", LNK, "../../etc/passwd"), b"")],
    "hard link through a link": [(info("l", SYM, "."), b""), (info("h", LNK, "l/first"), b"")],
    "char device": [(info("null", CHR), b"")],
    "block device": [(info("disk", BLK), b"")],
    "fifo": [(info("pipe", FIFO), b"")],
    "deep": [(info("d/" * 200 + "f"), b"x")],
    "long": [(info("x" * 300), b"x")],
}


@pytest.mark.parametrize("kind", EVIL)
def test_refused_before_anything_is_written(api, container, kind):
    c = container["container_id"]
    op = api.operation(api.post(f"/api/containers/{c}/archive?path=/in/here", archive(FIRST, *EVIL[kind]), headers=GZIP))
    assert op["status"] == "failed" and op["reason_code"] == "ARCHIVE_REFUSED", op
    assert "/tmp/qt" not in op["error"] and "/var/lib" not in op["error"], op
    seen = api.exec(c, "/bin/sh", "-c", "ls -a /in /evil /in/evil 2>/dev/null; test -e /in/here/first && echo written; true")
    assert seen["stdout"] == "", seen


def test_what_is_taken_and_how(api, container):
    c = container["container_id"]
    data = archive(
        (info("suid", mode=0o6755, uid=4294967295), b"#!/bin/sh\n"),
        (info("sticky", DIR, mode=0o7777), b""),
        (info("x", pax={"SCHILY.xattr.trusted.overlay.opaque": "y", "SCHILY.xattr.user.overlay.redirect": "/", "LIBARCHIVE.xattr.security.capability": "AQAAAgAgAAAAAAAA"}), b"x"),
        (info("lib/v1", mode=0o444), b"1"), (info("lib/now", SYM, "v1"), b""), (info("bin/lib", SYM, "../lib/now"), b""), (info("again", LNK, "lib/v1"), b""),
        (info("n" * 200 + "/" + "m" * 200), b"long"),
    )
    for fmt in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        assert api.operation(api.post(f"/api/containers/{c}/archive?path=/t", data, headers=GZIP))["status"] == "succeeded"
        data = archive((info("n" * 200 + "/" + "m" * 200), b"long"), fmt=fmt)
    out = api.exec(c, "/bin/sh", "-c", "cd /t; stat -c '%n %a %u %g %h' suid x lib/v1 again; stat -c '%n %a' sticky; cat bin/lib; cat n*/m*")["stdout"]
    assert out == "suid 755 0 0 1\nx 644 0 0 1\nlib/v1 444 0 0 2\nagain 444 0 0 2\nsticky 777\n1long", out


def test_bombs(api, container):
    c = container["container_id"]
    zeros = archive((info("zeros"), bytes(96 << 20)))
    for data in (zeros, gzip.compress(zeros)):
        op = api.operation(api.post(f"/api/containers/{c}/archive?path=/z", data, headers=GZIP))
        assert op["status"] == "failed" and op["reason_code"] == "ARCHIVE_REFUSED", op
    # A file of a terabyte that is a hole, by its header.
    sparse = io.BytesIO()
    with tarfile.open(fileobj=sparse, mode="w", format=tarfile.PAX_FORMAT) as t:
        t.addfile(info("hole", pax={"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "hole", "GNU.sparse.realsize": str(1 << 40)}, size=0))
    op = api.operation(api.post(f"/api/containers/{c}/archive?path=/z", gzip.compress(sparse.getvalue()), headers=GZIP))
    assert op["status"] == "failed" and op["reason_code"] == "ARCHIVE_REFUSED", op
    assert api.exec(c, "ls", "/z")["exit_code"] != 0


def test_a_full_disk_is_told(api, make_container):
    """/tmp of a strict container has 64 MiB."""
    c = make_container(strict=True)["container_id"]
    data = archive((info("a"), b"1"), (info("b"), (os.urandom(64) + bytes(2000)) * 36000))
    op = api.operation(api.post(f"/api/containers/{c}/archive?path=/tmp", data, headers=GZIP))
    assert op["status"] == "failed" and op["reason_code"] == "INSUFFICIENT_STORAGE", op
    assert "1 members" in op["error"], op
    assert api.exec(c, "cat", "/tmp/a")["stdout"] == "1"


def test_garbage(api, container):
    """Cut and flipped archives: an answer every time, and everybody lives."""
    c = container["container_id"]
    good = gzip.decompress(archive((info("a/b"), b"x" * 3000), (info("l", SYM, "a"), b""), (info("n" * 150), b"y")))
    ops = []
    for i in range(0, 1400, 97):
        bad = bytearray(good)
        bad[i] ^= 0x81
        ops.append(api.post(f"/api/containers/{c}/archive?path=/g{i}", bytes(bad[: len(bad) - i]), headers={"Content-Type": "application/x-tar"}))
    for r in ops:
        assert api.operation(r)["status"] in ("succeeded", "failed")
    assert api.exec(c, "/bin/true")["exit_code"] == 0


def test_a_container_that_swaps_links_meanwhile(api, stack, volume_pair):
    """security.md V10: a directory that becomes a link and back, while archives and files are written below it. Whoever wins, it stays inside."""
    volume, c = volume_pair
    canary = f"{stack.dir}/canary"
    with open(canary, "w", encoding="utf-8") as f:
        f.write("canary")
    up = "../" * 12 + canary.rsplit("/", 1)[0].lstrip("/")
    api.exec(c, "/bin/sh", "-c", f"cd /data; mkdir real; ln -s {up} out; (while :; do mv real d; mv d real; mv out d; mv d out; done) >/dev/null 2>&1 &")
    stop = threading.Event()

    def write():
        while not stop.is_set():
            api.post(f"/api/volumes/{volume}/files", {"path": "d/canary", "content": "ZXZpbA=="})

    t = threading.Thread(target=write)
    t.start()
    try:
        data = archive(*[(info(f"d/canary{i % 5}"), b"evil") for i in range(300)], (info("d/canary"), b"evil"))
        for _ in range(5):
            assert api.operation(api.post(f"/api/volumes/{volume}/archive", data, headers=GZIP))["status"] in ("succeeded", "failed")
            api.get(f"/api/volumes/{volume}/files/d/canary?raw=1")
    finally:
        stop.set()
        t.join()
    with open(canary, encoding="utf-8") as f:
        assert f.read() == "canary"
    assert not [n for n in os.listdir(stack.dir) if n.startswith("canary") and n != "canary"]
    os.unlink(canary)


@pytest.fixture
def volume_pair(api, make_container):
    name = fresh_name("vol")
    assert api.post("/api/volumes", {"name": name}).status == 201
    c = api.post("/api/containers", {"name": fresh_name(), "image": "busybox", "volumes": [f"{name}:/data"]})
    assert c.status == 201, c
    c = c["container_id"]
    yield name, c
    assert api.delete(f"/api/containers/{c}?timeout_ms=0").status == 200
    wait_for(lambda: api.delete(f"/api/volumes/{name}?execution=sync").status in (200, 404), what=f"{name} is deleted")
