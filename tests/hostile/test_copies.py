"""Forks of forks, and what a kill -9 in the middle of a snapshot, a clone and a fork leaves: one of two ends, and nothing else."""
import collections
import concurrent.futures

import pytest

from harness.fixtures import fresh_name
from harness.wait import wait_for


def test_fifty_forks_of_forks(make_tenant, census):
    """Each a fork of the one before it, in five chains at once; deleted in any order, they leave nothing."""
    api = make_tenant("forks")
    before = census()

    def chain(i):
        r = api.post("/api/containers", {"name": fresh_name("root"), "image": "busybox", "memory_limit_mb": 32})
        assert r.status == 201, r
        made = [r["container_id"]]
        for n in range(10):
            assert api.exec(made[-1], "/bin/sh", "-c", f"echo {i} {n} >>/log")["exit_code"] == 0
            r = api.post(f"/api/containers/{made[-1]}/fork", {"resume_policy": "immediate"})
            assert api.operation(r)["status"] == "succeeded"
            made.append(r["container_id"])
        assert api.exec(made[-1], "cat", "/log")["stdout"] == "".join(f"{i} {n}\n" for n in range(10))
        return made

    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        made = sum(pool.map(chain, range(5)), [])
        assert len(made) == 55
        replies = list(pool.map(lambda c: api.delete(f"/api/containers/{c}"), made))
    assert {r.status for r in replies} == {200}, replies
    census.same_as(before)


def kinds(api, source, snapshot):
    """What is asked for, each: the receipt, and whether its end is there."""
    yield api.post(f"/api/containers/{source}/snapshot"), lambda r: f"/api/snapshots/{r['snapshot_id']}"
    yield api.post(f"/api/snapshots/{snapshot}/clone", {"resume_policy": "immediate"}), lambda r: f"/api/containers/{r['container_id']}"
    yield api.post(f"/api/containers/{source}/fork", {"resume_policy": "immediate"}), lambda r: f"/api/containers/{r['container_id']}"
    yield api.post(f"/api/containers/{source}/fork"), lambda r: f"/api/containers/{r['container_id']}"


@pytest.mark.parametrize("victim", ["agent", "runtime"])
def test_killed_in_the_middle(stack, make_tenant, census, victim):
    api = make_tenant(f"killed-{victim}")
    before = census()
    r = api.post("/api/containers", {"name": "source", "image": "busybox", "memory_limit_mb": 32})
    source = r["container_id"]
    # Enough to be copied that the kill finds it at work.
    assert api.exec(source, "/bin/sh", "-c", "mkdir /d && i=0; while [ $i -lt 200 ]; do echo $i >/d/$i; i=$((i+1)); done; "
                    "dd if=/dev/zero of=/d/large bs=65536 count=512")["exit_code"] == 0
    r = api.post(f"/api/containers/{source}/snapshot")
    assert api.operation(r)["status"] == "succeeded"
    snapshot = r["snapshot_id"]

    asked = list(kinds(api, source, snapshot))
    assert {r.status for r, _ in asked} == {202}, asked
    wait_for(lambda: any(api.get(r["status_url"]).json["status"] == "running" for r, _ in asked) or
             all(api.get(r["status_url"]).json["status"] == "succeeded" for r, _ in asked), what="they are under way", every=0.001)
    stack.kill(victim)
    for r, where in asked:
        end = api.operation(r, deadline=120)
        there = api.get(where(r))
        assert (end["status"], there.status) in (("succeeded", 200), ("failed", 404), ("timed_out", 404)), (end, there)
        if there.status == 200 and "state" in there.json:
            if there["state"] == "created":
                assert api.operation(api.post(f"{where(r)}/start"))["status"] == "succeeded"
            assert api.exec(r["container_id"], "cat", "/d/199")["stdout"] == "199\n"
    for r, where in asked:
        wait_for(lambda: api.delete(where(r)).status in (200, 404), what="it is deleted")
    assert api.delete(f"/api/snapshots/{snapshot}").status == 200
    assert api.delete(f"/api/containers/{source}").status == 200
    # The keeper counts deaths.
    census.same_as(before + collections.Counter([f"file {stack.run}/pids/{victim}.deaths"]))


def test_a_wiped_redis_has_its_snapshots_again(stack, make_tenant):
    api = make_tenant("wiped")
    r = api.post("/api/containers", {"name": "source", "image": "busybox", "memory_limit_mb": 32})
    source = r["container_id"]
    made = []
    for labels in ({"n": "0"}, {"n": "1"}):
        r = api.post(f"/api/containers/{source}/snapshot", {"labels": labels, "ttl_seconds": 86400})
        assert api.operation(r)["status"] == "succeeded"
        made.append(r["snapshot_id"])
    assert api.post(f"/api/snapshots/{made[0]}/pin").status == 200
    r = api.post(f"/api/snapshots/{made[1]}/clone")
    assert api.operation(r)["status"] == "succeeded"
    clone = r["container_id"]
    header = {"X-Tenant-Id": api.tenant_id}
    before = api.get("/api/snapshots", headers=header).json
    containers = api.get("/api/containers").json
    assert len(before["snapshots"]) == 2 and before["snapshots"][0]["pinned"] is True

    def copied():
        with open(f"{stack.state}/agent/keys.json", encoding="utf-8") as f:
            return api.tenant_id in f.read()

    wait_for(copied, what="the agent's copy of the keys has this one")
    stack.redis("FLUSHALL")
    wait_for(lambda: len(api.get("/api/snapshots", headers=header)["snapshots"]) == 2 and
             len(api.get("/api/containers")["containers"]) == 2, deadline=120, what="the agent mends Redis")
    assert api.get("/api/snapshots", headers=header).json == before
    assert api.get("/api/containers").json == containers
    # A snapshot of the clone still knows whose child it is.
    assert api.operation(api.post(f"/api/containers/{clone}/start"))["status"] == "succeeded"
    r = api.post(f"/api/containers/{clone}/snapshot")
    assert api.operation(r)["status"] == "succeeded"
    assert api.get(f"/api/snapshots/{r['snapshot_id']}")["parent_snapshot_id"] == made[1]
    made.append(r["snapshot_id"])
    assert api.post(f"/api/snapshots/{made[0]}/unpin").status == 200
    for s in made:
        assert api.delete(f"/api/snapshots/{s}").status == 200
    for c in (source, clone):
        assert api.delete(f"/api/containers/{c}").status == 200
