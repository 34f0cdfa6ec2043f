"""GET /api/containers/{id}/logs?follow=true, and the filters of logs."""
import json
import re
import time

import pytest

from harness.streams import Stream
from harness.wait import wait_for

SSE = {"Accept": "text/event-stream"}


def follow(api, container, query="", headers=None, **kw):
    s = Stream(api, "GET", f"/api/containers/{container}/logs?follow=true{query}", headers=headers, **kw)
    assert s.status == 200, s.answer.read()
    return s


def entries(stream):
    return [json.loads(line) for line in stream.lines if line]


def messages(stream, which=("stdout", "stderr")):
    return [e["message"] for e in entries(stream) if e["stream"] in which]


@pytest.fixture
def talker(make_container, api):
    """A container whose command says what it is told to, and tell(line)."""
    made = make_container(command=["/bin/sh", "-c", "mkfifo /tmp/in; exec 3<>/tmp/in; echo begin; while read -r l <&3; do "
                                                    "case $l in e*) echo \"$l\" >&2;; *) echo \"$l\";; esac; done"])
    cid = made["container_id"]
    wait_for(lambda: "begin" in api.get(f"/api/containers/{cid}/logs").text)

    def tell(*lines):
        api.exec(cid, "sh", "-c", "for l; do echo \"$l\"; done >/tmp/in", "-", *lines)

    return cid, tell


def test_what_is_there_and_what_comes(api, talker):
    cid, tell = talker
    with follow(api, cid) as nd, follow(api, cid, headers=SSE) as sse:
        assert nd.headers["Content-Type"] == "application/x-ndjson" and sse.headers["Content-Type"] == "text/event-stream"
        nd.wait(lambda: "begin" in messages(nd))
        tell("one", "err", "two")
        nd.wait(lambda: {"two", "err"} <= set(messages(nd)))
        assert messages(nd, ("stdout",)) == ["begin", "one", "two"] and messages(nd, ("stderr",)) == ["err"]
        assert [e for e in entries(nd) if e["message"] == "one"][0].keys() == {"timestamp", "level", "message", "stream"}
        sse.wait(lambda: any('"two"' in line for line in sse.lines) and any('"err"' in line for line in sse.lines))
        at = next(i for i, line in enumerate(sse.lines) if '"one"' in line)
        assert sse.lines[at - 2] == "event: log" and re.fullmatch(r"id: \d+", sse.lines[at - 1])
        data = [json.loads(line[6:])["message"] for line in sse.lines if line.startswith("data: {\"timestamp")]
        assert [m for m in data if m in ("begin", "one", "two")] == ["begin", "one", "two"]
        sse.wait(lambda: "event: heartbeat" in sse.lines, what="a heartbeat")
        nd.wait(lambda: "" in nd.lines, what="a heartbeat")


def test_filters(api, talker):
    cid, tell = talker
    tell("one", "err", "two")
    wait_for(lambda: {"err", "two"} <= {e["message"] for e in api.get(f"/api/containers/{cid}/logs")["logs"]})

    def got(query):
        r = api.get(f"/api/containers/{cid}/logs?{query}")
        assert r.status == 200, r
        return [e["message"] for e in r["logs"]]

    assert got("stream=stderr") == ["err"]
    assert got("stream=stdout") == ["begin", "one", "two"]
    assert got("stream=stdout&limit=2") == ["one", "two"]
    assert "container started" in got("stream=system")
    now = int(time.time())
    assert got(f"since={now + 3600}") == []
    assert got(f"since={now - 3600}&stream=stdout") == ["begin", "one", "two"]
    assert got("since=2020-01-01T00:00:00Z&stream=stderr") == ["err"]
    for bad in ("since=yesterday", "since=2020-13-01T00:00:00Z", "since=-1", "stream=stdin", "follow=yes", "follow=true&limit=0"):
        r = api.get(f"/api/containers/{cid}/logs?{bad}")
        assert r.status == 400 and r["error_code"] == "VALIDATION_ERROR", r
    with follow(api, cid, "&stream=stderr&limit=1") as s:
        tell("three", "err2")
        s.wait(lambda: "err2" in messages(s))
        assert [e["message"] for e in entries(s)] == ["err", "err2"]
    # The same of both kinds of followed logs: what was before `since` is left out, what comes is not.
    for headers in (SSE, None):
        with follow(api, cid, f"&stream=stderr&since={now - 3600}", headers=headers) as s, follow(api, cid, f"&since={now + 3600}", headers=headers) as none:
            tell("four", "err3")
            s.wait(lambda: any('"err3"' in line for line in s.lines))
            none.wait(lambda: "" in none.lines[-2:] and len([line for line in none.lines if line in ("", "event: heartbeat")]) > 1, what="heartbeats")
            said = [json.loads(line.removeprefix("data: "))["message"] for line in s.lines if '"message"' in line]
            assert [m for m in said if m.startswith("err")] == said and said[:2] == ["err", "err2"] and said[-1] == "err3", said
            assert not any('"message"' in line for line in none.lines), none.lines


def test_nothing_is_lost_or_repeated(api, make_container):
    cid = make_container(command=["/bin/sh", "-c", "mkfifo /tmp/go; read x </tmp/go; seq 5000"])["container_id"]
    with follow(api, cid, "&stream=stdout", record=False) as s:
        api.exec(cid, "sh", "-c", "while [ ! -p /tmp/go ]; do :; done; echo >/tmp/go")
        s.wait(lambda: s.lines and '"5000"' in s.lines[-1], what="the last line")
        assert messages(s) == [str(n) for n in range(1, 5001)]


def test_it_goes_on_over_a_start_and_ends_with_the_container(api, talker):
    cid, tell = talker
    with follow(api, cid) as s:
        s.wait(lambda: "begin" in messages(s))
        assert api.post(f"/api/containers/{cid}/kill").status == 200
        api.operation(api.post(f"/api/containers/{cid}/start"))
        s.wait(lambda: messages(s).count("begin") == 2)
        assert api.delete(f"/api/containers/{cid}").status == 200
        s.wait_end()
        assert s.error is None


def test_refusals(api, other_api, talker):
    cid, _ = talker
    r = other_api.get(f"/api/containers/{cid}/logs?follow=true")
    assert r.status == 404 and r["error_code"] == "CONTAINER_NOT_FOUND", r
    r = api.get("/api/containers/nothing/logs?follow=true")
    assert r.status == 404, r
    r = api.get(f"/api/containers/{cid}/logs?follow=true&token={api.key}", headers={"X-Api-Key": None})
    assert r.status == 401, r
