"""Volumes: what containers keep and share."""
import threading

import pytest

from harness.fixtures import fresh_name
from harness.usage import usage_of
from harness.wait import wait_for


@pytest.fixture
def make_volume(api):
    """make_volume(**fields of the body, client=other client) -> the 201 answer's JSON. Deleted after the test."""
    made = []

    def make(client=None, **fields):
        client = client or api
        r = client.post("/api/volumes", {"name": fresh_name("v"), **fields})
        assert r.status == 201, r
        made.append((client, r["id"]))
        return r.json

    yield make
    for client, volume in made:
        wait_for(lambda: client.delete(f"/api/volumes/{volume}?execution=sync").status in (200, 404), what=f"{volume} is deleted")


@pytest.fixture
def volume(make_volume):  # to be asked for before make_container, so that it goes after it
    return make_volume()


def sh(api, container, script):
    return api.exec(container["container_id"], "/bin/sh", "-c", script)


def test_create_list_get_rename_delete(stack, api, other_api):
    name, other = fresh_name("v"), fresh_name("v")
    r = api.post("/api/volumes", {"name": name, "driver": "local", "labels": {"team": "qa"}, "options": {"size": "64M"}})
    assert r.status == 201, r
    v = r.json
    assert v["name"] == name and v["driver"] == "local" and v["status"] == "ready" and v["tenant_id"] == api.tenant_id
    assert v["labels"] == {"team": "qa"} and v["options"] == {"size": "64M"} and v["max_bytes"] == 64 << 20
    assert v["mount_point"] is None and v["mountpoint"] is None and isinstance(v["created_at"], int)
    r = api.post("/api/volumes", {"name": name})
    assert r.status == 409 and r["error_code"] == "VOLUME_NAME_CONFLICT", r
    assert api.get(f"/api/volumes/{name}").json == api.get(f"/api/volumes/{v['id']}").json == v
    assert v in api.get("/api/volumes")["volumes"]
    i = api.get(f"/api/volumes/{name}/inspect").json
    assert i["used_by"] == [] and i["size_bytes"] >= 0 and i["name"] == name

    for method, path, body in (("GET", "", None), ("GET", "/inspect", None), ("POST", "/rename", {"new_name": "x"}), ("DELETE", "", None)):
        for who in (v["id"], name):
            r = other_api.request(method, f"/api/volumes/{who}{path}", body)
            assert r.status == 404 and r["error_code"] == "VOLUME_NOT_FOUND", r
    assert all(w["id"] != v["id"] for w in other_api.get("/api/volumes")["volumes"])

    taken = api.post("/api/volumes", {"name": other}).json
    r = api.post(f"/api/volumes/{name}/rename", {"new_name": other})
    assert r.status == 409 and r["error_code"] == "VOLUME_NAME_CONFLICT", r
    assert api.delete(f"/api/volumes/{taken['id']}?execution=sync").json == {"success": True}
    r = api.post(f"/api/volumes/{name}/rename", {"new_name": other})
    assert r.status == 200 and r.json == {"success": True, "old_name": name, "new_name": other}
    assert api.get(f"/api/volumes/{name}").status == 404

    r = api.delete(f"/api/volumes/{other}")
    assert r.status == 202 and r["volume"] == other, r
    op = api.operation(r)
    assert op["status"] == "succeeded" and op["operation_type"] == "volume.delete", op
    assert api.get(f"/api/volumes/{v['id']}").status == 404
    assert api.delete(f"/api/volumes/{other}").status == 404
    assert usage_of(stack, api.tenant_id, v["id"]) == ["volume_created", "volume_deleted"]


