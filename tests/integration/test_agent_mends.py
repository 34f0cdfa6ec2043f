"""The agent: what a death left half done is made whole, and nothing is done twice."""
import json
import os
import shutil
import signal

import pytest

from harness.fixtures import fresh_name
from harness.gpus import known, offered
from harness.stack import Stack
from harness.usage import records, usage_of
from harness.wait import wait_for


def keys_of(stack, tenant):
    return f"quilt:{{{tenant}}}"


def usage(stack, tenant, cid, event_type):
    """How many usage records of this kind there are for the container."""
    answer = stack.redis("--json", "XRANGE", f"{keys_of(stack, tenant)}:usage", "-", "+")
    n = 0
    for _, fields in json.loads(answer or "[]"):
        record = dict(zip(fields[::2], fields[1::2])) if isinstance(fields, list) else fields
        n += record["event_type"] == event_type and record["container_id"] == cid
    return n


def state_of(api, cid):
    r = api.get(f"/api/containers/{cid}")
    return r.json["state"] if r.status == 200 else r.status


def test_an_exit_is_noticed_and_billed_once(stack, api, container):
    cid = container["container_id"]
    os.kill(container["pid"], signal.SIGKILL)
    wait_for(lambda: state_of(api, cid) == "exited", what="the exit is seen")
    c = api.get(f"/api/containers/{cid}").json
    assert c["pid"] is None and c["exit_code"] == 137 and c["exited_at"]
    assert usage(stack, c["tenant_id"], cid, "container_stopped") == 1
    assert api.operation(api.post(f"/api/containers/{cid}/resume"))["status"] == "succeeded"
    assert api.exec(cid, "echo", "back")["stdout"] == "back\n"
    r = api.post(f"/api/containers/{cid}/stop")
    assert r.status == 200, r
    assert usage(stack, c["tenant_id"], cid, "container_stopped") == 2


def test_what_was_never_made_is_released(stack, api):
    """A worker died after it had reserved: the name is free again when the deadline has passed."""
    name, cid = fresh_name(), "ctr_" + "0" * 25 + "1"
    tenant = api.tenant_id
    key = f"{keys_of(stack, tenant)}:ctr:{cid}"
    made = api.post("/api/containers", {"name": fresh_name(), "image": "busybox"})
    assert made.status == 201, made
    # The record of a real one, as the reserving function writes it, under another id and name.
    model = f"{keys_of(stack, tenant)}:ctr:{made['container_id']}"
    fields = json.loads(stack.redis("--json", "HGETALL", model))
    fields |= {"id": cid, "name": name, "state": "created", "pid": "0", "started_ms": "0", "ip_address": "", "deadline_ms": "1"}
    args = [tenant, cid] + [x for pair in fields.items() for x in pair]
    assert stack.redis("FCALL", "qt_ctr_reserve", "1", key, *args) == "OK"
    wait_for(lambda: stack.redis("EXISTS", key) == "0", what="the reservation is released")
    assert api.get(f"/api/containers/by-name/{name}").status == 404
    assert api.delete(f"/api/containers/{made['container_id']}").status == 200


def test_a_delete_cut_off_is_finished(stack, api, make_container):
    """The mark is set, and then the worker died."""
    c = make_container()
    cid = c["container_id"]
    stack.redis("HSET", f"{keys_of(stack, c['tenant_id'])}:ctr:{cid}", "deleting_ms", "1")
    wait_for(lambda: state_of(api, cid) == 404, what="the agent has finished the delete")
    assert usage(stack, c["tenant_id"], cid, "container_stopped") == 1
    assert not os.path.exists(f"/proc/{c['pid']}/ns/pid")


def test_what_a_dead_agent_had_fetched_goes(stack, tmp_path):
    """Also of a pull that nobody takes up again: its image was stored, and then the agent died."""
    up, outside = f"{stack.state}/agent/pull", tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    one = f"{up}/op_{fresh_name()}"
    os.makedirs(one)
    for name in ("manifest", "config", "layer.0"):
        with open(f"{one}/{name}", "w", encoding="ascii") as f:
            f.write("x")
    os.symlink(outside, f"{one}/link")
    os.symlink(outside, f"{up}/link")
    for path in (up, one):
        shutil.chown(path, "quilt-agent")
    stack.kill("agent")
    assert os.listdir(up) == ["link"]
    assert (outside / "kept").exists()
    os.unlink(f"{up}/link")


