"""What every route of the table answers alike: walked by the table itself, so that a new route is walked from its first day."""
import concurrent.futures
import contextlib
import hashlib
import json
import os
import re
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time

import pytest

from harness.clean import empty
from harness.client import Api
from harness.fixtures import fresh_name
from harness.front import Front, Streams, Workers
from harness.oci import Evil, Image, busybox_layer
from harness.wait import wait_for
from test_refusals import refused

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
PARAMETER = re.compile(r"\{([a-z_]+)\*?\}")
UNKNOWN = {"id": "ctr_0000000000000000000000000z", "name": "nobody-s", "pid": "2"}

# What satisfies a required member, by its name. A new member that no row of its schema satisfies gets a line here.
MEMBERS = {"content": "eHg=", "path": "/x", "items": [{"name": "of-a-walk", "image": "busybox"}], "command": ["true"], "new_name": "of-a-walk", "name": "of-a-walk", "destination": "10.9.9.0/24", "ip_address": "10.1.2.3", "environment": {}, "cols": 80, "rows": 24}
# What a route wants besides its required members to come as far as the runtime.
BODIES = {"createContainer": {"image": "busybox"}, "forceContainerCleanup": {"confirm": True}, "killContainer": {}, "startContainer": {}, "createSession": {"container_id": "walked"}}
# Whose execution is asked for by the query alone.
NOT_BY_BODY = {"createContainer", "stopContainer", "killContainer", "deleteContainer"}
# A GET that is answered as long as the client stays; and what else a request for a WebSocket has.
ENDLESS = {"events"}
SOCKET = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Protocol": "terminal", "Sec-WebSocket-Version": "13",
          "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}


def socket_of(r, stack):
    """The headers of a request for a WebSocket, if R is about one."""
    if r.id == "guiSocket":
        return {k: v for k, v in SOCKET.items() if k != "Sec-WebSocket-Protocol"} | {"Origin": stack.url}
    return SOCKET if r.id == "attachSession" else None


class Route:
    def __init__(self, path, method, entry):
        self.path, self.method, self.id, self.entry = path, method.upper(), entry["operationId"], entry
        self.public = entry.get("security") == []
        self.schema = entry.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
        self.codes = {code for r in entry["responses"].values() for code in r.get("x-error-codes", [])}
        self.names = PARAMETER.findall(path)
        self.query = [p for p in entry.get("parameters", []) if p.get("in") == "query"]

    def url(self, values):
        return PARAMETER.sub(lambda m: str(values.get(m[1], UNKNOWN.get(m[1], "nothing"))), self.path)

    def body(self):
        if self.schema is None:
            return None
        return {name: MEMBERS.get(name, "x") for name in self.schema.get("required", [])} | BODIES.get(self.id, {})

    def __repr__(self):
        return f"{self.method} {self.path}"


@pytest.fixture(scope="module")
def routes(stack):
    out = subprocess.run([f"{stack.prefix}/sbin/quilt-api", "--openapi"], capture_output=True, text=True, timeout=60, check=True).stdout
    return [Route(path, method, entry) for path, methods in json.loads(out)["paths"].items() for method, entry in methods.items()]


def ours(routes):
    return [r for r in routes if not r.public]


def test_no_key(routes, anonymous):
    for r in ours(routes):
        refused(anonymous.request(r.method, r.url({}), r.body()), 401, "UNAUTHORIZED")


def test_a_key_in_the_url(routes, anonymous, make_tenant):
    """Of what browsers open without headers alone; elsewhere it is no key."""
    key = make_tenant("walk-url").key
    takes = {r.id for r in routes if any(q["name"] == "token" for q in r.query)}
    assert takes == {"events", "attachSession"}
    for r in ours(routes):
        if r.id not in takes:
            refused(anonymous.request(r.method, r.url({}) + f"?token={key}", r.body()), 401, "UNAUTHORIZED")
    attach = next(r for r in routes if r.id == "attachSession")
    assert anonymous.get(attach.url({}) + f"?session_id=sess_nothing&token={key}", headers=SOCKET).status == 404


