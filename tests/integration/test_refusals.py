"""What is refused, by whom, and how: the contract's error body every time, nothing changed, no host path."""
import collections
import concurrent.futures
import json
import os
import re

import pytest

from harness.clean import empty
from harness.stack import TOP
from harness.wait import wait_for


def refused(r, status, code):
    assert r.status == status, r
    assert r.headers["Content-Type"].startswith("application/json"), r
    body = r.json
    assert body["error_code"] == code and isinstance(body["error"], str) and body["error"], r
    assert isinstance(body["request_id"], str) and body["request_id"] and r.headers["x-request-id"] == body["request_id"], r
    assert set(body) >= {"error", "error_code", "request_id", "details", "retry_after", "hint"}, r
    for path in ("/var/lib", "/tmp/qt", "/run/", "/usr/local"):
        assert path not in r.text, r
    for word in ("JSON_", "jansson"):  # no library's words
        assert word not in r.text, r
    return body


BODIES = [
    # body, status, code, field
    ({}, 422, "UNPROCESSABLE_ENTITY", "/name"),
    ({"name": 1}, 422, "UNPROCESSABLE_ENTITY", "/name"),
    ({"name": None}, 422, "UNPROCESSABLE_ENTITY", "/name"),
    ({"name": ""}, 400, "VALIDATION_ERROR", "/name"),
    ({"name": "-x"}, 400, "VALIDATION_ERROR", "/name"),
    ({"name": "a/b"}, 400, "VALIDATION_ERROR", "/name"),
    ({"name": "help"}, 400, "VALIDATION_ERROR", "/name"),
    ({"name": "ctr_abc"}, 400, "VALIDATION_ERROR", "/name"),
    ({"name": "x" * 64}, 400, "VALIDATION_ERROR", "/name"),
    ({"name": "a\x00b"}, 400, None, None),
    ({"name": "a\nb"}, 400, "VALIDATION_ERROR", "/name"),
    ({"name": "n", "comand": ["x"]}, 422, "UNPROCESSABLE_ENTITY", "/comand"),
    ({"name": "n", "command": "echo hi"}, 422, "UNPROCESSABLE_ENTITY", "/command"),
    ({"name": "n", "command": ["a", 1]}, 422, "UNPROCESSABLE_ENTITY", "/command/1"),
    ({"name": "n", "command": ["x" * 9000]}, 400, "VALIDATION_ERROR", "/command"),
    ({"name": "n", "memory_limit_mb": 15}, 400, "VALIDATION_ERROR", "/memory_limit_mb"),
    ({"name": "n", "memory_limit_mb": 16777215}, 400, "VALIDATION_ERROR", "/memory_limit_mb"),
    ({"name": "n", "memory_limit_mb": -1}, 400, "VALIDATION_ERROR", "/memory_limit_mb"),
    ({"name": "n", "memory_limit_mb": "64"}, 422, "UNPROCESSABLE_ENTITY", "/memory_limit_mb"),
    ({"name": "n", "memory_limit_mb": 64.5}, 422, "UNPROCESSABLE_ENTITY", "/memory_limit_mb"),
    ({"name": "n", "cpu_limit_percent": 0}, 400, "VALIDATION_ERROR", "/cpu_limit_percent"),
    ({"name": "n", "cpu_limit_percent": 1e9}, 400, "VALIDATION_ERROR", "/cpu_limit_percent"),
    ({"name": "n", "working_directory": "app"}, 400, "VALIDATION_ERROR", "/working_directory"),
    ({"name": "n", "working_directory": "/a/../b"}, 400, "VALIDATION_ERROR", "/working_directory"),
    ({"name": "n", "working_directory": "/proc/1"}, 400, "VALIDATION_ERROR", "/working_directory"),
    ({"name": "n", "labels": {"a": 1}}, 422, "UNPROCESSABLE_ENTITY", "/labels/a"),
    ({"name": "n", "environment": {"LD_PRELOAD": "x"}}, 400, "VALIDATION_ERROR", "/environment/LD_PRELOAD"),
    ({"name": "n", "environment": []}, 422, "UNPROCESSABLE_ENTITY", "/environment"),
    ({"name": "n", "strict": "yes"}, 422, "UNPROCESSABLE_ENTITY", "/strict"),
    ({"name": "n", "mounts": []}, 400, "VALIDATION_ERROR", "/mounts"),
    ({"name": "n", "async_mode": True}, 400, "VALIDATION_ERROR", "/async_mode"),
    ({"name": "n", "volumes": ["/etc:/x"]}, 400, "VALIDATION_ERROR", "/volumes/0"),
    ({"name": "n", "volumes": ["data:/proc"]}, 400, "VALIDATION_ERROR", "/volumes/0"),
    ({"name": "n", "volumes": ["data:/data"]}, 404, "VOLUME_NOT_FOUND", "/volumes"),
    ({"name": "n", "oci": True, "image": "alpine:3"}, 404, "IMAGE_NOT_FOUND", "/image"),
    ({"name": "n", "image": "prod-gui", "command": ["x"]}, 400, "VALIDATION_ERROR", "/command"),
    ({"name": "n", "image": "nonsense"}, 404, "IMAGE_NOT_FOUND", None),
    ({"name": "n", "gpu_count": -1}, 400, "VALIDATION_ERROR", "/gpu_count"),
    ({"name": "n", "gpu_count": "1"}, 400, "VALIDATION_ERROR", "/gpu_count"),
    ({"name": "n", "gpu_count": 1, "gpu_ids": []}, 403, "PLAN_REQUIRED", None),
    ({"name": "n", "gpu_count": 2, "gpu_ids": ["nvidia0"]}, 400, "VALIDATION_ERROR", "/gpu_ids"),
]

