"""POST /api/containers/{id}/stream: frames as they come, exact bytes, and nobody pays for a reader that is slow or gone."""
import base64
import json
import os
import re

import pytest

from harness.streams import Stream
from harness.wait import wait_for


def stream(api, container, *command, read=True, record=True, **fields):
    s = Stream(api, "POST", f"/api/containers/{container}/stream", {"command": list(command), **fields}, read=read, record=record)
    assert s.status == 200, s.answer.read()
    assert s.headers["Content-Type"] == "application/x-ndjson"
    return s


def frames(s):
    return [json.loads(line) for line in s.lines]


def output(s, which):
    return b"".join(base64.b64decode(f["data_b64"]) for f in frames(s) if f["type"] == which)


def run(api, container, *command, **fields):
    with stream(api, container, *command, **fields) as s:
        s.wait_end()
        assert s.error is None
        return s


def resident_kb(stack):
    with open(f"/proc/{stack.pid('stream')}/status", encoding="ascii") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read())[1])


def test_frames(api, container):
    cid = container["container_id"]
    s = run(api, cid, "sh", "-c", "echo out; echo err >&2; cat; pwd; echo $A; exit 7", stdin_data="in\n", workdir="/tmp", environment={"A": "b"})
    first, *middle, last = frames(s)
    assert first == {"type": "started", "container_id": cid, "pid": first["pid"]} and first["pid"] > 1
    assert {f["type"] for f in middle} == {"stdout", "stderr"} and all(set(f) == {"type", "data_b64"} for f in middle)
    assert output(s, "stdout") == b"out\nin\n/tmp\nb\n" and output(s, "stderr") == b"err\n"
    assert last == {"type": "exit", "code": 7, "elapsed_ms": last["elapsed_ms"]} and 0 <= last["elapsed_ms"] < 60000
    assert frames(run(api, container["name"], "true", working_directory="/"))[-1]["code"] == 0


def test_a_long_input(api, container):
    text = "0123456789abcdef" * 30000  # more than a pipe holds
    s = run(api, container["container_id"], "sh", "-c", "sleep 0.2; cat", stdin_data=text, record=False)
    assert output(s, "stdout") == text.encode()
    assert frames(run(api, container["container_id"], "true", stdin_data=text))[-1]["code"] == 0


def test_they_come_when_they_are_written(api, container):
    cid = container["container_id"]
    api.exec(cid, "mkfifo", "/tmp/go")
    with stream(api, cid, "sh", "-c", "echo first; read x </tmp/go; echo second") as s:
        s.wait(lambda: output(s, "stdout") == b"first\n")
        api.exec(cid, "sh", "-c", "echo >/tmp/go")
        s.wait_end()
        assert output(s, "stdout") == b"first\nsecond\n"


def test_bytes_are_exact(api, container):
    cid = container["container_id"]
    api.exec(cid, "sh", "-c", "head -c 3000000 /dev/urandom >/tmp/blob")
    want = api.exec(cid, "sha256sum", "/tmp/blob")["stdout"].split()[0]
    s = run(api, cid, "cat", "/tmp/blob", record=False)
    import hashlib
    assert hashlib.sha256(output(s, "stdout")).hexdigest() == want


def test_what_cannot_run(api, container):
    cid = container["container_id"]
    s = run(api, cid, "no-such-program")
    assert [f["type"] for f in frames(s)] == ["started", "stderr", "exit"]
    assert frames(s)[-1]["code"] == 127 and b"no-such-program" in output(s, "stderr")
    assert frames(run(api, cid, "sh", "-c", "kill -9 $$"))[-1]["code"] == 137


def test_time_runs_out(api, container):
    s = run(api, container["container_id"], "sh", "-c", "echo part; exec sleep 1000", timeout_ms=300)
    kinds = [f["type"] for f in frames(s)]
    assert kinds == ["started", "stdout", "timeout", "exit"]
    assert set(frames(s)[2]) == {"type", "elapsed_ms", "message"} and frames(s)[2]["elapsed_ms"] >= 300
    assert frames(s)[3]["code"] == 143
    stubborn = run(api, container["container_id"], "sh", "-c", "trap '' TERM; while :; do sleep 1; done", timeout_ms=100)
    assert frames(stubborn)[-1]["code"] == 137


def test_grandchildren_are_not_waited_for(api, container):
    s = run(api, container["container_id"], "sh", "-c", "sleep 1000 & echo $!")
    assert frames(s)[-1]["code"] == 0
    assert api.exec(container["container_id"], "kill", output(s, "stdout").decode().strip())["exit_code"] == 0