def test_another_tenant_in_the_header(routes, make_tenant):
    client = make_tenant("walk-header")
    for r in ours(routes):
        refused(client.request(r.method, r.url({}), r.body(), headers={"X-Tenant-Id": "ten_other", "Content-Type": "application/json"}),
                403, "TENANT_MISMATCH")


def test_rate_limit(routes, stack, make_tenant):
    client = make_tenant("walk-rate")
    bucket = "quilt:rate:" + hashlib.sha256(client.key.encode()).hexdigest()
    assert client.get("/api/containers").status == 200
    assert float(stack.redis("HGET", bucket, "tokens")) < int(stack.settings.get("rate_burst", 400))
    # As after far too many requests: how many it takes depends on the machine.
    now = stack.redis("TIME").split()[0]
    stack.redis("HSET", bucket, "tokens", "-10000000", "at", now)
    wait_for(lambda: client.get("/api/containers").status == 429, 2, what="what was taken ahead is used up, or over")
    for r in ours(routes):
        a = client.request(r.method, r.url({}), r.body())
        body = refused(a, 429, "RATE_LIMITED")
        assert int(a.headers["Retry-After"]) == body["retry_after"] >= 1
    stack.redis("HSET", bucket, "tokens", "-100", "at", now)
    wait_for(lambda: client.get("/api/containers").status == 200, what="the bucket fills again")


def test_a_store_that_is_damaged(routes, stack, make_tenant):
    client = make_tenant("walk-damage")
    bucket = "quilt:rate:" + hashlib.sha256(client.key.encode()).hexdigest()
    stack.redis("DEL", bucket)
    stack.redis("SET", bucket, "no hash")
    for r in ours(routes):
        refused(client.request(r.method, r.url({}), r.body()), 500, "INTERNAL_ERROR")
    stack.redis("DEL", bucket)
    assert client.get("/api/containers").status == 200


def test_a_store_that_is_full(routes, stack, make_tenant):
    """Whoever documents it has no room for another Idempotency-Key; who looks, stops or takes away needs none."""
    client = make_tenant("walk-full")
    made = [client.post("/api/containers", {"name": f"full-{i}", "image": "busybox", "memory_limit_mb": 32})["container_id"] for i in range(3)]
    volumes = [client.post("/api/volumes", {"name": f"full-{i}"})["id"] for i in range(2)]
    most, odd = stack.redis("CONFIG", "GET", "maxmemory").split("\n")[1], []
    stack.redis("CONFIG", "SET", "maxmemory", "1")
    try:
        for r in ours(routes):
            if r.id in ENDLESS:
                continue
            headers = {"Idempotency-Key": "full"} | ({"Content-Type": "application/json"} if r.schema else {})
            a = client.request(r.method, r.url({}), r.body(), headers=headers)
            if (a.status == 507 and a["error_code"] == "INSUFFICIENT_STORAGE") != ("INSUFFICIENT_STORAGE" in r.codes):
                odd.append((r, a))
        refused(client.post("/api/containers", {"name": "full-3", "image": "busybox"}), 507, "INSUFFICIENT_STORAGE")
        assert client.post(f"/api/containers/{made[0]}/kill").status == 200
        assert client.operation(client.post(f"/api/containers/{made[1]}/stop?execution=async", {"timeout_seconds": 0}))["status"] == "succeeded"
        for c in made[:2]:
            assert client.delete(f"/api/containers/{c}").status == 200
        assert client.operation(client.delete(f"/api/containers/{made[2]}?execution=async"))["status"] == "succeeded"
        assert client.delete(f"/api/volumes/{volumes[0]}?execution=sync").status == 200
        assert client.operation(client.delete(f"/api/volumes/{volumes[1]}"))["status"] == "succeeded"
    finally:
        stack.redis("CONFIG", "SET", "maxmemory", most)
    assert not odd, odd


def test_wrong_methods(routes, make_tenant):
    client = make_tenant("walk-method")
    taken = {}
    for r in routes:
        taken.setdefault(r.path, set()).add(r.method)
    for path, methods in taken.items():
        for method in sorted(set(METHODS) - methods)[:1]:
            r = client.request(method, PARAMETER.sub("some", path))
            refused(r, 405, "METHOD_NOT_ALLOWED")
            assert {m.strip() for m in r.headers["Allow"].split(",")} - {"HEAD", "OPTIONS"} == methods, (path, r.headers["Allow"])


