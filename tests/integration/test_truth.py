"""Every answer of the run against docs/openapi.json: nothing undocumented was said, and nothing documented was never seen."""
import json
import os
import re

import jsonschema
import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# Codes that only a broken machine, a full disk or a full node gives.
RARE = {"INTERNAL_ERROR", "TIMEOUT", "UNAVAILABLE", "INSUFFICIENT_STORAGE", "STORE_UNAVAILABLE", "RUNTIME_UNAVAILABLE",
        "EXEC_NOT_READY", "QUOTA_EXCEEDED", "CAPACITY_FULL"}
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
    seen, codes, problems = set(), set(), []
    for line in recorder.lines():
        path, method, status, body = line["path"], line["method"], line["status"], line["body"]
        match = next((r for r in table if r[1].match(path)), None)
        if status >= 400:
            try:
                answer = json.loads(body)
                fits(answer, error)
            except (ValueError, jsonschema.ValidationError) as e:
                problems.append(f"{method} {path} -> {status}: {str(e)[:200]}")
                continue
            codes.add(answer["error_code"])
        route = next((r[3] for r in table if match and r[1] == match[1] and r[2] == method), None)
        if not match or not route:
            if status < 400:
                problems.append(f"{method} {path} -> {status} is no documented route")
            continue
        reply = route["responses"].get(str(status))
        seen.add((route["operationId"], status))
        if status >= 400:
            known = reply["x-error-codes"] if reply else []
            if answer["error_code"] not in known and answer["error_code"] not in NGINX:
                problems.append(f"{method} {path} -> {status} {answer['error_code']} is not documented")
        elif not reply:
            problems.append(f"{method} {path} -> {status} is not documented")
        elif line["content_type"] == "application/octet-stream":
            if line["content_type"] not in reply["content"]:
                problems.append(f"{method} {path} -> {status}: bytes are not documented")
        elif not (line["content_type"] or "").startswith("text/"):
            try:
                fits(json.loads(body), reply["content"]["application/json"]["schema"])
            except (ValueError, jsonschema.ValidationError) as e:
                problems.append(f"{method} {path} -> {status}: {str(e)[:300]}")
    assert not problems, "\n".join(problems[:20])

    documented, unseen = set(), []
    for _, _, _, route in table:
        for status, reply in route["responses"].items():
            documented |= set(reply.get("x-error-codes", []))
            if int(status) < 400 and (route["operationId"], int(status)) not in seen:
                unseen.append(f"{route['operationId']} {status}")
    assert not unseen, f"documented, and never seen: {unseen}"
    assert not documented - codes - RARE, f"error codes that are documented, and were never seen: {documented - codes - RARE}"
