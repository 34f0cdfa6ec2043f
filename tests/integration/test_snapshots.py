"""Snapshots, forks and clones, over HTTPS, against real containers."""
import concurrent.futures
import json
import os
import re
import time

import pytest

from harness.fixtures import fresh_name
from harness.wait import wait_for


@pytest.fixture
def tenant(api):
    """The header that the list of snapshots wants."""
    return {"X-Tenant-Id": api.tenant_id}


@pytest.fixture
def cleaner(api):
    """Containers (by id) and snapshots that are to go after the test."""
    gone = []
    yield gone.append
    for thing in gone:
        path = f"/api/{'snapshots' if thing.startswith('snap_') else 'containers'}/{thing}"

        def deleted():
            r = api.delete(path)
            if r.status == 409:
                api.post(f"{path}/unpin")
            return r.status in (200, 404)

        wait_for(deleted, what=f"{thing} is deleted")


def write(api, container, text, path="/data"):
    assert api.exec(container, "/bin/sh", "-c", f"echo {text} >{path}")["exit_code"] == 0


def read(api, container, path="/data"):
    return api.exec(container, "cat", path)["stdout"].strip()


def take(api, cleaner, container, **body):
    """A snapshot that is ready: its record."""
    r = api.post(f"/api/containers/{container}/snapshot", body)
    assert r.status == 202, r
    cleaner(r["snapshot_id"])
    op = api.operation(r)
    assert op["status"] == "succeeded" and op["result"]["snapshot_id"] == op["snapshot_id"] == r["snapshot_id"], op
    record = api.get(f"/api/snapshots/{r['snapshot_id']}").json
    assert record["status"] == "ready", record
    return record


def finish(api, cleaner, reply):
    """The new container of a fork or clone: its id and the operation."""
    assert reply.status == 202, reply
    cleaner(reply["container_id"])
    op = api.operation(reply)
    assert op["status"] == "succeeded", op
    assert op["container_id"] == op["result_container_id"] == op["result"]["container_id"] == reply["container_id"], op
    return reply["container_id"], op


def test_what_computesdk_does(api, container, cleaner):
    """Receipt, operation, record, clone immediate, exec: in the clone it is as it was."""
    cid = container["container_id"]
    write(api, cid, "old")
    r = api.post(f"/api/containers/{container['name']}/snapshot", {"labels": {"suite": "contract"}, "ttl_seconds": 3600})
    assert r.status == 202 and r["success"] is True and r["status"] == "creating", r
    assert r["source_container_id"] == cid and r["source_container_name"] == container["name"]
    # The record is there at once, and lineage, pin and clone work on it.
    sid = r["snapshot_id"]
    cleaner(sid)
    s = api.get(f"/api/snapshots/{sid}")
    assert s.status == 200 and s["status"] in ("creating", "ready"), s
    assert api.get(f"/api/snapshots/{sid}/lineage")["nodes"][0]["snapshot_id"] == sid
    clone = api.post(f"/api/snapshots/{sid}/clone", {"resume_policy": "immediate"})
    op = api.operation(r)
    assert op["status"] == "succeeded" and op["operation_type"] == "snapshot.create" and op["snapshot_id"] == sid, op
    assert op["target_resource_type"] == "snapshot" and op["target_resource_id"] == sid and op["result"]["snapshot_id"] == sid
    write(api, cid, "new")
    new, op = finish(api, cleaner, clone)
    assert op["operation_type"] == "snapshot.clone" and op["target_resource_id"] == new
    c = api.get(f"/api/containers/{new}").json
    assert c["state"] == "running" and re.fullmatch(rf"{container['name']}-clone-[0-9a-f]{{4}}", c["name"])
    assert c["memory_limit_mb"] == container["memory_limit_mb"] and c["ip_address"] != container["ip_address"]
    assert read(api, new) == "old" and read(api, cid) == "new"

    record = api.get(f"/api/snapshots/{sid}").json
    assert record == {
        "snapshot_id": sid, "id": sid, "source_container_id": cid, "source_container_name": container["name"], "container_id": cid,
        "parent_snapshot_id": None, "tenant_id": api.tenant_id, "name": None, "status": "ready",
        "consistency_mode": "crash-consistent", "network_mode": "reset", "volume_mode": "exclude", "labels": {"suite": "contract"},
        "pinned": False, "ttl_seconds": 3600, "size_bytes": record["size_bytes"], "created_at": record["created_at"],
        "expires_at": record["created_at"] + 3600, "metadata": {}}
    assert record["size_bytes"] > 0 and abs(record["created_at"] - time.time()) < 600