def test_bad_bodies(routes, make_tenant):
    for n, r in enumerate(r for r in routes if r.schema):
        if n % 20 == 0:
            client = make_tenant("walk-body")  # below the rate limit
        for data, kind, status, code in (
            ("{", "application/json", 400, "BAD_REQUEST"),
            ("{}", "text/plain", 415, "UNSUPPORTED_MEDIA_TYPE"),
            ('{"no_such_member": 1}', "application/json", 422, "UNPROCESSABLE_ENTITY"),
            ("[]", "application/json", 422, "UNPROCESSABLE_ENTITY"),
        ):
            refused(client.request(r.method, r.url({}), data, headers={"Content-Type": kind}), status, code)
        # What other generations of clients send (contract 2.3): refused by name where it would mean something, left aside elsewhere.
        old = {**r.body(), "async_mode": True}
        if r.id in NOT_BY_BODY:
            refused(client.request(r.method, r.url({}), old), 400, "VALIDATION_ERROR")
            continue
        assert "async_mode" in r.schema["properties"], r
        if r.names:
            with_it, without = (client.request(r.method, r.url({}), b) for b in (old, r.body()))
            assert (with_it.status, with_it.json.get("error_code")) == (without.status, without.json.get("error_code")), (r, with_it, without)


def test_bodies_that_are_too_large(routes, stack, make_tenant):
    """Refused by what they say of their length, before a byte of them came."""
    client = make_tenant("walk-large")
    for r in (r for r in routes if r.schema):
        refused(client.request(r.method, r.url({}), headers={"Content-Type": "application/json", "Content-Length": str(1 << 40)}), 413, "PAYLOAD_TOO_LARGE")
        client.close()


def test_used_idempotency_keys(routes, stack, make_tenant):
    client = make_tenant("walk-used")
    both = [r for r in routes if "IDEMPOTENCY_CONFLICT" in r.codes]
    # Whatever changes something takes one, but for a stream, which cannot be sent again.
    assert {r.id for r in routes if r.method != "GET"} - {r.id for r in both} == {"streamExec"}

    def send(r, key):
        return client.request(r.method, r.url({}), {"no_such_member": 1} if r.schema else None, headers={"Idempotency-Key": key, "Content-Type": "application/json"})

    assert client.post("/api/containers/nobody/rename", {"new_name": "x"}, headers={"Idempotency-Key": "used"}).status == 404
    for n, r in enumerate(both):
        refused(send(r, "used"), 409, "IDEMPOTENCY_CONFLICT")
        assert 400 <= send(r, f"open-{n}").status < 500
    # As while the workers that answered were still at it.
    undo = "for _, k in ipairs(redis.call('KEYS', ARGV[1])) do redis.call('HDEL', k, 'status', 'type', 'text') end"
    stack.redis("EVAL", undo, "0", f"quilt:{{{client.tenant_id}}}:idem:*")
    for n, r in enumerate(both):
        refused(send(r, f"open-{n}"), 409, "IDEMPOTENCY_IN_PROGRESS")


def test_bad_idempotency_keys(routes, make_tenant):
    client = make_tenant("walk-idempotency")
    for r in (r for r in routes if "IDEMPOTENCY_CONFLICT" in r.codes):
        b = refused(client.request(r.method, r.url({}), r.body(), headers={"Idempotency-Key": "x" * 256, "Content-Type": "application/json"}),
                    400, "VALIDATION_ERROR")
        assert b["details"]["field"] == "Idempotency-Key", (r, b)


def out_of_bounds(schema):
    """(member, a value that its schema does not take) of each bounded member."""
    for name, p in schema["properties"].items():
        if p.get("type") == "integer" and p["minimum"] > -(2 ** 53):
            yield name, p["minimum"] - 1
        elif p.get("type") == "string" and p.get("minLength"):
            yield name, ""
        elif p.get("type") == "array" and "maxItems" in p:
            yield name, [{} if p["items"].get("type") == "object" else "x"] * (p["maxItems"] + 1)
        elif p.get("type") == "object" and "maxProperties" in p:
            yield name, {f"m{i}": "x" for i in range(p["maxProperties"] + 1)}