def test_operations_survive_the_agent(stack, api, make_container):
    """Killed while it stops a container that does not want to: the operation ends, and its effect is there once."""
    c = make_container(command=["/bin/sh", "-c", "trap '' TERM; echo armed; while :; do sleep 1; done"])
    cid = c["container_id"]
    wait_for(lambda: any(line["message"] == "armed" for line in api.get(f"/api/containers/{cid}/logs").json["logs"]),
             what="the command is armed")
    r = api.post(f"/api/containers/{cid}/stop?execution=async", {"timeout_seconds": 3})
    assert r.status == 202, r
    url = r["status_url"]
    wait_for(lambda: api.get(url).json["status"] == "running", what="the agent has begun")
    stack.kill("agent")
    op = api.operation(r)
    assert op["status"] == "succeeded" and op["result"]["container_id"] == cid, op
    assert state_of(api, cid) == "exited"
    assert usage(stack, c["tenant_id"], cid, "container_stopped") == 1


def test_operations_wait_for_an_agent(stack, api, make_container):
    c = make_container()
    cid = c["container_id"]
    assert api.post(f"/api/containers/{cid}/kill").status == 200
    stack.stop("agent")
    try:
        first = api.post(f"/api/containers/{cid}/start")
        second = api.post(f"/api/containers/{cid}/resume")
        assert first.status == second.status == 202
        assert state_of(api, cid) == "exited"
    finally:
        stack.start("agent")
    # Both were possible when they were asked for, and both see what they wanted: a running container, started once.
    assert [api.operation(r)["status"] for r in (first, second)] == ["succeeded"] * 2
    assert state_of(api, cid) == "running"
    assert usage(stack, c["tenant_id"], cid, "container_started") == 2  # the create's and this one


@pytest.fixture(scope="module")
def lonely():
    """A stack of its own, whose Redis may be emptied."""
    s = Stack(conf={"reconcile_s": 1, "usage_sample_s": 1})
    try:
        s.up()
        yield s
    finally:
        s.down()
    s.remove()


def test_flushall_is_mended(lonely):
    from harness.client import Api

    tenant = lonely.ctl("tenant", "create", fresh_name()).stdout.split()[0]
    api = Api(lonely, lonely.ctl("key", "create", "--tenant", tenant, "--name", "k").stdout.strip(), tenant)
    revoked = Api(lonely, lonely.ctl("key", "create", "--tenant", tenant, "--name", "r").stdout.strip(), tenant)
    assert revoked.get("/api/containers").status == 200
    key_id = next(line.split()[0] for line in lonely.ctl("key", "list").stdout.splitlines() if " r " in f" {' '.join(line.split())} ")
    lonely.ctl("key", "revoke", key_id)
    ids = []
    for i in range(5):
        r = api.post("/api/containers", {"name": f"c{i}", "image": "busybox", "environment": {"I": str(i)}, "labels": {"n": str(i)}})
        assert r.status == 201, r
        ids.append(r["container_id"])
    assert api.post(f"/api/containers/{ids[0]}/rename", {"new_name": "renamed"}).status == 200
    assert api.patch(f"/api/containers/{ids[1]}/env", {"environment": {"NEW": "yes"}}).status == 200
    assert api.post(f"/api/containers/{ids[2]}/kill").status == 200
    before = {c["container_id"]: c for c in api.get("/api/containers").json["containers"]}
    copy = f"{lonely.state}/agent/keys.json"

    def copied():
        with open(copy, encoding="utf-8") as f:
            return any(k["key_id"] == key_id and k["revoked"] == "1" for k in json.load(f)["keys"])

    wait_for(copied, what="the agent's copy has the revocation")
    assert os.stat(copy).st_mode & 0o777 == 0o600

    assert lonely.redis("FLUSHALL") == "OK"

    def mended():
        r = api.get("/api/containers")
        return r.status == 200 and {c["container_id"]: c for c in r.json["containers"]} == before

    wait_for(mended, what="Redis has everything again")
    assert revoked.get("/api/containers").status == 401
    assert api.get("/api/containers/by-name/renamed").json["container_id"] == ids[0]
    assert api.exec(ids[1], "/bin/sh", "-c", "echo $I$NEW")["stdout"] == "1yes\n"
    for cid in ids:
        assert api.delete(f"/api/containers/{cid}").status == 200


@pytest.fixture
def lonely_api(lonely):
    """A client of a new tenant of that stack."""
    from harness.client import Api

    tenant = lonely.ctl("tenant", "create", fresh_name()).stdout.split()[0]
    return Api(lonely, lonely.ctl("key", "create", "--tenant", tenant, "--name", "k").stdout.strip(), tenant)