def test_forks(api, make_container, cleaner):
    """Of a container that runs and of one that does not; immediate and manual; with and without a body."""
    c = make_container(labels={"a": "1", "b": "2"}, environment={"FOO": "bar"}, working_directory="/srv", memory_limit_mb=64,
                       command=["/bin/sh", "-c", "echo came up >>/ran"])
    cid = c["container_id"]
    wait_for(lambda: read(api, cid, "/ran") == "came up", what="the command ran")
    write(api, cid, "one")
    new, _ = finish(api, cleaner, api.post(f"/api/containers/{cid}/fork?execution=async",
                                           {"name": fresh_name("fork"), "labels": {"b": "3"}, "resume_policy": "immediate",
                                            "consistency_mode": "app-consistent"}))
    got = api.get(f"/api/containers/{new}").json
    assert got["state"] == "running" and got["labels"] == {"a": "1", "b": "3"}
    assert got["memory_limit_mb"] == 64 and got["working_directory"] == "/srv"
    assert read(api, new) == "one"
    assert api.exec(new, "/bin/sh", "-c", "pwd; echo $FOO")["stdout"] == "/srv\nbar\n"
    # Neither sees what the other does from here on.
    write(api, new, "two")
    assert read(api, cid) == "one"

    assert api.post(f"/api/containers/{cid}/stop", {"timeout_seconds": 0}).status == 200
    r = api.post(f"/api/containers/{cid}/fork")
    new, _ = finish(api, cleaner, r)
    got = api.get(f"/api/containers/{new}").json
    assert got["state"] == "created" and got["pid"] is None and got["started_at"] is None, got
    assert re.fullmatch(rf"{c['name']}-fork-[0-9a-f]{{4}}", got["name"])
    assert api.post(f"/api/containers/{new}/exec", {"command": ["true"]}).status == 409
    assert api.operation(api.post(f"/api/containers/{new}/resume"))["status"] == "succeeded"
    assert read(api, new) == "one"
    # The source may go; what was made of it stays.
    assert api.delete(f"/api/containers/{cid}").status == 200
    assert read(api, new) == "one"
    # What hardens the source hardens the copy.
    strict, _ = finish(api, cleaner, api.post(f"/api/containers/{make_container(strict=True)['container_id']}/fork"))
    assert api.get(f"/api/containers/{strict}")["strict"] is True


def test_a_snapshot_outlives_its_container(api, make_container, cleaner, tenant):
    c = make_container(environment={"A": "b"})
    write(api, c["container_id"], "kept")
    s = take(api, cleaner, c["container_id"], name="before")
    assert s["name"] == "before"
    assert api.delete(f"/api/containers/{c['container_id']}").status == 200
    listed = api.get(f"/api/snapshots?container_id={c['container_id']}", headers=tenant)
    assert [x["snapshot_id"] for x in listed["snapshots"]] == [s["snapshot_id"]]
    new, _ = finish(api, cleaner, api.post(f"/api/snapshots/{s['snapshot_id']}/clone", {"name": c["name"], "resume_policy": "immediate"}))
    assert read(api, new) == "kept" and api.exec(new, "/bin/sh", "-c", "echo $A")["stdout"] == "b\n"
    # And the clone its snapshot.
    assert api.delete(f"/api/snapshots/{s['snapshot_id']}", {}).json == {"success": True}
    assert read(api, new) == "kept"
    for r in (api.get(f"/api/snapshots/{s['snapshot_id']}"), api.delete(f"/api/snapshots/{s['snapshot_id']}"),
              api.post(f"/api/snapshots/{s['snapshot_id']}/clone"), api.post(f"/api/snapshots/{s['snapshot_id']}/pin"),
              api.post(f"/api/snapshots/{s['snapshot_id']}/unpin"), api.get(f"/api/snapshots/{s['snapshot_id']}/lineage")):
        assert r.status == 404 and r["error_code"] == "SNAPSHOT_NOT_FOUND", r