def test_values_out_of_bounds(routes, make_tenant):
    client = make_tenant("walk-bounds")
    for r in (r for r in routes if r.schema):
        for name, value in out_of_bounds(r.schema):
            b = refused(client.request(r.method, r.url({}), {**r.body(), name: value}), 400, "VALIDATION_ERROR")
            assert b["details"]["field"].startswith(f"/{name}"), (r, b)
    for r in ours(routes):
        for q in r.query:
            if q["schema"]["type"] != "string" or "enum" in q["schema"]:
                refused(client.request(r.method, f"{r.url({})}?{q['name']}=-1", r.body()), 400, "VALIDATION_ERROR")


def test_wrong_states(routes, stack, make_tenant, make_container):
    """Whoever documents INVALID_STATE refuses an ended container, or a running one, or one that was lost."""
    api = make_tenant("walk-states")

    def in_state(state):
        c = make_container(client=api, memory_limit_mb=32)
        if state != "running":
            assert api.post(f"/api/containers/{c['container_id']}/kill").status == 200
        if state == "error":
            stack.redis("HSET", f"quilt:{{{c['tenant_id']}}}:ctr:{c['container_id']}", "state", "error")
        return c["container_id"]

    stack.stop("agent")  # which would mend it
    try:
        for r in (r for r in routes if "INVALID_STATE" in r.codes and r.path.startswith("/api/containers/{id}")):
            for state in ("exited", "running", "error"):
                a = api.request(r.method, r.url({"id": in_state(state)}), r.body())
                if a.status == 409 and a["error_code"] == "INVALID_STATE":
                    assert refused(a, 409, "INVALID_STATE")["details"]["state"] == state, (r, a)
                    break
            else:
                raise AssertionError(f"{r}: no state is wrong; last: {a}")
    finally:
        stack.start("agent")
    empty(api)  # of some a state was right: what they began is done now


def test_strangers_and_nobody(routes, api, make_tenant, container):
    """What belongs to another tenant is answered as what is not there, to the byte."""
    stranger = make_tenant("walk-stranger")
    assert api.post(f"/api/containers/{container['container_id']}/stop").status == 200
    operation = api.post(f"/api/containers/{container['container_id']}/start").json["operation_id"]
    wait_for(lambda: api.get(f"/api/operations/{operation}")["status"] == "succeeded", what="the start")
    volume = api.post("/api/volumes", {"name": fresh_name()})["name"]
    snapshot = api.operation(api.post(f"/api/containers/{container['container_id']}/snapshot"))["result"]["snapshot_id"]
    theirs = {"containers": container["container_id"], "operations": operation, "volumes": volume, "snapshots": snapshot}
    walked = 0
    for r in ours(routes):
        kind = r.path.split("/")[2]
        if not r.names or kind not in theirs or r.names[0] not in ("id", "name") or "/by-name/" in r.path:
            continue
        nobody = stranger.request(r.method, r.url({}), r.body())
        other = stranger.request(r.method, r.url({r.names[0]: theirs[kind]}), r.body())
        assert nobody.status == other.status == 404, (r, nobody, other)
        refused(nobody, 404, nobody["error_code"])
        assert {**nobody.json, "request_id": 0} == {**other.json, "request_id": 0}, (r, nobody, other)
        walked += 1
    assert walked > 20
    assert api.get(f"/api/containers/{theirs['containers']}").status == 200
    assert api.delete(f"/api/volumes/{volume}").status in (200, 202)
    assert api.delete(f"/api/snapshots/{snapshot}").status in (200, 202)


# What a path may name besides the container, and the walk's path names none of.
MORE = {"JOB_NOT_FOUND", "PROCESS_NOT_FOUND"}