# What is no JSON, or holds what no text may hold: the end of the message, which says where, too.
NOT_JSON, SYNTAX, NUL, TWICE = "the body is not acceptable JSON: line ", "a syntax error", "a text holds NUL (\\u0000)", "a member is there twice"
EARLY, UTF8, PAST, MORE = "it ends too early", "a text is not UTF-8", "a number is past its range", "something follows its end"
TEXTS = [
    (b"", EARLY), (b"{", EARLY), (b"{}x", MORE), (b'{"name":"a","name":"b"}', TWICE), (b'{"labels":{"a":"1","a":"1"},"name":"n"}', TWICE),
    (b'{"name":"\xff"}', UTF8), (b'{"name":"\xc0\x80"}', UTF8), (b'{"name":"\xed\xa0\x80"}', UTF8), (b'{"name":"\\ud800"}', SYNTAX),
    (b'{"memory_limit_mb":1e400,"name":"n"}', PAST), (b'{"name":"n","memory_limit_mb":99999999999999999999}', PAST),
    (b'{"name":"n","memory_limit_mb":NaN}', SYNTAX), (b"\x00", SYNTAX), (b'{"name":"n"}\x00', MORE), (b'{"name":"n",}', SYNTAX),
    # NUL, as JSON writes it, wherever a text is: name and value, key and word.
    *((text.replace(b"@", b"\\u0000"), NUL) for text in (
        b'{"name":"a@b"}', b'{"name":"n","image":"busy@box"}', b'{"name":"n","command":["/bin/sh","-c","a@b"]}',
        b'{"name":"n","working_directory":"/a@b"}',
        b'{"name":"n","environment":{"A":"a@b"}}', b'{"name":"n","environment":{"A@":"b"}}',
        b'{"name":"n","labels":{"a":"@"}}', b'{"name":"n","labels":{"@":"a"}}',
        b'{"name":"n","volumes":["data:/d@"]}', b'{"name":"n","gpu_ids":["@"]}', b'{"name":"n","a@b":1}', b'{"name":"n","mounts":["@"]}')),
    # As it is, any control byte: JSON has none in its texts.
    *((b'{"name":"n","labels":{"a":"b' + bytes([c]) + b'"}}', SYNTAX) for c in range(0x20)),
    *((b'{"name":"n","labels":{"a' + bytes([c]) + b'":"b"}}', SYNTAX) for c in (0, 1, 9, 10, 13, 27, 31)),
]
TEXTS_OF_CONTAINERS = [
    ("POST", "/exec", b'{"command":["sh","a@b"]}'), ("POST", "/exec", b'{"command":["cat"],"stdin_data":"@"}'),
    ("POST", "/exec", b'{"command":["pwd"],"workdir":"/@"}'), ("POST", "/exec", b'{"command":["env"],"environment":{"A":"@"}}'),
    ("POST", "/stream", b'{"command":["@"]}'),
    ("POST", "/rename", b'{"new_name":"a@b"}'), ("PATCH", "/env", b'{"environment":{"A":"@"}}'),
    ("PUT", "/env", b'{"environment":{"A@":""}}'), ("POST", "/stop", b'{"@":1}'), ("DELETE", "", b'{"@":1}'),
]
# Refused for another reason than its syntax.
SHAPES = [
    (b"[]", 422, "UNPROCESSABLE_ENTITY"), (b"null", 422, "UNPROCESSABLE_ENTITY"), (b'"x"', 422, "UNPROCESSABLE_ENTITY"),
    (b"[" * 100000, 400, "BAD_REQUEST"), (b'{"name":' + b'{"a":' * 40 + b"1" + b"}" * 41, 400, "BAD_REQUEST"),
    (b'{"name":"n"' + b" " * (1 << 20) + b"}", 413, "PAYLOAD_TOO_LARGE"),
    # Control bytes that are written as JSON writes them are texts like others, but not of names and paths.
    *((b'{"name":"a\\u00%02x"}' % c, 400, "VALIDATION_ERROR") for c in (1, 9, 10, 13, 27, 31, 127)),
    *((b'{"name":"n","working_directory":"/a\\u00%02x"}' % c, 400, "VALIDATION_ERROR") for c in (1, 9, 10, 13, 27, 31, 127)),
]
JSON_TYPE = {"Content-Type": "application/json"}


