"""Issue 2's proofs: what a kill -9, a wiped Redis and a crowd of creates leave behind: nothing, and nothing is lost."""
import concurrent.futures
import contextlib
import os
import signal
import time

import pytest

from harness.fixtures import fresh_name
from harness.stack import BACK_S
from harness.wait import wait_for


@pytest.fixture(scope="module")
def twenty(make_tenant):
    api = make_tenant("twenty")

    def create(_):
        r = api.post("/api/containers", {"name": fresh_name("k"), "image": "busybox", "memory_limit_mb": 32})
        assert r.status == 201, r
        return r.json

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        made = list(pool.map(create, range(20)))
    yield api, made
    for c in made:
        assert api.delete(f"/api/containers/{c['container_id']}").status == 200


def all_there(api, made):
    """Every container runs, with the pid it had, and takes an exec."""
    listed = api.get("/api/containers")
    if listed.status != 200:
        return False
    now = {c["container_id"]: c for c in listed["containers"]}
    if set(now) != {c["container_id"] for c in made}:
        return False
    for c in made:
        assert now[c["container_id"]]["state"] == "running" and now[c["container_id"]]["pid"] == c["pid"], now[c["container_id"]]
    r = api.post(f"/api/containers/{made[0]['container_id']}/exec", {"command": ["echo", "alive"]})
    return r.status == 200 and r["stdout"] == "alive\n"


@contextlib.contextmanager
def back_in_time(program):
    begin = time.monotonic()
    yield
    took = time.monotonic() - begin
    assert took <= BACK_S, f"the API was back {took:.2f} s after kill -9 of {program}"


@pytest.mark.parametrize("program", ["runtime", "agent", "redis", "api"])
def test_a_killed_program_loses_no_container(stack, twenty, program):
    api, made = twenty
    with back_in_time(program):
        stack.kill(program)
        wait_for(lambda: all_there(api, made), BACK_S, f"the API is back after kill -9 of {program}")


def test_killed_workers_are_replaced(stack, twenty):
    api, made = twenty
    with back_in_time("every worker"):
        for pid in stack.workers():
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: all_there(api, made), BACK_S, "the API is back after kill -9 of every worker")


def test_a_wiped_redis_is_mended(stack, twenty):
    api, made = twenty
    stack.wait_for_copy(api)
    stack.redis("FLUSHALL")
    wait_for(lambda: all_there(api, made), deadline=120, what="the agent mends Redis")


def test_fifty_leave_nothing(make_tenant, census):
    api = make_tenant("fifty")
    before = census()

    def whole_life(_):
        r = api.post("/api/containers", {"name": fresh_name("f"), "image": "busybox", "memory_limit_mb": 32})
        assert r.status == 201, r
        assert api.exec(r["container_id"], "true")["exit_code"] == 0
        r = api.delete(f"/api/containers/{r['container_id']}")
        assert r.status == 200, r

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(whole_life, range(50)))
    census.same_as(before)


def test_a_client_that_leaves_takes_its_process_along(api, container):
    who = container["container_id"]
    impatient = type(api)(api.stack, api.key, api.tenant_id)
    with pytest.raises(TimeoutError):
        impatient.post(f"/api/containers/{who}/exec", {"command": ["sleep", "4711"]}, timeout=2)
    wait_for(lambda: "sleep 4711" not in api.exec(who, "ps")["stdout"], what="the end of the process that nobody waits for")
