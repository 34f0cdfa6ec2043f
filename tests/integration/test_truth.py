"""Every answer of the run against docs/openapi.json: nothing undocumented was said, and nothing documented was never seen."""
import json
import os
import re

import jsonschema
import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# What a run cannot provoke, and why. Of some other route each of these codes must have been heard.
RARE = {
    ("health", "INTERNAL_ERROR"): "it asks nobody: it fails where a worker has no memory left",
}
# What nginx says before a route is known.
NGINX = {"BAD_REQUEST", "PAYLOAD_TOO_LARGE", "URI_TOO_LONG", "UNAVAILABLE", "BAD_GATEWAY", "TIMEOUT", "RATE_LIMITED"}


def routes(spec):
    for path, methods in spec["paths"].items():
        pattern = re.compile("^" + re.sub(r"\{[^}]+\}", "[^/?]+", re.sub(r"\{\w+\*\}", "[^?]+", path)) + r"(\?.*)?$")
        for method, route in methods.items():
            yield path.count("{"), pattern, method.upper(), route


@pytest.mark.last
def test_no_program_said_more_than_it_may(stack):
    """Also where nobody recorded the answer."""
    odd = [line for program in ("api", "stream") for line in stack.log_text(program).splitlines() if "undocumented error" in line]
    assert not odd, odd[:20]


@pytest.mark.last
def test_every_answer_is_documented_and_every_document_was_answered(recorder):
    with open(f"{TOP}/docs/openapi.json", encoding="utf-8") as f:
        spec = json.load(f)
    table, validators = sorted(routes(spec), key=lambda r: r[0]), {}

    def fits(instance, schema):
        if id(schema) not in validators:
            validators[id(schema)] = jsonschema.Draft202012Validator({**schema, "components": spec["components"]})  # where "#/components/…" leads
        error = jsonschema.exceptions.best_match(validators[id(schema)].iter_errors(instance))
        if error:
            raise error

    error = spec["components"]["schemas"]["Error"]
    routes_of = {}  # of each path that was asked for: the pattern that fits best, and its routes
    seen, said, problems = set(), set(), []
    for line in recorder.lines():
        path, method, status, body = line["path"], line["method"], line["status"], line["body"]
        if re.match(r"/gui/[^/]+/(\?|$)", path):
            path = re.sub(r"/(?=\?|$)", "/index.html", path, count=1)
        if path not in routes_of:
            match = next((r[1] for r in table if r[1].match(path)), None)
            routes_of[path] = {r[2]: r[3] for r in table if match and r[1] == match}
        if status >= 400:
            try:
                answer = json.loads(body)
                fits(answer, error)
            except (ValueError, jsonschema.ValidationError) as e:
                problems.append(f"{method} {path} -> {status}: {str(e)[:200]}")
                continue
        route = routes_of[path].get(method)
        if not route:
            if status < 400:
                problems.append(f"{method} {path} -> {status} is no documented route")
            continue
        reply = route["responses"].get(str(status))
        seen.add((route["operationId"], status))
        if status >= 400:
            said.add((route["operationId"], answer["error_code"]))
            known = reply["x-error-codes"] if reply else []
            if answer["error_code"] not in known and answer["error_code"] not in NGINX:
                problems.append(f"{method} {path} -> {status} {answer['error_code']} is not documented")
        elif not reply:
            problems.append(f"{method} {path} -> {status} is not documented")
        elif (line["content_type"] or "").split(";")[0] not in reply.get("content", {"": None}):
            problems.append(f"{method} {path} -> {status} is documented, but not as {line['content_type']}")
        elif line["content_type"] == "application/json":
            try:
                fits(json.loads(body), reply["content"]["application/json"]["schema"])
            except (ValueError, jsonschema.ValidationError) as e:
                problems.append(f"{method} {path} -> {status}: {str(e)[:300]}")
    assert not problems, "\n".join(problems[:20])

    unseen = []
    for _, _, _, route in table:
        for status, reply in route["responses"].items():
            if int(status) < 400 and (route["operationId"], int(status)) not in seen:
                unseen.append(f"{route['operationId']} {status}")
            for code in reply.get("x-error-codes", []):
                if (route["operationId"], code) not in said | RARE.keys():
                    unseen.append(f"{route['operationId']} {code}")
    unseen += sorted({code for _, code in RARE} - {code for _, code in said})
    assert not unseen, f"documented, and never seen: {unseen}"
    assert not RARE.keys() & said, "it can be provoked"


def host_paths(stack):
    """Where things lie on the host: this stack's places, those of an installation, the sources, and what the kernel shows of it."""
    return (stack.dir, stack.prefix, TOP, "/var/lib/quilt", "/etc/quilt", "/run/quilt", "/usr/local", "/sys/fs/cgroup", "/proc/self/fd")


def told(line):
    """What an answer tells of a failure: an error, or those of operations and of their items."""
    if line["status"] >= 400:
        yield line["body"]
    elif line["content_type"] == "application/json" and line["path"].startswith("/api/operations"):
        todo = [json.loads(line["body"])]
        while todo:
            value = todo.pop()
            if isinstance(value, dict):
                yield from (str(v) for k, v in value.items() if k in ("error", "message", "details", "hint") and v)
            todo += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


@pytest.mark.last
def test_no_message_shows_a_path_of_the_host(stack, recorder):
    lines = recorder.lines()
    shown = {(line["method"], line["path"], text[:300]) for line in lines for text in told(line) if any(path in text for path in host_paths(stack))}
    assert sum(line["status"] >= 400 for line in lines) > 0 and not shown, sorted(shown)[:20]