def test_volumes_cut_off(lonely, lonely_api):
    """A worker died after it had reserved; another after it had begun a delete."""
    api, tenant = lonely_api, lonely_api.tenant_id
    v = api.post("/api/volumes", {"name": "data"}).json
    model = json.loads(lonely.redis("--json", "HGETALL", f"{keys_of(lonely, tenant)}:vol:{v['id']}"))
    lost = "vol_" + "0" * 25 + "1"
    fields = model | {"id": lost, "name": "lost", "deadline_ms": "1"}
    args = [tenant, lost] + [x for pair in fields.items() for x in pair]
    assert lonely.redis("FCALL", "qt_vol_reserve", "1", f"{keys_of(lonely, tenant)}:ctrs", *args) == "OK"
    lonely.redis("HSET", f"{keys_of(lonely, tenant)}:vol:{v['id']}", "deleting_ms", "1")
    wait_for(lambda: lonely.redis("EXISTS", f"{keys_of(lonely, tenant)}:vol:{lost}") == "0", what="the reservation is released")
    wait_for(lambda: api.get(f"/api/volumes/{v['id']}").status == 404, what="the delete is finished")
    assert usage_of(lonely, tenant, v["id"]) == ["volume_created", "volume_deleted"]
    assert usage_of(lonely, tenant, lost) == []


def test_volume_deletes_survive_the_runtime(lonely, lonely_api):
    api, tenant = lonely_api, lonely_api.tenant_id
    ids = [api.post("/api/volumes", {"name": f"v{i}"})["id"] for i in range(6)]
    receipts = [api.delete(f"/api/volumes/{v}") for v in ids]
    lonely.kill("runtime")
    assert [api.operation(r)["status"] for r in receipts] == ["succeeded"] * 6
    assert api.get("/api/volumes")["volumes"] == []
    for v in ids:
        assert usage_of(lonely, tenant, v) == ["volume_created", "volume_deleted"]