def test_refusals(api):
    def refused(status, code, **body):
        r = api.post("/api/volumes", {"name": "ok", **body})
        assert r.status == status and r["error_code"] == code, (body, r)

    for name in ("", "a b", "a.b", "a/b", "é", "vol_1", "x" * 65, "../x"):
        refused(400, "VALIDATION_ERROR", name=name)
    refused(400, "VALIDATION_ERROR", driver="nfs")
    refused(400, "VALIDATION_ERROR", options={"o": "bind"})
    refused(400, "VALIDATION_ERROR", options={"size": "big"})
    refused(400, "VALIDATION_ERROR", options={"size": "1023K"})
    refused(422, "UNPROCESSABLE_ENTITY", options={"size": 5})
    refused(422, "UNPROCESSABLE_ENTITY", labels=["x"])
    refused(422, "UNPROCESSABLE_ENTITY", source="/etc")
    refused(429, "QUOTA_EXCEEDED", options={"size": "9000T"})
    assert api.post("/api/volumes", {}).status == 422
    assert api.get("/api/volumes?cursor=x").status == 400
    assert api.get("/api/volumes?limit=0").status == 400
    assert api.get("/api/volumes/ok").status == 404


def test_pages(make_tenant):
    api = make_tenant("volume-pages")
    made = [api.post("/api/volumes", {"name": f"p{i}"})["name"] for i in range(5)]
    seen, cursor = [], ""
    while True:
        page = api.get(f"/api/volumes?limit=2&cursor={cursor}").json
        seen += [v["name"] for v in page["volumes"]]
        if not page["pagination"]["has_next"]:
            break
        cursor = page["pagination"]["next_cursor"]
    assert seen == made
    for name in made:
        assert api.delete(f"/api/volumes/{name}?execution=sync").status == 200


def test_data_outlives_containers(api, volume, make_container):
    spec = f"{volume['name']}:/data"
    first = make_container(volumes=[spec])
    script = "printf '#!/bin/sh\\necho ran' >/data/prog && chmod +x /data/prog && mkdir -p /data/d && echo kept >/data/d/f"
    assert sh(api, first, script)["exit_code"] == 0
    assert api.get(f"/api/volumes/{volume['name']}/inspect")["used_by"] == [first["container_id"]]
    # In use, whether it runs or not.
    assert api.post(f"/api/containers/{first['container_id']}/kill").status == 200
    for r in (api.delete(f"/api/volumes/{volume['id']}"), api.delete(f"/api/volumes/{volume['id']}?execution=sync"),
              api.post(f"/api/volumes/{volume['id']}/rename", {"new_name": "x"})):
        assert r.status == 409 and r["error_code"] == "VOLUME_IN_USE", r
    # Started again, it is there again.
    assert api.operation(api.post(f"/api/containers/{first['container_id']}/start"))["status"] == "succeeded"
    assert sh(api, first, "cat /data/d/f; /data/prog")["stdout"] == "kept\nran\n"
    assert api.delete(f"/api/containers/{first['container_id']}").status == 200
    # Into another container, by its id, below a directory that is not there.
    second = make_container(volumes=[f"{volume['id']}:/deep/er/data"])
    assert sh(api, second, "cat /deep/er/data/d/f; /deep/er/data/prog")["stdout"] == "kept\nran\n"


def test_shared_and_read_only(api, volume, make_container):
    writer = make_container(volumes=[f"{volume['name']}:/w"])
    reader = make_container(volumes=[f"{volume['name']}:/r:ro"])
    assert sh(api, writer, "echo hello >/w/f")["exit_code"] == 0
    assert sh(api, reader, "cat /r/f")["stdout"] == "hello\n"
    x = sh(api, reader, "echo no >/r/f")
    assert x["exit_code"] != 0 and "ead-only" in x["stderr"], x
    assert sh(api, reader, "rm /r/f || mount -o remount,rw /r")["exit_code"] != 0
    assert sh(api, writer, "cat /w/f")["stdout"] == "hello\n"
    both = make_container(volumes=[f"{volume['name']}:/a", f"{volume['name']}:/a/b:ro"])
    assert sh(api, both, "cat /a/f /a/b/f && echo x >/a/g && ! echo x >/a/b/h")["exit_code"] == 0


