"""Every answer of the run against docs/openapi.json: nothing undocumented was said, and nothing documented was never seen."""
import json
import os
import re

import jsonschema
import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# Codes that only a broken machine, a full disk or a full node gives: no route needs to have said them.
RARE = {"INTERNAL_ERROR", "TIMEOUT", "UNAVAILABLE", "INSUFFICIENT_STORAGE", "EXEC_NOT_READY", "CAPACITY_FULL"}
# What is said before the route's own code is reached, in one place for all: once is enough.
ANYWHERE = {"PAYLOAD_TOO_LARGE", "IDEMPOTENCY_CONFLICT", "IDEMPOTENCY_IN_PROGRESS"}
# Documented by routes whose tests do not provoke it yet: nothing is added here, and what is seen is taken out.
OPEN = {
    "forkContainer IMAGE_NOT_FOUND", "forkContainer VOLUME_NOT_FOUND", "forkContainer QUOTA_EXCEEDED",
    "writeFile CONFLICT", "listFiles CONFLICT", "readFile CONFLICT", "snapshotContainer VOLUME_NOT_FOUND", "cloneSnapshot IMAGE_NOT_FOUND", "cloneSnapshot VOLUME_NOT_FOUND",
}
# What nginx says before a route is known.
NGINX = {"BAD_REQUEST", "PAYLOAD_TOO_LARGE", "URI_TOO_LONG", "UNAVAILABLE", "BAD_GATEWAY", "TIMEOUT", "RATE_LIMITED"}


def routes(spec):
    for path, methods in spec["paths"].items():
        pattern = re.compile("^" + re.sub(r"\{[^}]+\}", "[^/?]+", re.sub(r"\{\w+\*\}", "[^?]+", path)) + r"(\?.*)?$")
        for method, route in methods.items():
            yield path.count("{"), pattern, method.upper(), route


@pytest.mark.last
def test_every_answer_is_documented_and_every_document_was_answered(recorder):
    with open(f"{TOP}/docs/openapi.json", encoding="utf-8") as f:
        spec = json.load(f)
    table = sorted(routes(spec), key=lambda r: r[0])

    def fits(instance, schema):
        jsonschema.validate(instance, {**schema, "components": spec["components"]})  # where "#/components/…" leads

    error = spec["components"]["schemas"]["Error"]
    seen, said, codes, problems = set(), set(), set(), []
    for line in recorder.lines():
        path, method, status, body = line["path"], line["method"], line["status"], line["body"]
        if path.startswith("/gui/"):
            path = re.sub(r"/(?=\?|$)", "/index.html", path, count=1) if re.match(r"/gui/[^/]+/(\?|$)", path) else path
        match = next((r for r in table if r[1].match(path)), None)
        if status >= 400:
            try:
                answer = json.loads(body)
                fits(answer, error)
            except (ValueError, jsonschema.ValidationError) as e:
                problems.append(f"{method} {path} -> {status}: {str(e)[:200]}")
                continue
        route = next((r[3] for r in table if match and r[1] == match[1] and r[2] == method), None)
        if not match or not route:
            if status < 400:
                problems.append(f"{method} {path} -> {status} is no documented route")
            continue
        reply = route["responses"].get(str(status))
        seen.add((route["operationId"], status))
        if status >= 400:
            codes.add(answer["error_code"])
            said.add((route["operationId"], answer["error_code"]))
        if status >= 400:
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
            for code in sorted(set(reply.get("x-error-codes", [])) - RARE):
                if (route["operationId"], code) not in said and not (code in ANYWHERE and code in codes):
                    unseen.append(f"{route['operationId']} {code}")
    unseen = [u for u in unseen if u not in OPEN]
    assert not unseen, f"documented, and never seen: {unseen}"
