"""POST /api/containers/batch: all of it is accepted or nothing, and each item has its own end."""
import concurrent.futures
import json

import pytest

from harness.fixtures import fresh_name
from harness.wait import wait_for


def items(n, **fields):
    return [{"name": fresh_name("batch"), "image": "busybox", "memory_limit_mb": 32, **fields} for _ in range(n)]


@pytest.fixture
def tenant(make_tenant, census):
    """A tenant that has nothing at the end."""
    api = make_tenant("several")
    before = census()
    yield api
    for c in api.get("/api/containers")["containers"]:
        assert api.delete(f"/api/containers/{c['container_id']}").status == 200
    census.same_as(before)


def test_all_run(tenant):
    want = items(10)
    r = tenant.post("/api/containers/batch", {"items": want})
    assert r.status == 202 and r["success"] is True, r
    op = tenant.operation(r)
    assert op["status"] == "succeeded" and op["operation_type"] == "container.batch_create", op
    assert op["container_id"] is None and op["progress_pct"] == 100
    results = op["result"]["results"]
    assert [x["name"] for x in results] == [i["name"] for i in want]
    for n, (x, item) in enumerate(zip(results, op["items"])):
        assert x["status"] == "succeeded" and item == {"index": n, "error": None, **x}
        assert tenant.get(f"/api/containers/by-name/{x['name']}")["container_id"] == x["container_id"]
        assert tenant.get(f"/api/containers/{x['container_id']}")["state"] == "running"
    assert tenant.exec(results[0]["container_id"], "hostname")["stdout"] == want[0]["name"] + "\n"


@pytest.mark.parametrize("change, status, code, field", [
    ({"name": "a b"}, 400, "VALIDATION_ERROR", "/items/1/name"),
    ({"name": None}, 422, "UNPROCESSABLE_ENTITY", "/items/1/name"),
    ({"command": "sh"}, 422, "UNPROCESSABLE_ENTITY", "/items/1/command"),
    ({"nonsense": 1}, 422, "UNPROCESSABLE_ENTITY", "/items/1/nonsense"),
    ({"image": "nosuch"}, 404, "IMAGE_NOT_FOUND", "/items/1/image"),
    ({"memory_limit_mb": 16777216}, 400, "VALIDATION_ERROR", "/items/1/memory_limit_mb"),
    ({"volumes": ["nosuch:/data"]}, 404, "VOLUME_NOT_FOUND", "/items/1/volumes"),
    ({"gpu_count": 1}, 403, "PLAN_REQUIRED", None),
    ({"async_mode": True}, 400, "VALIDATION_ERROR", "/items/1/async_mode"),
])
def test_one_bad_item_refuses_all(tenant, change, status, code, field):
    want = items(3)
    want[1].update(change)
    r = tenant.post("/api/containers/batch", {"items": want})
    assert r.status == status and r["error_code"] == code, r
    assert field is None or r["details"]["field"] == field, r
    assert tenant.get("/api/containers")["containers"] == [] and tenant.get("/api/operations")["operations"] == []


def test_shapes(tenant):
    for want, status in (({}, 422), ({"items": {}}, 422), ({"items": []}, 400), ({"items": ["x"]}, 422), ({"items": items(101)}, 400)):
        assert tenant.post("/api/containers/batch", want).status == status
    assert tenant.post("/api/containers/batch", {"items": items(1), "async_mode": True}).status == 202
    wait_for(lambda: tenant.get("/api/operations")["operations"][0]["status"] == "succeeded", what="it is done")


def test_names(tenant):
    want = items(3)
    want[2]["name"] = want[0]["name"]
    r = tenant.post("/api/containers/batch", {"items": want})
    assert r.status == 409 and r["error_code"] == "CONTAINER_NAME_CONFLICT" and r["details"]["field"] == "/items/2/name", r
    taken = tenant.post("/api/containers", items(1)[0]).json
    want = items(3)
    want[1]["name"] = taken["name"]
    r = tenant.post("/api/containers/batch", {"items": want})
    assert r.status == 409 and r["error_code"] == "CONTAINER_NAME_CONFLICT" and r["details"]["field"] == "/items/1/name", r
    assert len(tenant.get("/api/containers")["containers"]) == 1