def test_lineage(api, container, cleaner):
    """Three generations: a snapshot of a clone has the clone's snapshot for a parent, and so has that of a fork of the clone."""
    cid, ids = container["container_id"], []
    for _ in range(3):
        s = take(api, cleaner, cid)
        assert s["parent_snapshot_id"] == (ids[-1] if ids else None)
        ids.append(s["snapshot_id"])
        cid, _ = finish(api, cleaner, api.post(f"/api/snapshots/{ids[-1]}/clone", {"resume_policy": "immediate"}))
    nodes = api.get(f"/api/snapshots/{ids[-1]}/lineage")["nodes"]
    assert [n["snapshot_id"] for n in nodes] == ids[::-1] and [n["depth"] for n in nodes] == [0, 1, 2]
    assert nodes[-1]["parent_snapshot_id"] is None and nodes[-1]["source_container_id"] == container["container_id"]
    fork, _ = finish(api, cleaner, api.post(f"/api/containers/{cid}/fork", {"resume_policy": "immediate"}))
    assert take(api, cleaner, fork)["parent_snapshot_id"] == ids[-1]


def test_list(api, other_api, make_container, cleaner, tenant):
    a, b = make_container()["container_id"], make_container()["container_id"]
    made = [take(api, cleaner, who, labels={"n": str(i), "t": "x y=z"})["snapshot_id"] for i, who in enumerate((a, b, a))]
    r = api.get("/api/snapshots", headers=tenant)
    assert r.status == 200 and r["pagination"] == {"has_next": False, "next_cursor": None}
    assert [s["snapshot_id"] for s in r["snapshots"] if s["snapshot_id"] in made] == made

    def ids(query):
        return [s["snapshot_id"] for s in api.get(f"/api/snapshots?{query}", headers=tenant)["snapshots"]]

    assert ids(f"container_id={a}") == [made[0], made[2]]
    assert ids("label=t%3Dx%20y%3Dz&label=n%3D1") == [made[1]]
    assert ids("label=n%3D1&label=n%3D7") == [] and ids("container_id=nobody") == []
    assert ids("label=" + "k" * 300 + "%3Dv") == []
    page = api.get(f"/api/snapshots?container_id={a}&limit=1", headers=tenant)
    assert [s["snapshot_id"] for s in page["snapshots"]] == made[:1] and page["pagination"]["has_next"] is True
    page = api.get(f"/api/snapshots?container_id={a}&limit=1&cursor={page['pagination']['next_cursor']}", headers=tenant)
    assert [s["snapshot_id"] for s in page["snapshots"]] == made[2:] and page["pagination"]["has_next"] is False
    for bad in ("label=x", "limit=0", "cursor=x", "limit=1&limit=2"):
        r = api.get(f"/api/snapshots?{bad}", headers=tenant)
        assert r.status == 400 and r["error_code"] == "VALIDATION_ERROR", r

    # The list alone wants the header; where it is, it is right.
    r = api.get("/api/snapshots")
    assert r.status == 400 and r["details"]["field"] == "X-Tenant-Id", r
    for path in ("", f"/{made[0]}"):
        r = api.get(f"/api/snapshots{path}", headers={"X-Tenant-Id": other_api.tenant_id})
        assert r.status == 403 and r["error_code"] == "TENANT_MISMATCH", r
    # To others it is nothing.
    assert other_api.get("/api/snapshots", headers={"X-Tenant-Id": other_api.tenant_id})["snapshots"] == []
    for r in (other_api.get(f"/api/snapshots/{made[0]}"), other_api.post(f"/api/snapshots/{made[0]}/clone"),
              other_api.post(f"/api/snapshots/{made[0]}/pin"), other_api.delete(f"/api/snapshots/{made[0]}")):
        assert r.status == 404 and r["error_code"] == "SNAPSHOT_NOT_FOUND", r
    for r in (other_api.post(f"/api/containers/{a}/snapshot"), other_api.post(f"/api/containers/{a}/fork")):
        assert r.status == 404 and r["error_code"] == "CONTAINER_NOT_FOUND", r


