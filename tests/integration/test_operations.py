"""Operations: each status, lists, cancelling, deadlines. What a kill -9 leaves: hostile/test_every_step.py."""
import concurrent.futures

import pytest

from harness.fixtures import fresh_name
from harness.wait import wait_for

STUBBORN = ["/bin/sh", "-c", "trap '' TERM; echo armed; while :; do sleep 1; done"]


def key_of(api, op):
    return f"quilt:{{{api.tenant_id}}}:op:{op}"


def status_of(api, op):
    return api.get(f"/api/operations/{op}").json["status"]


def later(api, **fields):
    """A create that an agent is to do: the 202 answer's JSON."""
    r = api.post("/api/containers?execution=async", {"name": fresh_name("op"), "image": "busybox", "memory_limit_mb": 32, **fields})
    assert r.status == 202, r
    return r.json


@pytest.fixture
def stopped_agent(stack):
    stack.stop("agent")
    yield stack
    stack.start("agent")


@pytest.fixture
def busy(api, make_container):
    """Every slot that a tenant may have is taken by a stop of a container that does not want to. busy() lets go: the operations."""
    made = [make_container(command=STUBBORN, memory_limit_mb=32)["container_id"] for _ in range(4)]
    for cid in made:
        wait_for(lambda: any(line["message"] == "armed" for line in api.get(f"/api/containers/{cid}/logs").json["logs"]),
                 what="the command is armed")
    ops = [api.post(f"/api/containers/{cid}/stop?execution=async", {"timeout_seconds": 600}) for cid in made]
    for r in ops:
        wait_for(lambda: status_of(api, r["operation_id"]) == "running", what="a slot is taken")

    def let_go():
        for cid in made:
            api.post(f"/api/containers/{cid}/kill")
        return [api.operation(r) for r in ops]

    yield let_go
    let_go()


def test_from_accepted_to_succeeded(stack, api, stopped_agent):
    made = later(api)
    op = api.get(made["status_url"]).json
    assert op["status"] == "accepted" and op["operation_type"] == "container.create" and op["target_resource_type"] == "container"
    assert op["container_id"] == op["result_container_id"] == op["target_resource_id"] == made["container_id"]
    assert op["progress_pct"] == 0 and op["started_at"] is None and op["completed_at"] is None and op["items"] == []
    stack.start("agent")
    op = wait_for(lambda: (r := api.get(made["status_url"]).json)["status"] == "succeeded" and r, what="the agent does it")
    assert op["progress_pct"] == 100 and op["completed_at"] >= op["started_at"] >= op["created_at"]
    assert op["result"]["container_id"] == made["container_id"] and op["error"] is None
    assert 86000 < int(stack.redis("TTL", key_of(api, made["operation_id"]))) <= 86400
    assert api.delete(f"/api/containers/{made['container_id']}").status == 200
    assert api.get(made["status_url"]).json["status"] == "succeeded"  # also when its container is gone


def test_queued_and_cancelled_there(api, busy):
    """No slot is free: the agent has it, and it waits. Cancelled, it ends at once, and its name is free."""
    made, kept = later(api), later(api)
    for m in (made, kept):
        wait_for(lambda: status_of(api, m["operation_id"]) == "queued", what="the operation is queued")
    listed = api.get("/api/operations?status=queued").json["operations"]
    assert [o["operation_id"] for o in listed] == [kept["operation_id"], made["operation_id"]]
    r = api.delete(made["status_url"])
    assert r.status == 200 and r["status"] == "cancelled" and r["completed_at"], r
    assert api.get(f"/api/containers/{made['container_id']}").status == 404
    again = later(api, name=made["name"])
    r = api.delete(made["status_url"])
    assert r.status == 409 and r["error_code"] == "INVALID_STATE" and r["details"]["state"] == "cancelled", r
    # What runs is asked to; a stop that is under way goes on.
    running = api.get("/api/operations?status=running").json["operations"]
    assert len(running) == 4
    r = api.delete(f"/api/operations/{running[0]['operation_id']}")
    assert r.status == 202 and r["status"] == "running", r
    assert [o["status"] for o in busy()] == ["succeeded"] * 4
    for m in (kept, again):
        op = wait_for(lambda: (r := api.get(m["status_url"]).json)["status"] == "succeeded" and r, what="its turn comes")
        assert api.delete(f"/api/containers/{op['container_id']}").status == 200
    assert api.get(f"/api/containers/{made['container_id']}").status == 404


def test_others_do_not_wait(api, other_api, busy):
    """Whoever fills his slots, and the queue behind them, for ten minutes."""
    mine = [later(api) for _ in range(4)]
    for m in mine:
        wait_for(lambda: status_of(api, m["operation_id"]) == "queued", what="the operation is queued")
    made = later(other_api)
    wait_for(lambda: status_of(other_api, made["operation_id"]) == "succeeded", deadline=30, what="another tenant's is done")
    assert other_api.delete(f"/api/containers/{made['container_id']}").status == 200
    assert [status_of(api, m["operation_id"]) for m in mine] == ["queued"] * 4
    busy()
    for m in mine:
        wait_for(lambda: status_of(api, m["operation_id"]) == "succeeded", what="its turn comes")
        assert api.delete(f"/api/containers/{m['container_id']}").status == 200