def test_samples_and_sums(lonely, lonely_api):
    """One sample a period, also when the agent dies; and what quiltctl sums is what the stop tells."""
    api, tenant = lonely_api, lonely_api.tenant_id
    cid = api.post("/api/containers", {"name": "c", "image": "busybox", "memory_limit_mb": 64})["container_id"]

    def samples():
        return [r for r in records(lonely, tenant) if r["event_type"] == "container_runtime"]

    wait_for(samples, what="a sample")
    for _ in range(2):
        lonely.kill("agent")
    seen = len(samples())
    wait_for(lambda: len(samples()) > seen, what="a sample of the new agent")
    assert api.post(f"/api/containers/{cid}/kill").status == 200
    all_of_it = usage_of(lonely, tenant, cid)
    assert [all_of_it.count(k) for k in ("container_created", "container_started", "network_allocated", "container_stopped")] == [1] * 4
    got = samples()
    periods = [r["metadata"]["until_ms"] // 1000 for r in got]
    assert len(set(periods)) == len(periods), periods
    # Each begins where the one before ended, the first one with the container.
    stop = records(lonely, tenant)[-1]
    assert stop["event_type"] == "container_stopped" and stop["memory_mb"] == "64"
    edges = [stop["metadata"]["from_ms"]] + [r["metadata"]["until_ms"] for r in got]
    assert [r["metadata"]["from_ms"] for r in got] == edges[:-1]
    ran = (max(stop["metadata"]["until_ms"], edges[-1]) - edges[0]) / 1000
    assert float(stop["duration_seconds"]) == (stop["metadata"]["until_ms"] - stop["metadata"]["from_ms"]) / 1000
    total = json.loads(lonely.ctl("usage", "--tenant", tenant, "--json").stdout)[0]
    assert abs(total["container_seconds"] - ran) < 0.01 and abs(total["memory_mb_seconds"] - 64 * ran) < 1, (total, ran)
    assert total["containers_created"] == total["container_starts"] == 1 and total["complete"] is True
    assert api.delete(f"/api/containers/{cid}").status == 200


def test_flushall_keeps_volumes(lonely, lonely_api):
    api, tenant = lonely_api, lonely_api.tenant_id
    v = api.post("/api/volumes", {"name": "data", "labels": {"a": "b"}, "options": {"size": "64M"}}).json
    assert api.post("/api/volumes/data/rename", {"new_name": "kept"}).status == 200
    assert api.post("/api/volumes", {"name": "spare"}).status == 201
    r = api.post("/api/containers", {"name": "c", "image": "busybox", "volumes": ["kept:/data"]})
    assert r.status == 201, r
    cid = r["container_id"]
    assert api.exec(cid, "/bin/sh", "-c", "echo hi >/data/f")["exit_code"] == 0
    before = api.get("/api/volumes").json
    quota = lonely.ctl("tenant", "quota", tenant, "--set", "volumes=77")
    assert quota.returncode == 0

    def copied():
        with open(f"{lonely.state}/agent/keys.json", encoding="utf-8") as f:
            return any(t["id"] == tenant and t["max_volumes"] == "77" for t in json.load(f)["tenants"])

    wait_for(copied, what="the agent's copy has the tenant")
    assert lonely.redis("FLUSHALL") == "OK"

    def mended():
        r = api.get("/api/volumes")
        return r.status == 200 and r.json == before and api.get("/api/containers/by-name/c").status == 200

    wait_for(mended, what="Redis has everything again")
    assert lonely.redis("HGET", f"quilt:tenant:{tenant}", "max_volumes") == "77"
    assert api.get(f"/api/volumes/{v['id']}/inspect")["used_by"] == [cid]
    assert api.delete("/api/volumes/kept").status == 409
    assert api.exec(cid, "cat", "/data/f")["stdout"] == "hi\n"
    assert api.post(f"/api/containers/{cid}/kill").status == 200
    assert api.operation(api.post(f"/api/containers/{cid}/start"))["status"] == "succeeded"
    assert api.exec(cid, "cat", "/data/f")["stdout"] == "hi\n"
    assert api.delete(f"/api/containers/{cid}").status == 200
    for name in ("kept", "spare"):
        assert api.delete(f"/api/volumes/{name}?execution=sync").status == 200


def test_flushall_keeps_terminals(lonely, lonely_api):
    """Whoever holds them puts their records back: those of clients, those that were left, those to which nobody came yet. Those that were deleted stay away."""
    from harness.terminal import Terminal

    api = lonely_api
    cid = api.post("/api/containers", {"name": "c", "image": "busybox"})["container_id"]
    watched, left, fresh, deleted = (api.post("/api/terminal/sessions", {"container_id": cid})["session_id"] for _ in range(4))
    lonely.wait_for_copy(api)

    def held():
        fds = f"/proc/{lonely.pid('stream')}/fd"
        return sum("ptmx" in os.readlink(f"{fds}/{fd}") for fd in os.listdir(fds))

    def seen():
        r = api.get("/api/terminal/sessions")
        keys = ("session_id", "container_id", "shell", "pid", "cols", "rows", "created_at", "expires_at")
        return r.status == 200 and [[s[k] for k in keys] for s in r.json["sessions"]]

    assert api.delete(f"/api/terminal/sessions/{deleted}").status == 200
    wait_for(lambda: held() == 3, what="all are taken up")
    with Terminal(api, f"session_id={left}") as t:
        t.run("X=left; echo a''a", "aa")
    with Terminal(api, f"session_id={watched}") as t:
        t.run("X=watched; echo a''a", "aa")
        before = seen()
        assert len(before) == 3
        assert lonely.redis("FLUSHALL") == "OK"
        wait_for(lambda: seen() == before, what="all are listed again")
        t.run("echo $X-", "watched-")
    with Terminal(api, f"session_id={left}") as t:
        t.run("echo $X-", "left-")
    for s in watched, left, fresh:
        assert api.delete(f"/api/terminal/sessions/{s}").status == 200
    assert api.get(f"/api/terminal/sessions/{deleted}").status == 404
    assert api.get("/api/terminal/sessions").json == {"sessions": []}
    assert api.delete(f"/api/containers/{cid}").status == 200


def test_gpus_after_flushall(lonely, lonely_api):
    """Who has which GPU comes back with the containers, and nobody gets it in between."""
    api, tenant = lonely_api, lonely_api.tenant_id
    lonely.ctl("tenant", "quota", tenant, "--set", "gpus=2")
    with offered(lonely):
        made = [api.post("/api/containers", {"name": f"gpu{i}", "image": "busybox", "gpu_count": 1}) for i in range(2)]
        assert [(r.status, r.json["gpu_ids"]) for r in made] == [(201, ["nvidia0"]), (201, ["nvidia1"])], made
        ids = [r.json["container_id"] for r in made]
        assert api.post(f"/api/containers/{ids[1]}/kill").status == 200

        def copied():
            with open(f"{lonely.state}/agent/keys.json", encoding="utf-8") as f:
                return any(t["id"] == tenant and t["max_gpus"] == "2" for t in json.load(f)["tenants"])

        wait_for(copied, what="the agent's copy has the tenant")
        assert lonely.redis("FLUSHALL") == "OK"
        want = {"nvidia0": f"{tenant}/{ids[0]}", "nvidia1": f"{tenant}/{ids[1]}"}

        def mended():
            assert api.post("/api/containers", {"name": "thief", "image": "busybox", "gpu_count": 1}).status != 201
            return {k: v for k, v in known(lonely).items() if k in want} == want and \
                [api.get(f"/api/containers/{i}").json.get("gpu_ids") for i in ids] == [["nvidia0"], ["nvidia1"]]

        wait_for(mended, what="Redis has everything again")
        # A record that is lost for good leaves nothing taken.
        for i in ids:
            assert api.delete(f"/api/containers/{i}").status == 200
        assert {k: v for k, v in known(lonely).items() if k in want} == {"nvidia0": "", "nvidia1": ""}