def test_pins_and_time(api, stack, container, cleaner, tenant):
    cid = container["container_id"]
    kept = take(api, cleaner, cid, ttl_seconds=3600)["snapshot_id"]
    for _ in range(2):
        assert api.post(f"/api/snapshots/{kept}/pin").json == {"success": True, "snapshot_id": kept, "pinned": True}
    r = api.delete(f"/api/snapshots/{kept}")
    assert r.status == 409 and r["error_code"] == "SNAPSHOT_PINNED", r
    # An hour passes.
    stack.redis("HSET", f"quilt:{{{api.tenant_id}}}:snap:{kept}", "expires_ms", "1")
    r = api.post(f"/api/containers/{cid}/snapshot", {"ttl_seconds": 1})
    assert api.operation(r)["status"] == "succeeded"
    gone = r["snapshot_id"]
    wait_for(lambda: api.get(f"/api/snapshots/{gone}").status == 404, what="its time is over")
    assert gone not in [s["snapshot_id"] for s in api.get("/api/snapshots", headers=tenant)["snapshots"]]
    assert api.get(f"/api/snapshots/{kept}")["pinned"] is True
    assert api.post(f"/api/snapshots/{kept}/unpin").json == {"success": True, "snapshot_id": kept, "pinned": False}
    wait_for(lambda: api.get(f"/api/snapshots/{kept}").status == 404, what="it goes when nobody keeps it")
    events = [json.loads(e) for e in re.findall(r'\{"[^\n]*', stack.redis("XRANGE", f"quilt:{{{api.tenant_id}}}:events", "-", "+"))]
    seen = [e["event"] for e in events if e.get("snapshot_id") == kept and "event" in e]
    assert seen == ["creating", "ready", "pinned", "unpinned", "expired"]


def test_modes(api, container, cleaner):
    cid = container["container_id"]
    for route, fields in ((f"/api/containers/{cid}/snapshot", ("consistency_mode", "network_mode", "volume_mode")),
                          (f"/api/containers/{cid}/fork", ("consistency_mode", "network_mode", "volume_mode", "resume_policy"))):
        for field in fields:
            for bad in ("half", "", 7):
                r = api.post(route, {field: bad})
                assert r.status == 422 and r["error_code"] == "UNPROCESSABLE_ENTITY" and r["details"]["field"] == f"/{field}", r
            assert len(api.post(route, {field: "half"})["details"]["expected"]) >= 2
        assert api.post(route, {"nonsense": 1}).status == 422
    r = api.post(f"/api/containers/{cid}/snapshot", {"ttl_seconds": 0})
    assert r.status == 400 and r["error_code"] == "VALIDATION_ERROR", r
    # What real clients send beside that is taken; null is as absent.
    extras = {"placement_hint": {"a": 1}, "idempotency_key": "k", "async_mode": True, "ttl_seconds": None, "labels": None, "name": None}
    for network in ("preserve_ns", "preserve_conn_best_effort"):
        r = api.post(f"/api/containers/{cid}/snapshot", {"network_mode": network, "volume_mode": "include_named", **extras})
        cleaner(r["snapshot_id"])
        op = api.operation(r)
        assert op["status"] == "succeeded" and len(op["capability_downgrades"]) == 1 and network in op["capability_downgrades"][0], op
    new, op = finish(api, cleaner, api.post(f"/api/containers/{cid}/fork", {"network_mode": "preserve_ns", "volume_mode": "include_all_allowed"}))
    assert len(op["capability_downgrades"]) == 1
    assert api.get(f"/api/containers/{new}")["ip_address"] != container["ip_address"]


def test_dry_runs(api, container, cleaner, tenant):
    cid, name = container["container_id"], container["name"]
    s = take(api, cleaner, cid)["snapshot_id"]
    count = len(api.get("/api/snapshots", headers=tenant)["snapshots"]), len(api.get("/api/containers")["containers"])
    for path in (f"/api/containers/{cid}/snapshot", f"/api/containers/{cid}/fork", f"/api/snapshots/{s}/clone"):
        r = api.post(path, {"dry_run": True})
        assert r.status == 200 and r.json == {"success": True, "dry_run": True}, r
    r = api.post(f"/api/snapshots/{s}/clone", {"dry_run": True, "name": name})
    assert r.status == 409 and r["error_code"] == "CONTAINER_NAME_CONFLICT", r
    assert count == (len(api.get("/api/snapshots", headers=tenant)["snapshots"]), len(api.get("/api/containers")["containers"]))


