"""Idempotency-Key: a request that is sent again is not carried out again."""
import concurrent.futures
import secrets
import signal
import os

import pytest

from harness.fixtures import fresh_name
from harness.wait import wait_for


def with_key(key=None):
    return {"Idempotency-Key": key or secrets.token_hex(16)}


def body(**fields):
    return {"name": fresh_name("idem"), "image": "busybox", "memory_limit_mb": 32, **fields}


@pytest.fixture
def made(api):
    """Names of containers to delete."""
    names = []
    yield names
    for name in names:
        r = api.get(f"/api/containers/by-name/{name}")
        if r.status == 200:
            assert api.delete(f"/api/containers/{r['container_id']}").status == 200


def test_the_first_answer_again(api, made):
    for query, status in (("", 201), ("?execution=async", 202)):
        want, key = body(), with_key()
        made.append(want["name"])
        first = api.post(f"/api/containers{query}", want, headers=key)
        assert first.status == status and "Idempotency-Replayed" not in first.headers, first
        again = api.post(f"/api/containers{query}", want, headers=key)
        assert again.status == status and again.body == first.body, again
        assert again.headers["Idempotency-Replayed"] == "true" and again.headers["Content-Type"] == first.headers["Content-Type"]
        if status == 202:
            assert api.operation(first)["status"] == "succeeded"


def test_each_method_has_it(api, container):
    at = f"/api/containers/{container['container_id']}"
    for method, path, want in (("PUT", f"{at}/env", {"environment": {"A": "1"}}), ("PATCH", f"{at}/env", {"environment": {"B": "2"}}),
                               ("POST", f"{at}/exec", {"command": ["/bin/sh", "-c", "echo x >>/once; cat /once"]}),
                               ("DELETE", at, None)):
        key = with_key()
        first = api.request(method, path, want, headers=key)
        assert first.status == 200, first
        again = api.request(method, path, want, headers=key)
        assert again.status == 200 and again.body == first.body, again
        assert again.headers["Idempotency-Replayed"] == "true"
        if method == "PATCH":  # a GET does not know of it
            assert api.get(f"{at}/env", headers=key)["environment"] == {"A": "1", "B": "2"}
    assert api.delete(at).status == 404  # without a key it is a request of its own


def test_another_request_with_the_key(api, other_api, made):
    want, key = body(), with_key()
    made.append(want["name"])
    assert api.post("/api/containers", want, headers=key).status == 201
    for method, path, other in (("POST", "/api/containers", {**want, "memory_limit_mb": 33}),
                                ("POST", "/api/containers?execution=async", want),
                                ("DELETE", f"/api/containers/{want['name']}", None)):
        r = api.request(method, path, other, headers=key)
        assert r.status == 409 and r["error_code"] == "IDEMPOTENCY_CONFLICT", r
    # Keys are a tenant's own.
    r = other_api.delete("/api/containers/nothing", headers=key)
    assert r.status == 404 and r["error_code"] == "CONTAINER_NOT_FOUND", r


def test_refusals_are_answers_too(api):
    key = with_key()
    first = api.post("/api/containers", {"image": "busybox"}, headers=key)
    again = api.post("/api/containers", {"image": "busybox"}, headers=key)
    assert first.status == again.status == 422 and first.body == again.body
    assert again.headers["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize("key", ["x" * 256, "two words", "tab\there", "\u00e9".encode().decode("latin-1")])
def test_keys_that_are_none(api, key):
    r = api.delete("/api/containers/nothing", headers={"Idempotency-Key": key})
    assert r.status == 400 and r["error_code"] in ("VALIDATION_ERROR", "BAD_REQUEST"), r
    if r["error_code"] == "VALIDATION_ERROR":
        assert r["details"]["field"] == "Idempotency-Key"


def test_the_longest_key(api):
    assert api.delete("/api/containers/nothing", headers={"Idempotency-Key": "~" * 255}).status == 404


def test_many_at_once_do_it_once(api, made):
    want, key = body(), with_key()
    made.append(want["name"])
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: api.post("/api/containers", want, headers=key), range(8)))
    done = [r for r in answers if r.status == 201]
    assert done and len({r["container_id"] for r in done}) == 1
    assert sum("Idempotency-Replayed" not in r.headers for r in done) == 1
    for r in answers:
        if r.status != 201:
            assert r.status == 409 and r["error_code"] == "IDEMPOTENCY_IN_PROGRESS", r
            assert r["retry_after"] == 1 and r.headers["Retry-After"] == "1"


def test_while_the_first_is_under_way(api, container):
    at, key = f"/api/containers/{container['container_id']}/exec", with_key()
    want = {"command": ["/bin/sh", "-c", "touch /begun; while [ ! -e /go ]; do sleep 0.1; done; echo done"]}
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        first = pool.submit(api.post, at, want, headers=key)
        wait_for(lambda: api.exec(container["container_id"], "test", "-e", "/begun")["exit_code"] == 0, what="the first has begun")
        r = api.post(at, want, headers=key)
        assert r.status == 409 and r["error_code"] == "IDEMPOTENCY_IN_PROGRESS" and r["retry_after"] == 1, r
        api.exec(container["container_id"], "touch", "/go")
        first = first.result()
    assert first.status == 200 and first["stdout"] == "done\n"
    assert api.post(at, want, headers=key).body == first.body


