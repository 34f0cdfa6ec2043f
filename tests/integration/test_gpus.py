"""GPUs from the request to the device in the container: who may, who gets which, and that it stays so."""
import concurrent.futures

import pytest

from harness.fixtures import fresh_name
from harness.gpus import known, offered
from harness.wait import wait_for
from test_refusals import refused


@pytest.fixture(scope="module")
def gpus(stack):
    with offered(stack):
        yield


@pytest.fixture(scope="module")
def rich(make_tenant):
    """A client whose plan has GPUs."""
    return make_tenant(plan="large")


def body(**fields):
    return {"name": fresh_name("g"), "image": "busybox", "memory_limit_mb": 32, **fields}


def opens(client, cid, n):
    """Does /dev/quiltN open inside?"""
    return client.exec(cid, "/bin/sh", "-c", f"exec 3<>/dev/quilt{n} && echo open")["stdout"] == "open\n"


def delete(client, cid):
    r = client.delete(f"/api/containers/{cid}")
    assert r.status == 200, r


def operations(stack, client):
    return stack.redis("--scan", "--pattern", f"quilt:{{{client.tenant_id}}}:op:*").splitlines()


def test_order_of_refusals(stack, gpus, api, rich, make_tenant, census):
    """Shape, plan, quota, capacity; none of them leaves an operation, a container or a GPU taken."""
    poor, bounded = api, make_tenant(plan="large")
    stack.ctl("tenant", "quota", bounded.tenant_id, "--set", "gpus=1")
    before, ops = census(), operations(stack, poor) + operations(stack, rich) + operations(stack, bounded)
    for query in ("", "?execution=async"):
        for ids in (["nvidia0"], ["nvidia0", "0"], ["nvidia0", "quilt.test/gpu=0"], ["nvidia0", "all"], ["nvidia0", "/dev/fuse"], ["nvidia0", ""],
                    ["nvidia0", "nvidia.com/gpu=1"], ["nvidia0", "a b"], ["nvidia0", "x" * 200], ["nvidia0", "nvidia1", "nvidia2"]):
            field = refused(poor.post(f"/api/containers{query}", body(gpu_count=2, gpu_ids=ids)), 400, "VALIDATION_ERROR")["details"]["field"]
            assert field.startswith("/gpu_ids"), ids
        refused(poor.post(f"/api/containers{query}", body(gpu_count=0, gpu_ids=["nvidia0"])), 400, "VALIDATION_ERROR")
        refused(poor.post(f"/api/containers{query}", body(gpu_count=65)), 400, "VALIDATION_ERROR")
        refused(poor.post(f"/api/containers{query}", body(gpu_count=64)), 403, "PLAN_REQUIRED")
        details = refused(bounded.post(f"/api/containers{query}", body(gpu_count=2, gpu_ids=["nvidia7", "nvidia8"])), 429, "QUOTA_EXCEEDED")["details"]
        assert (details["quota"], details["limit"]) == ("gpus", 1)
        for fields in ({"gpu_count": 3}, {"gpu_count": 1, "gpu_ids": ["nvidia7"]}, {"gpu_count": 1, "gpu_ids": ["GPU-11111111-2222"]}):
            assert "GPU" in refused(rich.post(f"/api/containers{query}", body(**fields)), 503, "CAPACITY_FULL")["hint"]
    refused(rich.post("/api/containers", body(gpu_count=1, devices=["/dev/nvidia0"])), 422, "UNPROCESSABLE_ENTITY")
    assert operations(stack, poor) + operations(stack, rich) + operations(stack, bounded) == ops
    assert set(known(stack).values()) == {"", "=nvidia0"}
    census.same_as(before)


def test_inside(stack, gpus, rich):
    r = rich.post("/api/containers", body(gpu_count=1, gpu_ids=["other-0"], command=["/bin/sh", "-c", "echo gpu=$QUILT_GPU; sleep 100000"]))
    assert r.status == 201, r
    cid = r.json["container_id"]
    # By the name that counts, wherever it is shown.
    assert (r.json["gpu_count"], r.json["gpu_ids"]) == (1, ["nvidia0"])
    assert rich.get(f"/api/containers/{cid}").json["gpu_ids"] == ["nvidia0"]
    assert opens(rich, cid, 0)
    assert rich.exec(cid, "/bin/sh", "-c", "ls /dev; cat /opt/driver/driver")["stdout"].split().count("quilt1") == 0
    assert rich.exec(cid, "cat", "/opt/driver/driver")["stdout"] == "of the host\n"
    assert "Read-only" in rich.exec(cid, "/bin/sh", "-c", "echo x >/opt/driver/driver")["stderr"]
    wait_for(lambda: "gpu=0" in rich.get(f"/api/containers/{cid}/logs").text, what="the command has its environment")
    # So has every exec, unless it says something else.
    assert rich.exec(cid, "/bin/sh", "-c", "echo $QUILT_GPU")["stdout"] == "0\n"
    r = rich.post(f"/api/containers/{cid}/exec", {"command": ["/bin/sh", "-c", "echo $QUILT_GPU"], "environment": {"QUILT_GPU": "mine"}})
    assert r["stdout"] == "mine\n", r
    info = rich.get("/api/system/info").json
    assert info["features"] == {"exec": True, "volumes": True, "gpu": True, "oci": True} and info["limits"]["gpus"] == 2
    status = stack.ctl("status").stdout
    assert f"nvidia0: {cid}" in status and "2, 1 of them taken" in status
    plain = rich.post("/api/containers", body())
    assert plain.status == 201 and (plain.json["gpu_count"], plain.json["gpu_ids"]) == (0, [])
    assert rich.exec(plain.json["container_id"], "/bin/sh", "-c", "ls /dev /opt")["stdout"].count("quilt") == 0
    delete(rich, plain.json["container_id"])
    delete(rich, cid)
    assert known(stack)["nvidia0"] == ""