def test_a_name_is_as_good_as_an_id(routes, stack, make_tenant):
    client = make_tenant("walk-names")
    walked = [r for r in ours(routes) if r.path.startswith("/api/containers/{id}") or r.id in ("createSession", "attachSession")]
    assert len(walked) > 30
    for r in walked:
        c = client.post("/api/containers", {"name": fresh_name(), "image": "busybox", "memory_limit_mb": 32})
        assert c.status == 201, c
        body = {**r.body(), "container_id": c["name"]} if r.id == "createSession" else r.body()
        query = f"?container_id={c['name']}" if r.id == "attachSession" else ""
        a = client.request(r.method, r.url({"id": c["name"]}) + query, body, headers=socket_of(r, stack))
        assert a.status != 404 or (len(r.names) > 1 and a["error_code"] in MORE), (r, a)
        if a.status == 101:
            client.close()  # it is no HTTP any more
        elif a.status < 400 and a.headers["Content-Type"] == "application/json" and r.id != "forkContainer":  # whose answer names the new one
            assert a.json.get("container_id", c["container_id"]) == c["container_id"], (r, a)
        if r.id != "forkContainer":
            assert client.delete(f"/api/containers/{c['container_id']}?timeout_ms=0").status in (200, 404)
    empty(client)


def test_without_redis(routes, stack, make_tenant):
    client = make_tenant("walk-redis")
    stack.stop("redis")
    try:
        for r in ours(routes):
            refused(client.request(r.method, r.url({}), r.body()), 503, "STORE_UNAVAILABLE")
    finally:
        stack.start("redis")


class Scene:
    """What it takes for every route to come as far as the runtime: something of each kind, and one of its own for whoever ends it or takes it away."""

    def __init__(self, stack, client):
        self.stack, self.client = stack, client
        running, ended, desk = self.container(), self.container(ended=True), self.container()
        stack.redis("HSET", f"quilt:{{{client.tenant_id}}}:ctr:{desk}", "image", "prod-gui")  # with a desktop by its record alone
        self.id = {"containers": running, "snapshots": self.snapshot(running), "sessions": self.session(running), "gui": desk}
        self.id_for = {"putContainerNetwork": ended, "getGuiUrl": desk, "killContainer": self.container(), "stopContainer": self.container(),
                       "deleteContainer": self.container(ended=True), "forceContainerCleanup": self.container(ended=True),
                       "deleteSnapshot": self.snapshot(running), "deleteSession": self.session(running)}
        self.volume, self.volume_to_go = (client.post("/api/volumes", {"name": fresh_name()})["name"] for _ in range(2))
        registry = Evil()
        self.image, self.image_to_go = (registry.serve("tests/walked", tag, Image([busybox_layer()])) for tag in "12")
        for image in (self.image, self.image_to_go):
            assert client.post("/api/oci/images/pull", {"reference": image}).status == 200
        registry.close()

    def container(self, ended=False):
        c = self.client.post("/api/containers", {"name": fresh_name(), "image": "busybox", "memory_limit_mb": 32})
        assert c.status == 201, c
        if ended:
            assert self.client.post(f"/api/containers/{c['container_id']}/kill").status == 200
        return c["container_id"]

    def snapshot(self, container):
        return self.client.operation(self.client.post(f"/api/containers/{container}/snapshot"))["result"]["snapshot_id"]

    def session(self, container):
        return self.client.post("/api/terminal/sessions", {"container_id": container})["session_id"]

    def ask(self, r, client=None):
        kind = next((k for k in ("snapshots", "sessions", "gui") if f"/{k}/" in r.path), "containers")
        values = {"id": self.id_for.get(r.id, self.id[kind]), "name": self.volume_to_go if r.id == "deleteVolume" else self.volume}
        query = ""
        if any(q["name"] == "execution" for q in r.query):
            query = "?execution=sync"
        elif r.id == "attachSession":
            query = f"?container_id={self.id['containers']}"
        elif any(q["name"] == "reference" for q in r.query):
            query = f"?reference={self.image_to_go if r.id == 'deleteImage' else self.image}"
        body = r.body()
        if r.id == "createSession":
            body["container_id"] = self.id["containers"]
        elif r.id == "stopContainer":
            body["timeout_seconds"] = 0
        elif "name" in (body or {}):
            body["name"] = fresh_name()
        return (client or self.client).request(r.method, r.url(values) + query, body, headers=socket_of(r, self.stack))