@pytest.fixture
def api(make_tenant):
    """A client for each test: one has 400 requests at once, which all of them together are more than."""
    return make_tenant("refusals")


def no_json(r, why):
    message = refused(r, 400, "BAD_REQUEST")["error"]
    assert re.fullmatch(re.escape(NOT_JSON) + r"\d+, column \d+: " + re.escape(why), message), r


def test_bodies(api, census):
    before, listed = census(), api.get("/api/containers").json
    for body, status, code, field in BODIES:
        r = api.post("/api/containers", body)
        b = refused(r, status, code or r["error_code"])
        if field:
            assert b["details"]["field"] == field, (body, r)
    for text, why in TEXTS:
        no_json(api.post("/api/containers", text, headers=JSON_TYPE), why)
    for text, status, code in SHAPES:
        refused(api.post("/api/containers", text, headers=JSON_TYPE), status, code)
    refused(api.post("/api/containers", b'{"name":"n"}', headers={"Content-Type": "text/plain"}), 415, "UNSUPPORTED_MEDIA_TYPE")
    assert api.get("/api/containers").json == listed
    census.same_as(before)


def test_unknown_members_are_told_what_is_accepted(api):
    """By every route that takes JSON, from the table that its description in openapi.json is printed from. Nobody looks at the path before."""
    with open(os.path.join(TOP, "docs/openapi.json"), encoding="utf-8") as f:
        paths = json.load(f)["paths"]
    routes = [(method.upper(), path, op["requestBody"]["content"]["application/json"]["schema"]) for path, ops in paths.items()
              for method, op in ops.items() if "requestBody" in op]
    assert len(routes) > 30
    for method, path, schema in routes:
        # A member without a type is taken and left aside: nothing to be recommended.
        known = sorted(name for name, member in schema["properties"].items() if "type" in member)
        for member, kind in (("comand", "array"), ("Name", "string"), ("", "null")):
            r = api.request(method, re.sub(r"\{\w+\}", "nonesuch", path), {member: {"array": [], "string": "x", "null": None}[kind]})
            body = refused(r, 422, "UNPROCESSABLE_ENTITY")
            assert body["error"] == f'there is no member "{member}"', (method, path, r)
            assert body["details"]["field"] == f"/{member}" and body["details"]["received"] == kind, (method, path, r)
            assert sorted(body["details"]["expected"]) == (known or ["no members"]), (method, path, r)
            assert body["hint"] == (None if known else "Send no body, or {}."), (method, path, r)