def test_one_device_one_container(stack, gpus, rich, census):
    for query in ("?execution=async", ""):
        before = census()  # behind the tenant's first operation, whose fencing counter stays
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            made = list(pool.map(lambda i: rich.post(f"/api/containers{query}", body(gpu_count=1, gpu_ids=["nvidia1"])), range(8)))
        won = [r for r in made if r.status in (201, 202)]
        assert len(won) == 1 and sorted(r.status for r in made) == [won[0].status] + [503] * 7, made
        if query:
            assert rich.operation(won[0])["status"] == "succeeded"
        cid = won[0].json["container_id"]
        assert opens(rich, cid, 1)
        assert rich.get(f"/api/containers/{cid}").json["gpu_ids"] == ["nvidia1"]
        delete(rich, cid)
        assert known(stack)["nvidia1"] == ""
    # Both at once, without saying which.
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda i: rich.post("/api/containers", body(gpu_count=1)), range(4)))
    won = [r.json for r in made if r.status == 201]
    assert sorted(c["gpu_ids"][0] for c in won) == ["nvidia0", "nvidia1"], made
    for c in won:
        delete(rich, c["container_id"])
    census.same_as(before)


def test_batches(stack, gpus, rich, census):
    """All of a batch's containers have their GPUs, each its own, before there is an operation; or none has."""
    before, ops = census(), operations(stack, rich)
    one, named, any_other = body(), body(gpu_count=1, gpu_ids=["nvidia1"]), body(gpu_count=1)
    refused(rich.post("/api/containers/batch", {"items": [one, named, any_other, body(gpu_count=1)]}), 503, "CAPACITY_FULL")
    assert operations(stack, rich) == ops and set(known(stack).values()) == {"", "=nvidia0"}
    census.same_as(before)
    op = rich.operation(rich.post("/api/containers/batch", {"items": [one, named, any_other]}))
    assert op["status"] == "succeeded", op
    made = [rich.get(f"/api/containers/{x['container_id']}").json for x in op["result"]["results"]]
    assert [c["gpu_ids"] for c in made] == [[], ["nvidia1"], ["nvidia0"]]
    assert opens(rich, made[1]["container_id"], 1) and opens(rich, made[2]["container_id"], 0)
    for c in made:
        delete(rich, c["container_id"])
    census.same_as(before)


def test_a_copy_has_none(stack, gpus, rich):
    r = rich.post("/api/containers", body(gpu_count=1))
    assert r.status == 201, r
    cid = r.json["container_id"]
    op = rich.operation(rich.post(f"/api/containers/{cid}/fork", {"name": fresh_name("g"), "resume_policy": "immediate"}))
    assert op["status"] == "succeeded" and any("gpu_count" in d for d in op["capability_downgrades"]), op
    copy = rich.get(f"/api/containers/{op['result']['container_id']}").json
    assert (copy["gpu_count"], copy["gpu_ids"]) == (0, []) and copy["state"] == "running"
    assert rich.exec(copy["container_id"], "ls", "/dev")["stdout"].count("quilt") == 0
    # A snapshot says it already, and so does what is made of it.
    taken = rich.post(f"/api/containers/{cid}/snapshot")
    clone = rich.post(f"/api/snapshots/{taken['snapshot_id']}/clone", {"name": fresh_name("g"), "resume_policy": "immediate"})
    for op in (rich.operation(taken), rich.operation(clone)):
        assert op["status"] == "succeeded" and op["capability_downgrades"] == ["gpu_count: a copy gets no GPUs"], op
    assert rich.get(f"/api/containers/{clone['container_id']}")["gpu_count"] == 0
    assert rich.delete(f"/api/snapshots/{taken['snapshot_id']}").status == 200
    for i in (cid, copy["container_id"], clone["container_id"]):
        delete(rich, i)


def test_it_stays(stack, gpus, rich):
    """Stopped, started, with each daemon killed: the same GPU, and nobody else's."""
    r = rich.post("/api/containers", body(gpu_count=2))
    assert r.status == 201, r
    cid, other = r.json["container_id"], body(gpu_count=1)
    assert rich.post(f"/api/containers/{cid}/kill").status == 200
    refused(rich.post("/api/containers", other), 503, "CAPACITY_FULL")
    for program in ("runtime", "agent", "redis"):
        stack.kill(program)
        wait_for(lambda: rich.get(f"/api/containers/{cid}").status == 200, what="the API is back")
        wait_for(lambda: rich.post("/api/containers", other).status == 503, what="it is taken")
        assert set(known(stack).values()) == {f"{rich.tenant_id}/{cid}", "=nvidia0"}
    assert rich.operation(rich.post(f"/api/containers/{cid}/start"))["status"] == "succeeded"
    assert opens(rich, cid, 0) and opens(rich, cid, 1)
    assert rich.get(f"/api/containers/{cid}").json["gpu_ids"] == ["nvidia0", "nvidia1"]
    delete(rich, cid)
    r = rich.post("/api/containers", other)
    assert r.status == 201, r
    delete(rich, r.json["container_id"])