def test_an_answer_that_is_too_large(api, container):
    at, key = f"/api/containers/{container['container_id']}/exec", with_key()
    want = {"command": ["/bin/sh", "-c", "echo x >>/large; head -c 70000 /dev/zero | tr '\\0' x"]}
    first = api.post(at, want, headers=key)
    assert first.status == 200 and len(first["stdout"]) == 70000
    r = api.post(at, want, headers=key)
    assert r.status == 409 and r["error_code"] == "IDEMPOTENCY_CONFLICT" and "new key" in r["hint"], r
    assert api.exec(container["container_id"], "cat", "/large")["stdout"] == "x\n"


def test_what_failed_for_now_is_tried_again(stack, api, made):
    """No runtime: 503, nothing is kept of it, and the name is free at once."""
    want, key = body(), with_key()
    made.append(want["name"])
    stack.stop("runtime")
    try:
        r = api.post("/api/containers", want, headers=key)
        assert r.status == 503 and r["error_code"] == "RUNTIME_UNAVAILABLE", r
        assert api.get(f"/api/containers/by-name/{want['name']}").status == 404
    finally:
        stack.start("runtime")
    r = api.post("/api/containers", want, headers=key)
    assert r.status == 201 and "Idempotency-Replayed" not in r.headers, r


def test_a_worker_that_dies_gives_its_key_back(stack, api, container):
    at, key = f"/api/containers/{container['container_id']}/exec", with_key()
    want = {"command": ["/bin/sh", "-c", "echo x >>/dying; [ ! -e /go ] && sleep 4712; echo done"]}
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        first = pool.submit(api.post, at, want, headers=key)
        wait_for(lambda: api.exec(container["container_id"], "test", "-e", "/dying")["exit_code"] == 0, what="the first has begun")
        r = api.post(at, want, headers=key)
        assert r.status == 409 and r["error_code"] == "IDEMPOTENCY_IN_PROGRESS", r
        lock = [k for k in stack.redis("KEYS", f"quilt:{{{api.tenant_id}}}:idem:*").split() if not stack.redis("HGET", k, "status")]
        assert len(lock) == 1 and 0 < int(stack.redis("TTL", lock[0])) <= 615
        for pid in stack.workers():
            os.kill(pid, signal.SIGKILL)
        assert first.result().status == 502
    wait_for(lambda: api.get("/health").status == 200, what="the API is back")
    assert api.exec(container["container_id"], "touch", "/go")["exit_code"] == 0
    r = api.post(at, want, headers=key)
    assert r.status == 200 and r["stdout"] == "done\n" and "Idempotency-Replayed" not in r.headers, r
    assert api.post(at, want, headers=key).headers["Idempotency-Replayed"] == "true"
    assert api.exec(container["container_id"], "cat", "/dying")["stdout"] == "x\nx\n"


def test_the_key_of_another_nodes_worker(stack, api, container):
    """Of that nobody here knows whether it lives: the key is free when the longest time of the route is over."""
    at, key = f"/api/containers/{container['container_id']}/exec", with_key()
    sha = "quilt:{%s}:idem:" % api.tenant_id
    before = set(stack.redis("KEYS", sha + "*").split())
    want = {"command": ["true"]}
    assert api.post(at, want, headers=key).status == 200
    kept = (set(stack.redis("KEYS", sha + "*").split()) - before).pop()
    holder = stack.redis("HGET", kept, "holder")
    pid, start, node = holder.split(".", 2)
    assert int(pid) in stack.workers() and int(start) > 0 and node == stack.settings["node"]
    for who, status in ((f"999999999.1.{node}-other", 409), (f"{pid}.{start}.{node}", 409), ("x", 409), ("", 409), (f"{pid}.1.{node}", 200)):
        stack.redis("HDEL", kept, "status", "type", "text")
        stack.redis("HSET", kept, "holder", who)
        assert api.post(at, want, headers=key).status == status, who


def test_a_conflict_with_what_a_dead_worker_left_is_not_kept(stack, api, made):
    want, key = body(), with_key()
    made.append(want["name"])
    sha = "quilt:{%s}:idem:" % api.tenant_id
    before = set(stack.redis("KEYS", sha + "*").split())
    first = api.post("/api/containers", want, headers=key)
    assert first.status == 201, first
    kept = (set(stack.redis("KEYS", sha + "*").split()) - before).pop()
    # As if its worker had died before it could answer.
    stack.redis("HDEL", kept, "status", "type", "text")
    stack.redis("HSET", kept, "holder", f"{stack.workers()[0]}.1.{stack.settings['node']}")
    r = api.post("/api/containers", want, headers=key)
    assert r.status == 409 and r["error_code"] == "CONTAINER_NAME_CONFLICT", r
    assert api.delete(f"/api/containers/{first['container_id']}").status == 200
    r = api.post("/api/containers", want, headers=key)
    assert r.status == 201 and "Idempotency-Replayed" not in r.headers, r