def test_refusals(api, container, cleaner):
    cid, name = container["container_id"], container["name"]
    for r in (api.post("/api/containers/nobody/snapshot"), api.post("/api/containers/nobody/fork")):
        assert r.status == 404 and r["error_code"] == "CONTAINER_NOT_FOUND", r
    s = take(api, cleaner, cid)["snapshot_id"]
    for path in (f"/api/containers/{cid}/fork", f"/api/snapshots/{s}/clone"):
        r = api.post(path, {"name": name})
        assert r.status == 409 and r["error_code"] == "CONTAINER_NAME_CONFLICT", r
        assert api.post(path, {"name": "ctr_x"}).status == 400
    new, _ = finish(api, cleaner, api.post(f"/api/snapshots/{s}/clone"))
    for path in (f"/api/containers/{new}/snapshot", f"/api/containers/{new}/fork"):
        r = api.post(path)
        assert r.status == 409 and r["error_code"] == "INVALID_STATE" and r["details"]["state"] == "created", r
        assert set(r["details"]["expected"]) == {"running", "exited"}


def test_quotas(make_tenant, stack):
    """A snapshot holds data, never policy: what a clone may have is asked when it is made."""
    mine = make_tenant()
    c = mine.post("/api/containers", {"name": "c", "image": "busybox"})
    cid = c["container_id"]
    stack.redis("HSET", f"quilt:tenant:{mine.tenant_id}", "max_snapshots", "3")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: mine.post(f"/api/containers/{cid}/snapshot"), range(8)))
    assert sorted(r.status for r in replies) == [202] * 3 + [429] * 5, replies
    assert {r["error_code"] for r in replies if r.status == 429} == {"QUOTA_EXCEEDED"}
    made = [r for r in replies if r.status == 202]
    assert [mine.operation(r)["status"] for r in made] == ["succeeded"] * 3
    stack.redis("HSET", f"quilt:tenant:{mine.tenant_id}", "max_containers", "1")
    for r in (mine.post(f"/api/snapshots/{made[0]['snapshot_id']}/clone"), mine.post(f"/api/containers/{cid}/fork")):
        assert r.status == 429 and r["error_code"] == "QUOTA_EXCEEDED", r
    for r in made:
        assert mine.delete(f"/api/snapshots/{r['snapshot_id']}").status == 200
    assert mine.delete(f"/api/containers/{cid}").status == 200


def test_in_use(api, stack, container, cleaner):
    """While a container is made of it a snapshot stays, and one that is being made cannot go."""
    s = take(api, cleaner, container["container_id"])["snapshot_id"]
    stack.stop("agent")
    try:
        clone = api.post(f"/api/snapshots/{s}/clone", {"resume_policy": "immediate"})
        r = api.post(f"/api/containers/{clone['container_id']}/start")
        assert r.status == 409 and r["error_code"] == "INVALID_STATE" and r["details"]["state"] == "created", r
        r = api.delete(f"/api/snapshots/{s}")
        assert r.status == 409 and r["error_code"] == "SNAPSHOT_IN_USE", r
        assert r["retry_after"] == 1 and r.headers["retry-after"] == "1" and "operation" in r["hint"], r
    finally:
        stack.start("agent")
    finish(api, cleaner, clone)
    assert api.delete(f"/api/snapshots/{s}").status == 200