def test_the_container_ends_meanwhile(api, make_container):
    cid = make_container()["container_id"]
    with stream(api, cid, "sh", "-c", "echo here; exec sleep 1000") as s:
        s.wait(lambda: output(s, "stdout") == b"here\n")
        assert api.post(f"/api/containers/{cid}/kill").status == 200
        s.wait_end()
        assert frames(s)[-1]["type"] == "error" and frames(s)[-1]["message"]


def test_refusals_are_ordinary_errors(api, other_api, make_container):
    cid = make_container()["container_id"]

    def refused(body, status, code, client=api, who=cid, **kw):
        r = client.post(f"/api/containers/{who}/stream", body, **kw)
        assert (r.status, r["error_code"]) == (status, code), r
        return r

    refused({"command": "echo hi"}, 422, "UNPROCESSABLE_ENTITY")
    refused({}, 422, "UNPROCESSABLE_ENTITY")
    refused({"command": ["true"], "wat": 1}, 422, "UNPROCESSABLE_ENTITY")
    refused({"command": ["true"], "timeout_ms": 0}, 400, "VALIDATION_ERROR")
    refused({"command": ["true"], "detach": True}, 400, "VALIDATION_ERROR")
    refused({"command": ["true"], "environment": {"LD_PRELOAD": "x"}}, 400, "VALIDATION_ERROR")
    refused({"command": ["true"], "workdir": "/nowhere"}, 400, "VALIDATION_ERROR")
    refused(b"{", 400, "BAD_REQUEST", headers={"Content-Type": "application/json"})
    refused(b"{}", 415, "UNSUPPORTED_MEDIA_TYPE", headers={"Content-Type": "text/plain"})
    refused({"command": ["true"]}, 404, "CONTAINER_NOT_FOUND", client=other_api)
    refused({"command": ["true"]}, 404, "CONTAINER_NOT_FOUND", who="nothing")
    assert api.post(f"/api/containers/{cid}/kill").status == 200
    r = refused({"command": ["true"]}, 409, "INVALID_STATE")
    assert r["details"]["state"] == "exited"
    assert api.get(f"/api/containers/{cid}/stream").status == 405


def test_who_leaves_takes_the_process_along(api, container):
    cid = container["container_id"]
    with stream(api, cid, "sleep", "4712", record=False) as s:
        s.wait(lambda: frames(s))
    wait_for(lambda: "sleep 4712" not in api.exec(cid, "ps")["stdout"], what="the end of the process that nobody waits for")


def test_a_reader_that_stops_slows_its_own_process_down(stack, api, container):
    cid = container["container_id"]
    flood = "i=0; while :; do i=$((i+1)); head -c 1000000 /dev/zero; echo $i >/tmp/count; done"
    run(api, cid, "true")
    before = resident_kb(stack)
    with stream(api, cid, "sh", "-c", flood, read=False, record=False):
        def count():
            return api.exec(cid, "sh", "-c", "cat /tmp/count 2>/dev/null")["stdout"]

        def stands():
            """The same three times, with other streams served in between."""
            seen = count()
            for _ in range(3):
                assert output(run(api, cid, "echo", "quick", record=False), "stdout") == b"quick\n"
            return seen and seen == count()

        wait_for(stands, what="the writer stands still")
        assert int(count()) < 100
        if stack.variant == "release":
            assert resident_kb(stack) - before < 8192
    wait_for(lambda: "head -c" not in api.exec(cid, "ps")["stdout"], what="the end of the flood")


def test_none_leaves_anything(stack, api, container):
    cid = container["container_id"]

    def held():
        return len(os.listdir(f"/proc/{stack.pid('stream')}/fd"))

    run(api, cid, "true", record=False)
    before = held()
    for i in range(25):
        with stream(api, cid, "sh", "-c", "echo; exec sleep 1000", record=False) as s:
            s.wait(lambda: len(frames(s)) == 2)
        run(api, cid, "true", record=False)
    # Its threads open connections when they first need them: two each, at most.
    wait_for(lambda: held() <= before + 24, what="no descriptor is left")
    assert "sleep 1000" not in api.exec(cid, "ps")["stdout"]


def test_a_command_outlives_nothing_of_the_daemon(stack, api, container):
    """quilt-stream's end is the end of what it runs: nobody else would hear of it."""
    cid = container["container_id"]
    with stream(api, cid, "sleep", "4713", record=False) as s:
        s.wait(lambda: frames(s))
        stack.restart("stream")
        s.wait_end()
        assert [f["type"] for f in frames(s)] == ["started", "error"] and "restarts" in frames(s)[1]["message"]
    wait_for(lambda: "sleep 4713" not in api.exec(cid, "ps")["stdout"], what="the end of the process")
    assert frames(run(api, cid, "true"))[-1]["code"] == 0