def test_without_the_runtime(routes, stack, make_tenant):
    """Whoever documents that the runtime may be away says so when it is; nobody else does."""
    scene, odd = Scene(stack, make_tenant("walk-runtime")), []
    stack.stop("runtime")
    try:
        # What changes names, and what marks the container as being deleted, comes last.
        for r in sorted(ours(routes), key=lambda r: ("RUNTIME_UNAVAILABLE" not in r.codes, r.method == "DELETE" or "cleanup" in r.path,
                                                     r.path.count("/") < 4)):
            if r.id in ENDLESS:
                assert "RUNTIME_UNAVAILABLE" not in r.codes
                continue
            a = scene.ask(r)
            if (a.status >= 400 and a["error_code"] == "RUNTIME_UNAVAILABLE") != ("RUNTIME_UNAVAILABLE" in r.codes):
                odd.append((r, a))
    finally:
        stack.start("runtime")
    empty(scene.client)  # what was taken up meanwhile is done now
    assert not odd, odd


# Who is done with what it was asked for, and takes away what may be there of it: that may succeed, so that nobody waits for it in vain as well.
TIDIES = {"createVolume"}


def timed(function, *args):
    began = time.monotonic()
    return function(*args), time.monotonic() - began


def test_a_runtime_that_does_not_answer(routes, stack, make_tenant):
    """All of them at once: the longest wait for half a minute. Each waits no longer than it is documented to; the rest is the machine's."""
    scene = Scene(stack, make_tenant("walk-stopped"))
    walked = [r for r in ours(routes) if "TIMEOUT" in r.codes]
    with concurrent.futures.ThreadPoolExecutor(len(walked)) as pool:
        os.kill(stack.pid("runtime"), signal.SIGSTOP)
        try:
            asked = {r: pool.submit(timed, scene.ask, r) for r in walked}
            concurrent.futures.wait([a for r, a in asked.items() if r.id not in TIDIES])
        finally:
            os.kill(stack.pid("runtime"), signal.SIGCONT)
        answers = {r: a.result() for r, a in asked.items()}
    empty(scene.client)
    odd = [(r, a) for r, (a, _) in answers.items() if a.status != 504 or a["error_code"] != "TIMEOUT"]
    assert len(walked) > 40 and not odd, odd
    late = [(r, s) for r, (_, s) in answers.items() if s > r.entry["x-budget-ms"] / 1000 + 3]
    assert not late, late


def descriptors(pid):
    return {int(fd) for fd in os.listdir(f"/proc/{pid}/fd")}


@pytest.fixture
def run_dir(stack):
    """A directory of this test's own where nginx finds sockets."""
    with tempfile.TemporaryDirectory(dir=stack.run) as directory:
        shutil.chown(directory, group="quilt")
        os.chmod(directory, 0o750)
        yield directory


@contextlib.contextmanager
def one_more_at_a_time(pid, sockets):
    """From now on it can open one more descriptor at a time than it keeps: the next request's connection, by one of SOCKETS, and nothing besides."""
    def has_no_request():
        with open("/proc/net/unix", encoding="utf-8") as f:
            rows = [line.split() for line in f]
        taken = {f"socket:[{r[6]}]" for r in rows if r[-1] in sockets and r[3] == "00000000"}  # not those that listen
        return not taken & {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in descriptors(pid)}

    wait_for(has_no_request, what="it waits for the next request")
    free = min(set(range(max(descriptors(pid)) + 2)) - descriptors(pid))
    most = resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (free + 1, most))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, most))  # the sanitizers open files at the end