def test_volumes(api, make_container, cleaner):
    """exclude, include_named and include_all_allowed: what they say."""
    names = [fresh_name("v") for _ in range(2)]
    for name in names:
        assert api.post("/api/volumes", {"name": name}).status == 201
    try:
        c = make_container(volumes=[f"{names[0]}:/rw", f"{names[1]}:/ro:ro"])
        cid = c["container_id"]
        write(api, cid, "old", "/rw/file")
        snaps = {m: take(api, cleaner, cid, volume_mode=m)["snapshot_id"] for m in ("exclude", "include_named", "include_all_allowed")}
        write(api, cid, "new", "/rw/file")
        new, _ = finish(api, cleaner, api.post(f"/api/snapshots/{snaps['exclude']}/clone", {"resume_policy": "immediate"}))
        assert api.exec(new, "test", "-e", "/rw/file")["exit_code"] == 1
        for mode, privates in (("include_named", 1), ("include_all_allowed", 2)):
            new, _ = finish(api, cleaner, api.post(f"/api/snapshots/{snaps[mode]}/clone", {"resume_policy": "immediate"}))
            assert read(api, new, "/rw/file") == "old"
            write(api, new, mode, "/rw/file")
            assert api.exec(new, "/bin/sh", "-c", "echo x >/ro/x")["exit_code"] != 0
            mine = [v for v in api.get("/api/volumes")["volumes"] if v["labels"].get("quilt.source-volume") in names]
            assert len(mine) == privates, mine
            assert api.delete(f"/api/containers/{new}").status == 200
            for v in mine:
                assert api.operation(api.delete(f"/api/volumes/{v['name']}"))["status"] == "succeeded"
        new, _ = finish(api, cleaner, api.post(f"/api/containers/{cid}/fork", {"volume_mode": "include_named", "resume_policy": "immediate"}))
        assert read(api, new, "/rw/file") == "new"
        write(api, new, "fork", "/rw/file")
        assert read(api, cid, "/rw/file") == "new"
        assert api.delete(f"/api/containers/{new}").status == 200
        for v in api.get("/api/volumes")["volumes"]:
            if v["labels"].get("quilt.source-volume") in names:
                assert api.operation(api.delete(f"/api/volumes/{v['name']}"))["status"] == "succeeded"
        assert api.delete(f"/api/containers/{cid}").status == 200
    finally:
        for name in names:
            api.operation(api.delete(f"/api/volumes/{name}"))


def test_an_image_that_is_not_there_any_more(api, stack, make_container, cleaner):
    """What stands on it runs on, but no copy can."""
    old = fresh_name("image")
    path = f"{stack.pool}/images/{old}"
    os.symlink(os.readlink(f"{stack.pool}/images/busybox"), path)
    try:
        cid = make_container(image=old)["container_id"]
        s = take(api, cleaner, cid)["snapshot_id"]
        os.rename(path, f"{path}-away")
        for body in ({}, {"dry_run": True}):
            for r in (api.post(f"/api/containers/{cid}/fork", body), api.post(f"/api/snapshots/{s}/clone", body)):
                assert r.status == 404 and r["error_code"] == "IMAGE_NOT_FOUND" and r["details"]["field"] == "/image", r
        assert api.exec(cid, "echo", "here")["stdout"] == "here\n"
        assert api.delete(f"/api/containers/{cid}").status == 200
    finally:
        for p in (path, f"{path}-away"):
            if os.path.lexists(p):
                os.unlink(p)


def test_a_volume_that_is_not_there_any_more(api, make_container, cleaner):
    """One that a clone would get as it is: it may be deleted when nobody has it any more."""
    name = fresh_name("v")
    assert api.post("/api/volumes", {"name": name}).status == 201
    cid = make_container(volumes=[f"{name}:/ro:ro"])["container_id"]
    s = take(api, cleaner, cid, volume_mode="include_named")["snapshot_id"]
    assert api.delete(f"/api/containers/{cid}").status == 200
    assert api.delete(f"/api/volumes/{name}?execution=sync").status == 200
    for body in ({}, {"dry_run": True}):
        r = api.post(f"/api/snapshots/{s}/clone", body)
        assert r.status == 404 and r["error_code"] == "VOLUME_NOT_FOUND", r


def test_a_volume_that_redis_lost(api, stack, make_container, cleaner):
    """Nothing is copied without it, and the agent puts it back."""
    name = fresh_name("v")
    volume = api.post("/api/volumes", {"name": name})["id"]
    cid = make_container(volumes=[f"{name}:/v"])["container_id"]
    paths, body = (f"/api/containers/{cid}/snapshot", f"/api/containers/{cid}/fork"), {"volume_mode": "include_named"}
    stack.stop("agent")
    try:
        stack.redis("DEL", f"quilt:{{{api.tenant_id}}}:vol:{volume}")
        stack.redis("HDEL", f"quilt:{{{api.tenant_id}}}:volnames", name)
        for path in paths:
            r = api.post(path, body)
            assert r.status == 404 and r["error_code"] == "VOLUME_NOT_FOUND", r
    finally:
        stack.start("agent")
    wait_for(lambda: api.get(f"/api/volumes/{name}").status == 200, what="the volume is put back")
    for path in paths:
        assert api.post(path, {**body, "dry_run": True}).status == 200
    assert api.delete(f"/api/containers/{cid}").status == 200
    assert api.delete(f"/api/volumes/{volume}?execution=sync").status == 200
