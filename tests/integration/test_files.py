"""Files in volumes and archives into containers and volumes: contract 8, over HTTPS, with a real stack."""
import base64
import concurrent.futures
import gzip
import io
import json
import os
import tarfile
import threading

import pytest

from harness.fixtures import fresh_name
from harness.wait import wait_for

from test_refusals import refused

GZIP = {"Content-Type": "application/gzip"}
TAR = {"Content-Type": "application/x-tar"}
BYTES = {"Accept": "application/octet-stream"}


def b64(data):
    return base64.b64encode(data).decode()


def tar(members, mode="w:gz"):
    """MEMBERS: (name, content) or (name, None) for a directory, or a TarInfo."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as t:
        for m in members:
            if isinstance(m, tarfile.TarInfo):
                t.addfile(m)
                continue
            info = tarfile.TarInfo(m[0])
            info.mode = 0o755 if m[1] is None else 0o640
            info.type = tarfile.DIRTYPE if m[1] is None else tarfile.REGTYPE
            info.size = len(m[1] or b"")
            t.addfile(info, io.BytesIO(m[1] or b""))
    return out.getvalue()


def upload(api, where, data, query="", headers=GZIP):
    return api.operation(api.post(f"/api/{where}/archive{query}", data, headers=headers))


@pytest.fixture
def volume(api):
    name = fresh_name("vol")
    r = api.post("/api/volumes", {"name": name})
    assert r.status == 201, r
    yield name
    wait_for(lambda: api.delete(f"/api/volumes/{name}?execution=sync").status in (200, 404), what=f"{name} is deleted")


# --- archives into containers ----------------------------------------------------------------------------


def test_an_archive_is_there_for_the_next_exec(api, container):
    c = container["container_id"]
    data = tar([("top", None), ("top/run.sh", b"#!/bin/sh\necho unpacked\n"), ("top/deep/er/file", b"x" * 100000)])
    r = api.post(f"/api/containers/{c}/archive", {"content": b64(data), "path": "/srv/app", "strip_components": 1})
    assert r.status == 202 and r.json["container_id"] == c, r
    op = api.operation(r)
    assert op["status"] == "succeeded" and op["operation_type"] == "container.archive_upload", op
    assert op["result"] == {"container_id": c, "path": "/srv/app", "entries": 3, "bytes": 100024}, op
    assert api.exec(c, "/bin/sh", "/srv/app/run.sh")["stdout"] == "unpacked\n"
    assert api.exec(c, "/bin/sh", "-c", "stat -c '%u:%g %a %s' /srv/app/deep/er/file; stat -c %a /srv/app/deep")["stdout"] == \
        "0:0 640 100000\n755\n"


@pytest.mark.parametrize("mode,headers", [("w", TAR), ("w:gz", {"Content-Type": "application/x-gzip"}), ("w:gz", TAR),
                                          ("w", {"Content-Type": "application/octet-stream"})])
def test_raw_bodies(api, container, mode, headers):
    c = container["container_id"]
    op = upload(api, f"containers/{c}", tar([("a/b", b"hello")], mode), "?path=%2Fdata&strip_components=1", headers)
    assert op["status"] == "succeeded", op
    assert api.exec(c, "cat", "/data/b")["stdout"] == "hello"


def test_a_large_archive_goes_by_way_of_the_disk(api, container):
    """Larger than any body that is held in memory, both ways; the bytes are the same at the other end."""
    c = container["container_id"]
    noise = os.urandom(6 << 20)
    data = tar([("noise", noise)])
    assert upload(api, f"containers/{c}", data, "?path=/raw")["status"] == "succeeded"
    op = api.operation(api.post(f"/api/containers/{c}/archive", {"path": "/json", "content": base64.encodebytes(data).decode()}))
    assert op["status"] == "succeeded", op
    sums = api.exec(c, "md5sum", "/raw/noise", "/json/noise")["stdout"].split()
    assert sums[0] == sums[2] and sums[0] == __import__("hashlib").md5(noise).hexdigest()


def test_nobody_fills_the_spool_for_others(api, other_api, stack, container):
    data, volume = tar([("f", b"x")]), fresh_name("spool")
    assert other_api.post("/api/volumes", {"name": volume}).status == 201
    stack.stop("agent")
    try:
        asked = [api.post(f"/api/containers/{container['container_id']}/archive?path=/a{i}", data, headers=GZIP) for i in range(17)]
        assert [r.status for r in asked] == [202] * 16 + [503] and asked[-1]["error_code"] == "UNAVAILABLE", asked
        other = other_api.post(f"/api/volumes/{volume}/archive", data, headers=GZIP)
        mine = fresh_name("spool")
        assert api.post("/api/volumes", {"name": mine}).status == 201
        refused(api.post(f"/api/volumes/{mine}/archive", data, headers=GZIP), 503, "UNAVAILABLE")
        assert api.delete(f"/api/volumes/{mine}?execution=sync").status == 200
        # One that is cancelled makes room at once: no executor will ever see its archive.
        assert len(spooled(stack)) == 17
        assert api.delete(asked[15]["status_url"])["status"] == "cancelled"
        assert len(spooled(stack)) == 16
    finally:
        stack.start("agent")
    assert {api.operation(r)["status"] for r in asked[:15]} == {"succeeded"}
    assert other_api.operation(other)["status"] == "succeeded"
    assert other_api.delete(f"/api/volumes/{volume}?execution=sync").status == 200


def spooled(stack):
    """The archives that wait. Build contexts, of other tests, have a time to live."""
    return [n for n in os.listdir(f"{stack.dir}/state/spool") if ".op_" in n]


def test_the_spool_is_empty_afterwards(api, stack, container):
    c = container["container_id"]
    assert upload(api, f"containers/{c}", tar([("x", b"x")]))["status"] == "succeeded"
    assert upload(api, f"containers/{c}", gzip.compress(b"no tar"))["status"] == "failed"
    wait_for(lambda: not spooled(stack), what="the spool is empty")


def test_archives_that_are_refused_at_once(api, other_api, stack, container):
    c = container["container_id"]
    path = f"/api/containers/{c}/archive"
    refused(api.post(path, {"content": "!!"}), 400, "BAD_REQUEST")
    refused(api.post(path, {"content": "aGVsbG8"}), 400, "BAD_REQUEST")
    refused(api.post(path, {"content": b64(b"hello")}), 400, "ARCHIVE_REFUSED")
    refused(api.post(path, {}), 422, "UNPROCESSABLE_ENTITY")
    refused(api.post(path, {"content": 7}), 422, "UNPROCESSABLE_ENTITY")
    refused(api.post(path, {"content": "", "contents": ""}), 422, "UNPROCESSABLE_ENTITY")
    good = tar([("a", b"a")])
    refused(api.post(path, {"content": b64(good), "path": "a/../../b"}), 400, "VALIDATION_ERROR")
    refused(api.post(path, {"content": b64(good), "strip_components": -1}), 400, "VALIDATION_ERROR")
    refused(api.post(f"{path}?path=%2F..", good, headers=GZIP), 400, "VALIDATION_ERROR")
    refused(api.post(f"{path}?strip_components=x", good, headers=GZIP), 400, "VALIDATION_ERROR")
    refused(api.post(path, b"", headers=GZIP), 400, "ARCHIVE_REFUSED")
    refused(api.post(path, good, headers={"Content-Type": "text/plain"}), 415, "UNSUPPORTED_MEDIA_TYPE")
    refused(api.post("/api/containers/none/archive", good, headers=GZIP), 404, "CONTAINER_NOT_FOUND")
    refused(other_api.post(path, good, headers=GZIP), 404, "CONTAINER_NOT_FOUND")
    assert api.post(f"/api/containers/{c}/kill").status == 200
    refused(api.post(path, good, headers=GZIP), 409, "INVALID_STATE")
    assert not spooled(stack)


def test_an_upload_with_an_idempotency_key(api, container):
    path = f"/api/containers/{container['container_id']}/archive?path=/idem"
    one, two = tar([("a", b"1")], "w"), tar([("a", b"2")], "w")
    assert len(one) == len(two)
    key = {**TAR, "Idempotency-Key": fresh_name("idem")}
    first = api.post(path, one, headers=key)
    assert first.status == 202, first
    assert api.post(path, one, headers=key).json == first.json
    refused(api.post(path, two, headers=key), 409, "IDEMPOTENCY_CONFLICT")
    assert api.operation(first)["status"] == "succeeded"
    assert api.exec(container["container_id"], "cat", "/idem/a")["stdout"] == "1"


def test_how_large_a_body_may_be_depends_on_the_route(api, anonymous, container):
    """Said before the body is taken in: nothing of it is sent."""
    c = container["container_id"]
    for path, length, status in ((f"/api/containers/{c}/archive", 300 << 20, 413), (f"/api/containers/{c}/exec", 3 << 20, 413),
                                 ("/api/containers", 1 << 30, 413)):
        r = api.request("POST", path, headers={"Content-Length": str(length), "Content-Type": "application/gzip"})
        refused(r, status, "PAYLOAD_TOO_LARGE")
        api.close()  # the body that was announced will not come
    r = anonymous.request("POST", f"/api/containers/{c}/archive", headers={"Content-Length": str(20 << 20), "Content-Type": "application/gzip"})
    refused(r, 401, "UNAUTHORIZED")
    anonymous.close()


def test_archives_survive_the_deaths_of_everybody(api, stack, container):
    c = container["container_id"]
    data = tar([(f"f{i}", b"x" * 1000) for i in range(2000)])
    replies = {}
    for victim in ("agent", "runtime", "api"):
        replies[victim] = api.post(f"/api/containers/{c}/archive?path=/{victim}", data, headers=GZIP)
        assert replies[victim].status == 202, replies[victim]
        stack.kill(victim)
    for victim, r in replies.items():
        op = api.operation(r)
        assert op["status"] == "succeeded", op
        assert api.exec(c, "/bin/sh", "-c", f"ls /{victim} | wc -l")["stdout"] == "2000\n"


# --- volumes ---------------------------------------------------------------------------------------------


def read(api, volume, path, **kw):
    return api.get(f"/api/volumes/{volume}/files/{path}", **kw)


def test_single_files(api, volume):
    files = f"/api/volumes/{volume}/files"
    for mode, want in ((None, 644), (600, 600), (0o644, 644), (0o755, 755), (1777, 1777)):
        body = {"path": "/nested/dir/hello.txt", "content": b64(b"hello\n")}
        r = api.post(files, body if mode is None else {**body, "mode": mode})
        assert r.status == 200 and r.json == {"success": True, "path": "/nested/dir/hello.txt", "size": 6}, r
        for path in ("nested%2Fdir%2Fhello.txt", "nested/dir/hello.txt", "%2Fnested/dir%2Fhello.txt"):
            r = read(api, volume, path)
            assert r.status == 200 and r.json["content"] == b64(b"hello\n") and r.json["size"] == 6 and r.json["mode"] == want, r
            assert r.json["path"] == "/nested/dir/hello.txt", r
    for r in (read(api, volume, "nested/dir/hello.txt", headers=BYTES), read(api, volume, "nested/dir/hello.txt?raw=1")):
        assert r.status == 200 and r.body == b"hello\n" and r.headers["Content-Type"] == "application/octet-stream", r
        assert r.headers["X-Quilt-File-Mode"] == "1777" and r.headers["Content-Length"] == "6"
    refused(api.delete(f"{files}/nested"), 409, "CONFLICT")
    assert api.delete(f"{files}/nested%2Fdir%2Fhello.txt").json == {"success": True}
    refused(api.delete(f"{files}/nested/dir/hello.txt"), 404, "FILE_NOT_FOUND")
    refused(read(api, volume, "nested/dir/hello.txt"), 404, "FILE_NOT_FOUND")
    refused(read(api, volume, "nested"), 400, "VALIDATION_ERROR")
    assert api.delete(f"{files}/nested/dir").status == 200


def test_a_full_volume_is_told(api, stack):
    """507 where the storage driver can hold a volume to its size: btrfs, since Linux 6.7."""
    limited = stack.driver == "btrfs" and tuple(map(int, os.uname().release.split(".")[:2])) >= (6, 7)
    name = fresh_name("small")
    assert api.post("/api/volumes", {"name": name, "options": {"size": "1M"}}).status == 201
    try:
        files, large = f"/api/volumes/{name}/files", os.urandom(1 << 21)
        assert api.post(files, {"path": "/a", "content": b64(b"a")}).status == 200
        replies = [api.post(files, {"path": f"/{n}", "content": b64(large[:600000])}) for n in range(3)]
        if limited:
            assert "larger quota" in refused(replies[-1], 507, "INSUFFICIENT_STORAGE")["hint"]
        else:
            assert [r.status for r in replies] == [200] * 3, replies
        op = api.operation(api.post(f"/api/volumes/{name}/archive", tar([("b", large)]), headers=GZIP))
        assert (op["status"], op["reason_code"]) == (("failed", "INSUFFICIENT_STORAGE") if limited else ("succeeded", None)), op
        assert read(api, name, "a")["content"] == b64(b"a")
    finally:
        assert api.operation(api.delete(f"/api/volumes/{name}"))["status"] == "succeeded"


def test_what_is_refused_of_files(api, other_api, volume):
    files = f"/api/volumes/{volume}/files"
    for body, status, code in (
        ({"path": "a/../../b", "content": ""}, 400, "VALIDATION_ERROR"),
        ({"path": "/", "content": ""}, 400, "VALIDATION_ERROR"),
        ({"path": "x" * 300, "content": ""}, 400, "VALIDATION_ERROR"),
        ({"path": "a", "content": "***"}, 400, "VALIDATION_ERROR"),
        ({"path": "a", "content": "", "mode": 4755}, 400, "VALIDATION_ERROR"),
        ({"path": "a", "content": "", "mode": "644"}, 422, "UNPROCESSABLE_ENTITY"),
        ({"path": "a"}, 422, "UNPROCESSABLE_ENTITY"),
    ):
        refused(api.post(files, body), status, code)
    refused(read(api, volume, "..%2F..%2Fetc%2Fpasswd"), 400, "VALIDATION_ERROR")
    refused(read(api, volume, "../etc/passwd"), 400, "BAD_REQUEST")
    refused(read(api, volume, "a%00b"), 400, "BAD_REQUEST")
    for a, v in ((other_api, volume), (api, "none")):
        refused(a.get(f"/api/volumes/{v}/ls"), 404, "VOLUME_NOT_FOUND")
        refused(a.post(f"/api/volumes/{v}/files", {"path": "a", "content": ""}), 404, "VOLUME_NOT_FOUND")
        refused(read(a, v, "a"), 404, "VOLUME_NOT_FOUND")
        refused(a.delete(f"/api/volumes/{v}/files/a"), 404, "VOLUME_NOT_FOUND")
        refused(a.post(f"/api/volumes/{v}/archive", tar([("a", b"a")]), headers=GZIP), 404, "VOLUME_NOT_FOUND")


def test_lists_have_pages(api, volume):
    op = upload(api, f"volumes/{volume}", tar([(f"d/f{i:04}", b"x" * i) for i in range(1200)] + [("e", b"1")]))
    assert op["status"] == "succeeded" and op["operation_type"] == "volume.archive_upload" and op["result"]["entries"] == 1201, op
    r = api.get(f"/api/volumes/{volume}/ls")
    assert r.status == 200 and [f["name"] for f in r["files"]] == ["d", "e"], r
    assert r["path"] == "/" and r["page"] == 1 and r["page_size"] == 100 and r["total"] == 2, r
    assert {k: r["files"][1][k] for k in ("path", "type", "size", "mode")} == {"path": "/e", "type": "file", "size": 1, "mode": 640}, r
    assert r["files"][0]["type"] == "directory"
    got = []
    for page in range(1, 4):
        r = api.get(f"/api/volumes/{volume}/ls?path=/d&page={page}&page_size=500")
        assert r.status == 200 and r["total"] == 1200, r
        got += [(f["path"], f["size"]) for f in r["files"]]
    assert got == [(f"/d/f{i:04}", i) for i in range(1200)]
    assert api.get(f"/api/volumes/{volume}/ls?path=/d&page=99")["files"] == []
    refused(api.get(f"/api/volumes/{volume}/ls?path=/none"), 404, "FILE_NOT_FOUND")
    refused(api.get(f"/api/volumes/{volume}/ls?path=/e"), 400, "VALIDATION_ERROR")
    refused(api.get(f"/api/volumes/{volume}/ls?page=0"), 400, "VALIDATION_ERROR")


def test_a_volume_and_its_containers_see_each_other_s_files(api, volume, make_container):
    c = make_container(volumes=[f"{volume}:/data"])["container_id"]
    assert api.post(f"/api/volumes/{volume}/files", {"path": "in", "content": b64(b"from the API")}).status == 200
    assert api.exec(c, "cat", "/data/in")["stdout"] == "from the API"
    api.exec(c, "/bin/sh", "-c", "echo -n from inside > /data/out; chmod 600 /data/out; ln -s /etc/passwd /data/l; ln -s ../../etc /data/m; "
                                 "ln -s out /data/ok; mkfifo /data/fifo; printf 'a\\377b' > \"$(printf '/data/n\\377')\"")
    assert read(api, volume, "out")["mode"] == 600 and read(api, volume, "ok?raw=1").body == b"from inside"
    refused(read(api, volume, "l"), 404, "FILE_NOT_FOUND")
    refused(read(api, volume, "m/passwd"), 404, "FILE_NOT_FOUND")
    refused(api.post(f"/api/volumes/{volume}/files", {"path": "m/x", "content": ""}), 404, "FILE_NOT_FOUND")
    refused(read(api, volume, "fifo"), 400, "VALIDATION_ERROR")
    names = {f["name"]: f["type"] for f in api.get(f"/api/volumes/{volume}/ls")["files"]}
    assert names == {"in": "file", "out": "file", "l": "symlink", "m": "symlink", "ok": "symlink", "fifo": "other", "n\ufffd": "file"}
    # An archive into the volume by way of the container, and into the container's own tree through a link of its own.
    assert upload(api, f"containers/{c}", tar([("x/y", b"1")]), "?path=/data")["status"] == "succeeded"
    assert read(api, volume, "x/y?raw=1").body == b"1"


def test_a_file_too_large_for_json(api, volume, make_container):
    c = make_container(volumes=[f"{volume}:/data"])["container_id"]
    api.exec(c, "/bin/sh", "-c", "dd if=/dev/urandom of=/data/big bs=1M count=3 2>/dev/null")
    r = read(api, volume, "big")
    assert "raw=1" in refused(r, 413, "PAYLOAD_TOO_LARGE")["hint"]
    body = read(api, volume, "big?raw=1").body
    assert len(body) == 3 << 20 and api.exec(c, "md5sum", "/data/big")["stdout"].split()[0] == __import__("hashlib").md5(body).hexdigest()


def test_many_writers_of_one_file(api, volume):
    """Whoever reads sees the whole of one of them."""
    def write(i):
        for _ in range(5):
            r = api.post(f"/api/volumes/{volume}/files", {"path": "f", "content": b64(bytes([65 + i]) * 50000)})
            assert r.status in (200, 503), r

    assert api.post(f"/api/volumes/{volume}/files", {"path": "f", "content": b64(b"A" * 50000)}).status == 200
    threads = [threading.Thread(target=write, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    while any(t.is_alive() for t in threads):
        r = read(api, volume, "f?raw=1")
        assert r.status == 503 or (len(r.body) == 50000 and len(set(r.body)) == 1), r
    for t in threads:
        t.join()
    assert [f["name"] for f in api.get(f"/api/volumes/{volume}/ls")["files"]] == ["f"]


LEASE = """
import fcntl, os, signal, time
signal.signal(signal.SIGIO, signal.SIG_IGN)  # which asks to let go
fd = os.open("/v/leased", os.O_RDWR | os.O_CREAT)
fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
os.mkdir("/v/held")
time.sleep(600)
"""


@pytest.mark.prod
def test_a_file_that_a_process_has_a_lease_on(api, volume, make_container):
    """Nobody waits for it to let go."""
    c = make_container(image="prod", volumes=[f"{volume}:/v"], command=["python3", "-c", LEASE])["container_id"]
    wait_for(lambda: read(api, volume, "held").status == 400, what="the lease")
    refused(read(api, volume, "leased"), 409, "CONFLICT")
    assert api.post(f"/api/containers/{c}/kill").status == 200
    assert read(api, volume, "leased?raw=1").body == b""


def test_too_many_at_one_volume(api, volume):
    """Who comes when eight are at it is told so, whatever he wants; afterwards all is as before."""
    files = f"/api/volumes/{volume}/files"
    assert api.post(files, {"path": "f", "content": b64(b"x" * 700000)}).status == 200
    wants = {"list": ("GET", f"/api/volumes/{volume}/ls", None), "read": ("GET", f"{files}/f", None),
             "write": ("POST", files, {"path": "g", "content": b64(b"x" * 100000)}), "delete": ("DELETE", f"{files}/none", None)}
    told = set()

    def all_told():
        def ask(want):
            r = api.request(*wants[want])
            if r.status == 503:
                refused(r, 503, "CAPACITY_FULL")
                told.add(want)

        with concurrent.futures.ThreadPoolExecutor(32) as pool:
            list(pool.map(ask, [w for w in wants for _ in range(8)]))
        return told == set(wants)

    wait_for(all_told, what="each was refused for want of room")
    wait_for(lambda: [api.request(*w).status for w in wants.values()] == [200, 200, 200, 404], what="there is room again")