def test_twenty_writers(api, volume, make_container):
    """Four containers, five processes each, one file a process and one that all append to."""
    containers = [make_container(volumes=[f"{volume['name']}:/v"]) for _ in range(4)]
    script = "for i in $(seq 50); do echo $W.$i >>/v/all && echo $i >>/v/$W || exit 1; done"
    codes = []

    def write(c, w):
        codes.append(api.exec(c["container_id"], "/bin/sh", "-c", script, environment={"W": str(w)})["exit_code"])

    threads = [threading.Thread(target=write, args=(containers[w % 4], w)) for w in range(20)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert codes == [0] * 20
    lines = sh(api, containers[0], "sort /v/all | uniq | wc -l; wc -l </v/all; cat /v/7 | wc -l; ls /v | wc -l")["stdout"].split()
    assert lines == ["1000", "1000", "50", "21"]


def test_what_a_container_cannot_have(api, other_api, make_volume, volume):
    foreign = make_volume(client=other_api)

    def refused(status, code, *volumes):
        name = fresh_name()
        for execution in ("sync", "async"):
            r = api.post(f"/api/containers?execution={execution}", {"name": name, "image": "busybox", "volumes": list(volumes)})
            assert r.status == status and r["error_code"] == code, (volumes, r)
        assert api.get(f"/api/containers/by-name/{name}").status == 404

    mine = volume["name"]
    refused(404, "VOLUME_NOT_FOUND", "nobody-made-it:/x")
    refused(404, "VOLUME_NOT_FOUND", f"{mine}:/x", f"{foreign['name']}:/y")
    refused(404, "VOLUME_NOT_FOUND", f"{foreign['id']}:/x")
    refused(400, "VALIDATION_ERROR", f"{mine}:/x", f"{mine}:/x/")
    refused(400, "VALIDATION_ERROR", f"{mine}:/x/y", f"{mine}:/x")
    refused(400, "VALIDATION_ERROR", f"{mine}:/usr/lib")
    refused(400, "VALIDATION_ERROR", f"{mine}:/a/../../etc")
    refused(400, "VALIDATION_ERROR", "/etc:/x")
    assert api.get(f"/api/volumes/{mine}/inspect")["used_by"] == []


def test_quota(stack, make_tenant):
    api = make_tenant("volume-quota")
    stack.redis("HSET", f"quilt:tenant:{api.tenant_id}", "max_volumes", "3")
    statuses = []

    def create(i):
        r = api.post("/api/volumes", {"name": f"q{i}"})
        statuses.append(r.status)
        if r.status == 429:
            assert r["error_code"] == "QUOTA_EXCEEDED", r
            assert r["details"] == {"quota": "volumes", "limit": 3, "used": 3}, r

    threads = [threading.Thread(target=create, args=(i,)) for i in range(12)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(statuses) == [201] * 3 + [429] * 9
    for v in api.get("/api/volumes")["volumes"]:
        assert api.delete(f"/api/volumes/{v['name']}?execution=sync").status == 200


SUBVOLUME = """
import errno, fcntl, os, struct
fd = os.open("/v", os.O_RDONLY | os.O_DIRECTORY)
for request, argument in ((0x5000940e, struct.pack("q4088s", 0, b"sub")), (0x4008941a, struct.pack("Q", 2))):  # SUBVOL_CREATE; SUBVOL_SETFLAGS: read-only
    try:
        fcntl.ioctl(fd, request, bytearray(argument), True)
        print("done")
    except OSError as e:
        print(errno.errorcode[e.errno])
"""


@pytest.mark.prod
def test_nothing_in_a_volume_has_a_quota_of_its_own(api, volume, make_container):
    """Nor is it left out of copies: btrfs would let everybody make a subvolume, and make his own read-only."""
    c = make_container(image="prod", volumes=[f"{volume['name']}:/v"])["container_id"]
    assert api.exec(c, "python3", "-c", SUBVOLUME)["stdout"].split() == ["ENOTTY", "ENOTTY"]
    assert api.exec(c, "touch", "/v/f")["exit_code"] == 0