def test_the_quota_takes_all_or_none(stack, tenant):
    """Ten at once, of three each, with room for ten: three have it all, the others nothing."""
    stack.redis("HSET", f"quilt:tenant:{tenant.tenant_id}", "max_containers", "10")
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: tenant.post("/api/containers/batch", {"items": items(3)}), range(10)))
    taken = [r for r in answers if r.status == 202]
    assert len(taken) == 3
    for r in answers:
        assert r in taken or (r.status == 429 and r["error_code"] == "QUOTA_EXCEEDED"), r
    assert all(tenant.operation(r)["status"] == "succeeded" for r in taken)
    assert len(tenant.get("/api/containers")["containers"]) == 9


def test_the_sum_counts(stack, tenant):
    stack.redis("HSET", f"quilt:tenant:{tenant.tenant_id}", "max_memory_mb", "95")
    r = tenant.post("/api/containers/batch", {"items": items(3)})
    assert r.status == 429 and r["error_code"] == "QUOTA_EXCEEDED", r
    assert tenant.operation(tenant.post("/api/containers/batch", {"items": items(2)}))["status"] == "succeeded"


def test_one_volume_for_all(tenant):
    assert tenant.post("/api/volumes", {"name": "shared"}).status == 201
    op = tenant.operation(tenant.post("/api/containers/batch", {"items": items(3, volumes=["shared:/data"])}))
    assert op["status"] == "succeeded", op
    ids = [x["container_id"] for x in op["result"]["results"]]
    tenant.exec(ids[0], "/bin/sh", "-c", "echo seen >/data/f")
    assert tenant.exec(ids[2], "cat", "/data/f")["stdout"] == "seen\n"
    for cid in ids:
        assert tenant.delete(f"/api/containers/{cid}").status == 200
    assert tenant.operation(tenant.delete("/api/volumes/shared"))["status"] == "succeeded"


def test_some_fail_and_leave_nothing(stack, tenant):
    """Two of them cannot be made any more when their turn comes."""
    stack.stop("agent")
    want = items(4)
    r = tenant.post("/api/containers/batch", {"items": want})
    lost = [r["items"][i]["container_id"] for i in (1, 2)]
    for cid in lost:  # an image that is gone meanwhile
        stack.redis("HSET", f"quilt:{{{tenant.tenant_id}}}:ctr:{cid}", "image", "nosuch")
    stack.start("agent")
    op = tenant.operation(r)
    assert op["status"] == "failed" and op["reason_code"] == "IMAGE_NOT_FOUND" and "2 of 4" in op["error"], op
    assert [i["status"] for i in op["items"]] == ["succeeded", "failed", "failed", "succeeded"]
    assert [x["container_id"] is None for x in op["result"]["results"]] == [False, True, True, False]
    assert all(op["items"][i]["error"] for i in (1, 2))
    for i in (1, 2):
        assert tenant.get(f"/api/containers/by-name/{want[i]['name']}").status == 404
    assert len(tenant.get("/api/containers")["containers"]) == 2


def test_cancelled_leaves_nothing(stack, tenant):
    stack.stop("agent")
    first = tenant.post("/api/containers/batch", {"items": items(3)})
    r = tenant.delete(first["status_url"])
    assert r.status == 200 and [i["status"] for i in r["items"]] == ["cancelled"] * 3, r
    assert tenant.get("/api/containers")["containers"] == []
    # Some were made, then the agent died, and then it was cancelled.
    second = tenant.post("/api/containers/batch", {"items": items(3)})
    key = f"quilt:{{{tenant.tenant_id}}}:op:{second['operation_id']}"
    one = tenant.post("/api/containers", items(1)[0]).json["container_id"]
    stuck = json.loads(stack.redis("HGET", key, "items"))
    name = stuck[0]["name"]
    stuck[0].update(container_id=one, status="succeeded")
    stack.redis("HSET", key, "items", json.dumps(stuck), "status", "running", "attempts", "1")
    released = second["items"][0]["container_id"]
    assert tenant.delete(second["status_url"]).status == 202
    stack.start("agent")
    op = tenant.operation(second)
    assert op["status"] == "cancelled" and [i["status"] for i in op["items"]] == ["cancelled"] * 3, op
    assert tenant.get(f"/api/containers/{one}").status == 404
    assert [c["container_id"] for c in tenant.get("/api/containers")["containers"]] == [released]
    assert tenant.get(f"/api/containers/by-name/{name}")["container_id"] == released