def test_no_descriptor_is_left(routes, stack, make_tenant, recorder, tmp_path, run_dir):
    """Who can take a request, and open nothing more for it: not the socket that leads to the runtime."""
    scene, odd = Scene(stack, make_tenant("walk-descriptors")), []
    sockets = {f"unix:{stack.run}/{name}": f"unix:{run_dir}/{name}" for name in ("api.sock", "api-slow.sock", "stream.sock")}
    with Workers(stack, run_dir, threads=1) as workers, Streams(stack, run_dir) as streams, Front(stack, tmp_path, sockets) as front, \
            contextlib.ExitStack() as bounds:
        for name in sockets.values():
            shutil.chown(name.removeprefix("unix:"), group="quilt")
        client = Api(front, scene.client.key, scene.client.tenant_id, recorder)
        # Each thread has its connection to Redis then, and none to the runtime.
        assert client.get("/api/containers").status == 200 and client.post("/api/containers/nobody/kill").status == 404
        assert client.get("/ws/terminal/attach?session_id=sess_nothing", headers=SOCKET).status == 404
        for pid in (*workers.pids(), streams.process.pid):
            bounds.enter_context(one_more_at_a_time(pid, {name.removeprefix("unix:") for name in sockets.values()}))
        for r in (r for r in ours(routes) if "UNAVAILABLE" in r.codes):
            a = scene.ask(r, client)
            if a.status != 503 or a["error_code"] != "UNAVAILABLE":
                odd.append((r, a))
    empty(scene.client)
    assert not odd, "\n".join(map(str, odd))


class Held:
    """A request that was sent, and whose answer is not waited for."""

    def __init__(self, client, path, body):
        tls = ssl.create_default_context(cafile=client.stack.ca)
        self.socket = tls.wrap_socket(socket.create_connection((client.stack.host, client.stack.port), 60), server_hostname=client.stack.host)
        text = json.dumps(body)
        self.socket.sendall((f"POST {path} HTTP/1.1\r\nHost: {client.stack.host}\r\nX-Api-Key: {client.key}\r\nContent-Type: application/json\r\n"
                             f"Content-Length: {len(text)}\r\nConnection: close\r\n\r\n{text}").encode())
        self.socket.settimeout(0.01)
        self.answer = b""

    def answered(self):
        try:
            while data := self.socket.recv(65536):
                self.answer += data
        except TimeoutError:
            return b"\r\n\r\n" in self.answer
        return True


ENDS = {"killContainer", "deleteContainer"}


def test_one_tenant_presses(routes, stack, make_tenant):
    """It has its share of the threads for what takes long, and all of it under way. More is refused, until some of it ends; nobody else notices."""
    client, other = make_tenant("walk-press"), make_tenant("walk-other")
    conf = dict(line.split(" = ", 1) for line in stack.ctl("config", "dump").stdout.splitlines() if " = " in line)
    share = int(conf["slow_workers"]) * int(conf["slow_threads"]) * int(conf["tenant_slow_percent"]) // 100
    assert 100 <= share < int(conf["slow_workers"]) * int(conf["slow_threads"])
    c = client.post("/api/containers", {"name": "pressed", "image": "busybox", "memory_limit_mb": 512})["container_id"]
    others = [client.post("/api/containers", {"name": f"pressed-{i}", "image": "busybox", "memory_limit_mb": 16})["container_id"] for i in range(30)]
    held = []

    def press():
        held.append(Held(client, f"/api/containers/{c}/exec", {"command": ["sleep", "100000"], "timeout_ms": 600000}))
        return held[-1]

    def asleep():
        return sum("sleep 100000" in p["command"] for p in client.get(f"/api/containers/{c}/processes")["processes"])

    try:
        for _ in range(share):
            press()
        wait_for(lambda: asleep() + sum(h.answered() for h in held) == share, what="each sleeps or was refused")
        # Those that came at the same moment may have been refused for each other. Now one after the other, until there is no room.
        while asleep() <= share:
            n, last = asleep(), press()
            wait_for(lambda: last.answered() or asleep() > n, what="it sleeps or was refused")
            if last.answered():
                break
        assert asleep() == share and last.answer.startswith(b"HTTP/1.1 429") and b"TENANT_BUSY" in last.answer, last.answer
        for r in (r for r in ours(routes) if "TENANT_BUSY" in r.codes and r.id not in ENDS):
            a = client.request(r.method, r.url({"id": c}), r.body())
            body = refused(a, 429, "TENANT_BUSY")
            assert int(a.headers["Retry-After"]) == body["retry_after"] >= 1 and body["hint"]
        # What does not take long is served; and so is everybody else, at what takes long as well.
        assert client.get(f"/api/containers/{c}")["state"] == "running"
        d = other.post("/api/containers", {"name": "unhurried", "image": "busybox"})
        assert d.status == 201, d
        assert other.exec(d["container_id"], "echo", "served")["stdout"] == "served\n"
        assert other.delete(f"/api/containers/{d['container_id']}").status == 200
        # Whoever cannot do anything else can end what he began; of that, too, so many at a time, should it take long.
        assert client.post(f"/api/containers/{others[0]}/kill").status == 200
        with concurrent.futures.ThreadPoolExecutor(2 * len(others)) as pool:
            os.kill(stack.pid("runtime"), signal.SIGSTOP)
            try:
                ending = {r.id: [pool.submit(client.request, r.method, r.url({"id": who}), r.body()) for who in others] for r in ours(routes) if r.id in ENDS}
                assert ending.keys() == ENDS
                for asked in ending.values():
                    wait_for(lambda: any(a.done() and a.result().status == 429 for a in asked), what="some are too many")
            finally:
                os.kill(stack.pid("runtime"), signal.SIGCONT)
        for h in held[::2]:
            h.socket.close()
        # Who leaves gives back what he had.
        wait_for(lambda: client.exec(c, "echo", "room")["stdout"] == "room\n", what="there is room again")
        assert client.post(f"/api/containers/{c}/kill").status == 200
        wait_for(lambda: all(h.answered() for h in held[1::2]), what="the others end with the container")
    finally:
        for h in held:
            h.socket.close()
    for who in (c, *others):
        wait_for(lambda: client.delete(f"/api/containers/{who}?timeout_ms=0").status in (200, 404), what="it is deleted")


