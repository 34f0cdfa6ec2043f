"""Forks of forks, copies of what is being written, and snapshots that Redis lost."""
import concurrent.futures

import pytest

from harness.fixtures import fresh_name
from harness.wait import wait_for


def test_two_hundred_forks_of_forks(make_tenant, census):
    """Each a fork of the one before it, in eight chains at once; deleted in any order, they leave nothing."""
    api = make_tenant("forks", "large")
    before = census()

    def chain(i):
        r = api.post("/api/containers", {"name": fresh_name("root"), "image": "busybox", "memory_limit_mb": 32})
        assert r.status == 201, r
        made, log = [r["container_id"]], ""
        for n in range(1, 26):
            if n % 5 == 0:
                assert api.exec(made[-1], "/bin/sh", "-c", f"echo {i} {n} >>/log")["exit_code"] == 0
                log += f"{i} {n}\n"
            r = api.post(f"/api/containers/{made[-1]}/fork", {"resume_policy": "immediate"})
            assert api.operation(r)["status"] == "succeeded"
            made.append(r["container_id"])
        assert api.exec(made[-1], "cat", "/log")["stdout"] == log
        return made

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        made = sum(pool.map(chain, range(8)), [])
        assert len(made) == 208
        replies = list(pool.map(lambda c: api.delete(f"/api/containers/{c}?timeout_ms=0"), made))
    assert {r.status for r in replies} == {200}, replies
    census.same_as(before)


WRITER = """mkdir /p; cd /p; echo 0 >a.0; echo 0 >b.0; i=0
(while :; do dd if=/dev/zero of=/p/large bs=65536 count=64 2>/dev/null; done) &
while :; do n=$((i + 1)); for f in a b; do echo $n >$f.new; mv $f.new $f.$i; mv $f.$i $f.$n; done; i=$n; done"""


@pytest.mark.parametrize("mode", ["crash-consistent", "app-consistent"])
def test_a_writer_at_full_speed_has_no_torn_pair(stack, api, container, mode):
    """It renames a to the next number and then b: of one moment is what has a and b at the same number, or a at the next."""
    source = container["container_id"]
    r = api.post(f"/api/containers/{source}/exec", {"command": ["/bin/sh", "-c", WRITER], "detach": True})
    assert r.status == 202, r
    pair = ["/bin/sh", "-c", "cd /p; ls -d a.[0-9]* b.[0-9]*; cat a.[0-9]* b.[0-9]*"]

    def now():
        """Its number; nothing is opened, since names go as they are read. 0: between two names."""
        name = api.exec(source, "/bin/sh", "-c", "cd /p && echo b.[0-9]*")["stdout"].split()[-1]
        return int(name[2:]) if name[2:].isdigit() else 0

    wait_for(lambda: now() > 5, what="the writer writes")
    made, seen, snapshots = [], set(), []
    for n in range(3):
        taken = api.post(f"/api/containers/{source}/snapshot", {"consistency_mode": mode})
        forked = api.post(f"/api/containers/{source}/fork", {"consistency_mode": mode, "resume_policy": "immediate"})
        ends = [api.operation(taken), api.operation(forked)]
        assert [e["status"] for e in ends] == ["succeeded"] * 2, ends
        if mode == "crash-consistent" and stack.driver == "btrfs":
            assert all(e["result"]["paused_us"] == 0 for e in ends), ends
        cloned = api.post(f"/api/snapshots/{taken['snapshot_id']}/clone", {"resume_policy": "immediate"})
        assert api.operation(cloned)["status"] == "succeeded"
        snapshots.append(taken["snapshot_id"])
        made += [forked["container_id"], cloned["container_id"]]
    for c in made:
        a, b, *content = api.exec(c, *pair)["stdout"].split()
        a, b = int(a.removeprefix("a.")), int(b.removeprefix("b."))
        assert a in (b, b + 1), (a, b)
        if mode == "app-consistent":
            x, y = int(content[0]), int(content[1])
            assert x in (y, y + 1) and x in (a, a + 1) and y in (b, b + 1), (a, b, content)
        seen.add(a)
    assert len(seen) > 2, f"the writer stood still: {seen}"
    last = max(seen)
    wait_for(lambda: now() > last, what="it writes on")
    for c in made:
        assert api.delete(f"/api/containers/{c}?timeout_ms=0").status == 200
    for s in snapshots:
        assert api.delete(f"/api/snapshots/{s}").status == 200


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

    stack.wait_for_copy(api)
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