def test_what_is_known_and_refused_comes_with_a_hint(api, container):
    path = f"/api/containers/{container['container_id']}"
    r = api.post("/api/containers", {"name": "n", "mounts": ["/etc:/etc"]})
    body = refused(r, 400, "VALIDATION_ERROR")
    assert body["details"]["expected"] == ["volumes"] and body["hint"] == 'Use volumes: ["NAME:/target"].', r
    for method, where in (("POST", "/api/containers"), ("POST", f"{path}/stop"), ("POST", f"{path}/kill"), ("DELETE", path)):
        r = api.request(method, where, {**({"name": "n"} if where == "/api/containers" else {}), "async_mode": True})
        body = refused(r, 400, "VALIDATION_ERROR")
        assert body["details"]["expected"] == ["execution query parameter"] and body["hint"] == "Use ?execution=async.", (where, r)
    for body in ({"name": "n", "command": "echo hi"}, {"name": "n", "command": 1}):
        said = refused(api.post("/api/containers", body), 422, "UNPROCESSABLE_ENTITY")
        assert said["hint"].startswith("command is an argv array") and said["details"]["example"].startswith("["), said
    assert api.get(path)["state"] == "running"


def test_nul_in_the_bodies_of_a_container(api, container):
    path = f"/api/containers/{container['container_id']}"
    before = api.get(path).json
    for method, suffix, text in TEXTS_OF_CONTAINERS:
        no_json(api.request(method, path + suffix, text.replace(b"@", b"\\u0000"), headers=JSON_TYPE), NUL)
        no_json(api.request(method, path + suffix, text.replace(b"@", b"\x00"), headers=JSON_TYPE), SYNTAX)
    assert api.get(path).json == before and api.get(f"{path}/env")["environment"] == {}


def test_bodies_of_a_batch(api):
    """An item is refused as the body of a create is, and names its place."""
    for body, status, code, field in BODIES:
        r = api.post("/api/containers/batch", {"items": [{"image": "busybox", **body}]})  # prod is not in every stack
        b = refused(r, status, code or r["error_code"])
        if field:
            assert b["details"]["field"] == f"/items/0{field}", (body, r)


def test_gpus_by_plan(make_tenant):
    r = make_tenant(plan="large").post("/api/containers", {"name": "n", "gpu_count": 1})
    assert refused(r, 503, "CAPACITY_FULL")["hint"]