def test_a_worker_that_dies_holds_nothing(stack, make_tenant):
    client = make_tenant("walk-killed")
    c = client.post("/api/containers", {"name": "pressed", "image": "busybox", "memory_limit_mb": 512})["container_id"]
    held = []
    try:
        for _ in range(3):
            held.append([Held(client, f"/api/containers/{c}/exec", {"command": ["sleep", "100000"], "timeout_ms": 600000}) for _ in range(60)])
            wait_for(lambda: sum("sleep 100000" in p["command"] for p in client.get(f"/api/containers/{c}/processes")["processes"]) == 60, what="all sleep")
            for pid in stack.workers():
                os.kill(pid, signal.SIGKILL)
            wait_for(lambda: all(h.answered() for h in held[-1]), what="all are told")
            assert all(h.answer.startswith(b"HTTP/1.1 502") for h in held[-1])
            wait_for(lambda: client.exec(c, "true")["exit_code"] == 0, what="the workers are back")
    finally:
        for h in sum(held, []):
            h.socket.close()
    assert client.delete(f"/api/containers/{c}").status == 200


def test_an_init_that_is_not_to_be_reached(routes, stack, make_tenant):
    client = make_tenant("walk-init")
    c = client.post("/api/containers", {"name": "walked", "image": "busybox", "memory_limit_mb": 32})["container_id"]
    session = client.post("/api/terminal/sessions", {"container_id": c})["session_id"]
    stack.redis("HSET", f"quilt:{{{client.tenant_id}}}:ctr:{c}", "image", "prod-gui")
    socket = f"{stack.run}/c/{c}.sock"
    os.rename(socket, f"{socket}.away")
    try:
        for r in (r for r in routes if "EXEC_NOT_READY" in r.codes):
            attach = r.id == "attachSession"
            body = {"container_id": c} if r.id == "createSession" else r.body()
            of = {"id": session if "/sessions/" in r.path else c}
            refused(client.request(r.method, r.url(of) + (f"?container_id={c}" if attach else ""), body, headers=socket_of(r, stack)),
                    503, "EXEC_NOT_READY")
    finally:
        os.rename(f"{socket}.away", socket)
    assert client.exec(c, "echo", "reached")["stdout"] == "reached\n"
    assert client.delete(f"/api/terminal/sessions/{session}").status == 200
    assert client.delete(f"/api/containers/{c}").status == 200