def test_others_do_not_wait_behind_a_full_queue(stack, api, other_api, busy):
    """More than an agent's queue of 128 holds, of one tenant whose slots are taken for ten minutes: twelve are before others, and the rest is in a list of its own."""
    node = f"quilt:node:{stack.settings['node']}"
    who = api.get("/api/operations?status=running").json["operations"][0]["container_id"]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        mine = list(pool.map(lambda _: api.post(f"/api/containers/{who}/stop?execution=async"), range(150)))
        assert {r.status for r in mine} == {202}, mine
        assert stack.redis("ZCARD", f"{node}:ahead:{api.tenant_id}") == "12"
        assert stack.redis("ZCARD", f"{node}:wait:{api.tenant_id}") == str(150 + 4 - 12)
        made = later(other_api)
        wait_for(lambda: status_of(other_api, made["operation_id"]) == "succeeded", what="another tenant's is done")
        assert other_api.delete(f"/api/containers/{made['container_id']}").status == 200
        assert {r.status for r in pool.map(lambda m: api.delete(m["status_url"]), mine)} == {200}
    busy()
    wait_for(lambda: stack.redis("EXISTS", f"{node}:ahead:{api.tenant_id}", f"{node}:wait:{api.tenant_id}") == "0", what="nothing is left of it")


def test_cancelled_before_the_agent_sees_it(stack, api, other_api, stopped_agent):
    made = later(api)
    assert other_api.delete(made["status_url"]).status == 404
    assert api.delete("/api/operations/op_nothing").status == 404
    assert api.delete(made["status_url"])["status"] == "cancelled"
    kept = later(api, name=made["name"])
    # Asked to end while another agent had it, which died: whoever takes it up undoes it.
    stack.redis("HSET", key_of(api, kept["operation_id"]), "status", "running", "attempts", "1")
    r = api.delete(kept["status_url"])
    assert r.status == 202, r
    stack.start("agent")
    wait_for(lambda: status_of(api, kept["operation_id"]) == "cancelled", what="the agent undoes it")
    assert api.get(f"/api/containers/by-name/{made['name']}").status == 404
    wait_for(lambda: stack.redis("XLEN", f"quilt:node:{stack.settings['node']}:ops") == "0", what="no entry is left")


def test_a_snapshot_that_nobody_began(stack, api, container, stopped_agent):
    """Cancelled, or too late: its record goes at once, and with it its place in the quota."""
    who = container["container_id"]
    taken = [api.post(f"/api/containers/{who}/snapshot") for _ in range(2)]
    assert {r.status for r in taken} == {202}, taken
    for r in taken:
        assert api.get(f"/api/snapshots/{r['snapshot_id']}")["status"] == "creating"
    assert api.delete(taken[0]["status_url"])["status"] == "cancelled"
    stack.redis("HSET", key_of(api, taken[1]["operation_id"]), "deadline_ms", "1")
    stack.redis("ZADD", f"quilt:node:{stack.settings['node']}:due", "1", f"{api.tenant_id}/{taken[1]['operation_id']}")
    assert stack.redis("FCALL", "qt_op_overdue", "0", "30000", "60000", "86400") == "1"
    for r in taken:
        assert api.get(f"/api/snapshots/{r['snapshot_id']}").status == 404
    assert api.get(f"/api/snapshots?container_id={who}", headers={"X-Tenant-Id": api.tenant_id})["snapshots"] == []


def test_timed_out(stack, api, stopped_agent):
    """Nobody took it in time; and one whose time was over when the agent came to it."""
    never, late = later(api), later(api)
    due = f"quilt:node:{stack.settings['node']}:due"
    for m in (never, late):
        stack.redis("HSET", key_of(api, m["operation_id"]), "deadline_ms", "1")
    stack.redis("ZADD", due, "1", f"{api.tenant_id}/{never['operation_id']}")
    # What the mender of any node's agent asks for.
    assert stack.redis("FCALL", "qt_op_overdue", "0", "30000", "60000", "86400") == "1"
    op = api.get(never["status_url"]).json
    assert op["status"] == "timed_out" and op["reason_code"] == "TIMEOUT" and op["completed_at"], op
    assert api.get(f"/api/containers/{never['container_id']}").status == 404
    assert status_of(api, late["operation_id"]) == "accepted"
    stack.start("agent")
    wait_for(lambda: status_of(api, late["operation_id"]) == "timed_out", what="the agent finds it too late")
    assert api.get(f"/api/containers/{late['container_id']}").status == 404


def test_asked_for_twice(api, container):
    cid = container["container_id"]
    r = api.post(f"/api/containers/{cid}/stop?execution=async")
    again = api.post(f"/api/containers/{cid}/stop?execution=async")
    first, second = api.operation(r), api.operation(again) if again.status == 202 else None
    assert first["status"] == "succeeded"
    # Both were accepted: it is stopped once, and each is done, unless it had ended, and Redis not heard of it, when the second was asked for.
    assert second is None or second["status"] == "succeeded" or second["reason_code"] == "INVALID_STATE", second
    assert api.post(f"/api/containers/{cid}/kill").status == 409


def test_list(make_tenant):
    api = make_tenant("lists")
    ids = []
    for _ in range(5):
        made = later(api)
        ids.insert(0, made["operation_id"])
        wait_for(lambda: status_of(api, made["operation_id"]) == "succeeded", what="the create is done")
    r = api.get("/api/operations").json
    assert [o["operation_id"] for o in r["operations"]] == ids
    assert r["pagination"] == {"has_next": False, "next_cursor": None}
    seen, cursor = [], ""
    for _ in range(3):
        page = api.get(f"/api/operations?limit=2&status=succeeded&cursor={cursor}").json
        seen += [o["operation_id"] for o in page["operations"]]
        cursor = page["pagination"]["next_cursor"] or ""
    assert seen == ids
    assert api.get("/api/operations?status=failed").json["operations"] == []
    for bad in ("status=done", "limit=0", "cursor=x"):
        r = api.get(f"/api/operations?{bad}")
        assert r.status == 400 and r["error_code"] == "VALIDATION_ERROR", r
    for c in api.get("/api/containers")["containers"]:
        assert api.delete(f"/api/containers/{c['container_id']}").status == 200