def test_bodies_of_the_other_routes(api, container):
    path = f"/api/containers/{container['container_id']}"
    for suffix, body, status, code in (
        ("/exec", {}, 422, "UNPROCESSABLE_ENTITY"), ("/exec", {"command": "ls"}, 422, "UNPROCESSABLE_ENTITY"),
        ("/exec", {"command": []}, 400, "VALIDATION_ERROR"), ("/exec", {"command": ["a"], "timeout_ms": 0}, 400, "VALIDATION_ERROR"),
        ("/exec", {"command": ["a"], "workdir": "tmp"}, 400, "VALIDATION_ERROR"),
        ("/exec", {"command": ["a"], "environment": {"LD_AUDIT": "x"}}, 400, "VALIDATION_ERROR"),
        ("/exec", {"command": ["a"], "shell": True}, 422, "UNPROCESSABLE_ENTITY"),
        ("/rename", {}, 422, "UNPROCESSABLE_ENTITY"), ("/rename", {"new_name": "a b"}, 400, "VALIDATION_ERROR"),
        ("/stop", {"timeout_seconds": 601}, 400, "VALIDATION_ERROR"), ("/stop", {"async_mode": True}, 400, "VALIDATION_ERROR"),
        ("/stop?execution=later", None, 400, "VALIDATION_ERROR"), ("/kill", {"async_mode": False}, 400, "VALIDATION_ERROR"),
    ):
        refused(api.post(path + suffix, body), status, code)
    for query in ("limit=0", "limit=1001", "limit=x", "limit=1&limit=2"):
        refused(api.get(f"{path}/logs?{query}"), 400, "VALIDATION_ERROR")
    refused(api.get("/api/containers?state=dead"), 400, "VALIDATION_ERROR")
    refused(api.get("/api/containers/help?format=xml"), 400, "VALIDATION_ERROR")
    assert api.get(path)["state"] == "running"


def test_paths(api):
    for method, path, status, code in (
        ("GET", "/api/nothing", 404, "NOT_FOUND"), ("GET", "/nothing", 404, "NOT_FOUND"), ("GET", "/", 404, "NOT_FOUND"),
        ("PUT", "/api/containers", 405, "METHOD_NOT_ALLOWED"), ("DELETE", "/api/containers/help", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/api/containers/a%2", 400, "BAD_REQUEST"), ("GET", "/api/containers/%00", 400, "BAD_REQUEST"),
        *(("GET", f"/api/containers/a%{c:02x}b", 400, "BAD_REQUEST") for c in (*range(0x20), 0x7f)),
        *(("GET", f"/api/containers?state=a%{c:02x}", 400, "BAD_REQUEST") for c in (0, 1, 10, 0x7f)),
        # nginx takes this for /health, which asks for no key; the program, which has the raw line, does not.
        ("GET", "/api/containers/..%2f..%2fhealth", 401, "UNAUTHORIZED"),
        ("GET", "/api/operations/op_x", 404, "OPERATION_NOT_FOUND"), ("GET", "/api/" + "a" * 9000, 414, "URI_TOO_LONG"),
    ):
        r = api.request(method, path)
        refused(r, status, code)
        assert status != 405 or r.headers["Allow"], r


def test_keys(stack, api, anonymous, make_tenant):
    refused(anonymous.get("/api/containers"), 401, "UNAUTHORIZED")
    for headers in (
        {"X-Api-Key": "nonsense"}, {"X-Api-Key": "quilt_sk_" + "0" * 32}, {"X-Api-Key": api.key + " "}, {"X-Api-Key": api.key + "," + api.key},
        {"X-Api-Key": "x" * 5000}, {"Authorization": "Basic " + api.key}, {"Authorization": api.key},
        [("X-Api-Key", api.key), ("X-Api-Key", api.key)], [("X-Api-Key", "nonsense"), ("X-Api-Key", api.key)],
        {"X_Api_Key": api.key},
        {"QUILT-TENANT": api.tenant_id}, {"X-Quilt-Tenant": api.tenant_id},
    ):
        r = anonymous.get("/api/containers", headers=headers)
        if r.status == 200:  # a trailing blank is no part of a header's value
            assert headers == {"X-Api-Key": api.key + " "}, headers
        else:
            refused(r, 401, "UNAUTHORIZED")
    # nginx itself refuses a standard header that came twice.
    twice = [("Authorization", "Bearer " + api.key), ("Authorization", "Bearer " + api.key)]
    refused(anonymous.get("/api/containers", headers=twice), 400, "BAD_REQUEST")
    assert anonymous.get("/api/containers", headers={"Authorization": "Bearer " + api.key}).status == 200
    assert anonymous.get(f"/api/containers?token={api.key}").status == 401
    assert api.get("/api/containers", headers={"X-Tenant-Id": api.tenant_id}).status == 200
    refused(api.get("/api/containers", headers={"X-Tenant-Id": "ten_other"}), 403, "TENANT_MISMATCH")
    assert anonymous.get("/health")["status"] == "ok"


def test_a_revoked_key_stops_working(stack, make_tenant):
    client = make_tenant("revoked")
    assert client.get("/api/containers").status == 200
    key_id = re.search(r"\bkey_[0-9a-z]+", stack.ctl("key", "list", "--tenant", client.tenant_id).stdout)[0]
    stack.ctl("key", "revoke", key_id)
    wait_for(lambda: client.get("/api/containers").status == 401, 2, what="the workers hear of it")
    refused(client.get("/api/containers"), 401, "UNAUTHORIZED")


def test_request_ids(api):
    assert api.get("/health", headers={"X-Request-Id": "my-id.1"}).headers["x-request-id"] == "my-id.1"
    r = api.get("/api/nothing", headers={"X-Request-Id": "my-id.2"})
    assert r["request_id"] == "my-id.2"
    r = api.get("/api/nothing", headers={"X-Request-Id": "bad id\t{}"})
    assert r["request_id"] == r.headers["x-request-id"] != "bad id\t{}"


def test_quota(stack, make_tenant):
    client = make_tenant("many")
    stack.ctl("tenant", "quota", client.tenant_id, "--set", "containers=2")
    # What was refused for another reason takes nothing of it.
    assert client.post("/api/containers", {"name": "q", "image": "nonsense"}).status == 404
    made = [client.post("/api/containers", {"name": f"q{i}", "image": "busybox", "memory_limit_mb": 32})["container_id"] for i in range(2)]
    for query in ("", "?execution=async"):
        b = refused(client.post(f"/api/containers{query}", {"name": "q2", "image": "busybox"}), 429, "QUOTA_EXCEEDED")
        assert b["details"] == {"quota": "containers", "limit": 2, "used": 2}, b
    assert client.delete(f"/api/containers/{made.pop()}").status == 200
    made.append(client.post("/api/containers", {"name": "q2", "image": "busybox", "memory_limit_mb": 32})["container_id"])
    for c in made:
        assert client.delete(f"/api/containers/{c}").status == 200


def test_a_hundred_at_once_get_what_the_quota_has(stack, make_tenant):
    """Of both ways to ask, and exactly so many; those that were refused took nothing."""
    client = make_tenant("hundred")
    stack.ctl("tenant", "quota", client.tenant_id, "--set", "containers=10")
    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        replies = list(pool.map(lambda i: client.post("/api/containers" + ("?execution=async" if i % 2 else ""),
                                                      {"name": f"h{i}", "image": "busybox", "memory_limit_mb": 32}), range(100)))
    assert len([r for r in replies if r.status in (201, 202)]) == 10, collections.Counter(r.status for r in replies)
    for r in replies:
        if r.status not in (201, 202):
            assert refused(r, 429, "QUOTA_EXCEEDED")["details"] == {"quota": "containers", "limit": 10, "used": 10}, r
    assert len(client.get("/api/containers")["containers"]) == 10
    empty(client)
    again = client.post("/api/containers", {"name": "h0", "image": "busybox", "memory_limit_mb": 32})
    assert again.status == 201, again
    empty(client)


def test_guides(api):
    help_ = api.get("/api/containers/help").json
    assert help_["concern"] == "containers" and len(help_["routes"]) > 20 and help_["notes"]
    text = api.get("/api/containers/help", headers={"Accept": "text/markdown"})
    assert text.headers["Content-Type"].startswith("text/markdown") and text.text.startswith("# containers")
    assert api.get("/api/containers/examples?format=markdown").text.startswith("# containers: examples")
    for example in api.get("/api/containers/examples")["examples"]:
        assert example["method"] and example["path"].startswith("/api/")
    health = api.get("/api/containers/health").json
    assert health["ready"] is True and health["status"] == "ok"
    info = api.get("/api/system/info").json
    assert info["runtime"] == "linux/amd64" and info["version"] and info["limits"]
