"""Terminal sessions: a shell on a real terminal in the container, over WebSockets that may come and go."""
import collections
import concurrent.futures
import contextlib
import http.client
import json
import os
import re
import signal
import ssl
import time

import pytest

from harness.client import Api
from harness.stack import Stack, children
from harness.streams import Stream
from harness.terminal import Terminal
from harness.wait import wait_for

READY, PONG, EXIT, ERROR = "ready", "pong", "exit", "error"


def handshake(api, query, headers=None, key=True):
    """The request for a WebSocket, and the answer if it is none."""
    base = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Protocol": "terminal", "X-Api-Key": api.key if key else None, **(headers or {})}
    return api.get(f"/ws/terminal/attach?{query}", headers={k: v for k, v in base.items() if v is not None or k == "X-Api-Key"})


@pytest.fixture
def session(api, container):
    r = api.post("/api/terminal/sessions", {"container_id": container["container_id"], "cols": 100, "rows": 30})
    assert r.status == 201, r
    yield r.json
    api.delete(f"/api/terminal/sessions/{r['session_id']}")


def sid(session):
    return session["session_id"]


def test_a_session_as_the_sdk_uses_one(api, container, session, stack):
    assert session["attach_url"] == f"wss://{stack.host}:{stack.port}/ws/terminal/attach?session_id={sid(session)}"
    assert session["target"] == "container" and session["state"] == "ready" and session["shell"] == "/bin/sh"
    assert (session["cols"], session["rows"]) == (100, 30) and session["container_id"] == container["container_id"]
    assert session["expires_at"] > session["created_at"]
    assert sid(session) in [s["session_id"] for s in api.get("/api/terminal/sessions?target=container")["sessions"]]
    assert api.get("/api/terminal/sessions?target=master").json == {"sessions": []}
    assert api.get(f"/api/terminal/sessions/{sid(session)}").json == session
    assert api.post(f"/api/terminal/sessions/{sid(session)}/resize", {"cols": 120, "rows": 40}).json == {"success": True}
    with Terminal(api, "", url=session["attach_url"]) as t:
        t.say(type="ping", ts=17)
        t.type("echo he''llo\n")
        ready = t.message(READY)
        assert ready["session_id"] == sid(session) and ready["shell"] == "/bin/sh" and ready["pid"] == session["pid"]
        assert t.messages[0] == ready
        assert t.message(PONG) == {"type": "pong", "ts": 17}
        t.wait_for(b"hello")
        t.run("stty size", "40 120")
        t.say(type="resize", cols=200, rows=50)
        t.run("stty size", "50 200")
        t.run("tty; echo $TERM", "/dev/pts/")
        t.wait_for(b"xterm-256color")
        wait_for(lambda: api.get(f"/api/terminal/sessions/{sid(session)}")["state"] == "active")
        wait_for(lambda: api.get(f"/api/terminal/sessions/{sid(session)}")["cols"] == 200)
        t.type("exit 7\n")
        assert t.message(EXIT) == {"type": "exit", "code": 7, "signal": None}
        assert t.until_closed() == 1000
    wait_for(lambda: api.get(f"/api/terminal/sessions/{sid(session)}").status == 404)


def test_detach_and_attach_again(api, session):
    with Terminal(api, f"session_id={sid(session)}") as t:
        t.run("X=kept; echo be''fore", "before")
        t.type("(sleep 1; echo mean''while) &\n")
    with Terminal(api, f"session_id={sid(session)}", key="url") as t:
        t.wait_for(b"before")  # of the scrollback
        t.run("echo $X-", "kept-")
        t.wait_for(b"meanwhile")


def test_the_key_may_stand_in_the_url_and_is_in_no_log(api, other_api, session, stack, anonymous):
    query = f"session_id={sid(session)}"
    with Terminal(api, query, key="url") as t:
        t.run("echo a''a", "aa")
    for q in (f"session_id=sess_nothing&token={api.key}", f"{query}&token={api.key}&token={api.key}", f"{query}&token={other_api.key}"):
        assert handshake(anonymous, q, key=False).status in (401, 404), q
    # No terminal, and not below /ws/: no key in the URL.
    assert anonymous.get(f"/api/terminal/sessions?token={api.key}").status == 401
    assert anonymous.post(f"/api/terminal/sessions?token={api.key}", {"container_id": session["container_id"]}).status == 401
    # Nor when nginx has something to complain about.
    stack.stop("stream")
    try:
        assert handshake(anonymous, f"{query}&token={api.key}", key=False).status == 502
    finally:
        stack.start("stream")
    logs = [f"{base}/{name}" for base, _, files in os.walk(stack.log) for name in files]
    assert any(path.endswith("access.log") for path in logs), logs
    for path in logs:
        with open(path, "rb") as f:
            text = f.read()
            assert api.key.encode() not in text and other_api.key.encode() not in text, path


def test_one_types_and_others_watch(api, session):
    with Terminal(api, f"session_id={sid(session)}") as one:
        one.message(READY)
        with Terminal(api, f"session_id={sid(session)}") as two:
            assert two.message(READY)["writer"] is False
            one.run("echo for''both", "forboth")
            two.wait_for(b"forboth")
            two.type("echo by''two\n")
            assert two.message(ERROR)["code"] == "READ_ONLY"
            one.close()
            two.message("writer")
            two.run("echo by''two", "bytwo")


def test_signals_and_job_control(api, session):
    with Terminal(api, f"session_id={sid(session)}") as t:
        t.run("echo a''a", "aa")
        t.run("sh -c 'echo sta''rted; exec sleep 1000'", "started")
        t.type(b"\x03")
        t.run("echo int-$?", "int-130")
        t.run("sh -c 'echo aga''in; exec sleep 1000'", "again")
        t.say(type="signal", signal="SIGINT")
        t.type("echo sig''int-$?\n")
        t.wait_for(b"sigint-130")
        t.run("sh -c 'echo th''ird; exec sleep 1000'", "third")
        t.type(b"\x1a")
        t.wait_for(b"Stopped")
        t.run("jobs; kill %1; echo jo''bs", "jobs")
        t.say(type="signal", signal="SIGHUP")
        assert t.message(EXIT)["code"] == 129 and t.message(EXIT)["signal"] == "SIGHUP"
        assert t.until_closed() == 1000


def test_what_is_no_message(api, session):
    with Terminal(api, f"session_id={sid(session)}") as t:
        for bad in ("", "x", "[]", "{}", '{"type":"wat"}', '{"type":"resize","cols":0,"rows":1}', '{"type":"signal","signal":"SIGKILL"}', "y" * 6000):
            t.messages.clear()
            t.ws.send(bad)
            assert t.message(ERROR)["code"] == "BAD_MESSAGE"
        t.run("echo st''ill", "still")


def test_a_session_by_container_and_its_end_with_it(api, make_container):
    cid = make_container()["container_id"]
    with Terminal(api, f"container_id={cid}&cols=90&rows=20&shell=/bin/ash") as t:
        s = t.message(READY)["session_id"]
        t.run("stty size", "20 90")
        assert api.get(f"/api/terminal/sessions/{s}")["shell"] == "/bin/ash"
        assert api.post(f"/api/containers/{cid}/kill").status == 200
        assert t.message(ERROR)["code"] == "CONTAINER_ENDED" and t.until_closed() == 1000
    assert api.get(f"/api/terminal/sessions/{s}").status == 404
    assert handshake(api, f"session_id={s}").status == 404


def test_delete_ends_it(api, session):
    with Terminal(api, f"session_id={sid(session)}") as t:
        t.message(READY)
        assert api.delete(f"/api/terminal/sessions/{sid(session)}").json == {"success": True}
        assert t.message(EXIT)["code"] == 137 and t.until_closed() == 1000
    r = api.delete(f"/api/terminal/sessions/{sid(session)}")
    assert r.status == 404 and r["error_code"] == "SESSION_NOT_FOUND", r


def test_a_restart_loses_no_session(stack, api, session):
    """Nor what it showed, nor what runs in it while nobody is attached."""
    with Terminal(api, f"session_id={sid(session)}") as t:
        t.run("X=kept; echo be''fore; tr '\\0' x </dev/zero | head -c 70000; echo; echo af''ter", "after")
        stack.restart("stream")
        assert t.until_closed() == 1012
    with Terminal(api, f"session_id={sid(session)}") as t:
        t.wait_for(b"after\r\n")
        assert b"before" not in t.out and len(t.out) <= 65528 + 100  # the last 64 KiB, and no more
        t.run("echo $X-", "kept-")
        stack.restart("nginx")
    with Terminal(api, f"session_id={sid(session)}") as t:
        t.run("echo $X--", "kept--")
        # A reload closes nothing: who is attached stays so.
        old = set(children(stack.pid("nginx")))
        os.kill(stack.pid("nginx"), signal.SIGHUP)
        wait_for(lambda: set(children(stack.pid("nginx"))) - old, what="nginx has new workers")
        t.run("echo $X-reload", "kept-reload")
        # More than a terminal takes that nobody reads.
        t.run("(until [ -e /tmp/go ]; do sleep 0.1; done; seq 50000; touch /tmp/went) & echo st''arted", "started")
    stack.kill("stream")
    assert api.exec(session["container_id"], "touch", "/tmp/go")["exit_code"] == 0
    wait_for(lambda: api.exec(session["container_id"], "test", "-e", "/tmp/went")["exit_code"] == 0, what="it is read, though nobody is attached")
    stack.kill("stream")
    with Terminal(api, f"session_id={sid(session)}") as t:
        t.wait_for(b"50000\r\n")
        t.run("echo $X---", "kept---")


def test_refusals(api, other_api, anonymous, session, container, make_container, stack):
    def create(body, status, code, client=api):
        r = client.post("/api/terminal/sessions", body)
        assert (r.status, r["error_code"]) == (status, code), r

    cid = container["container_id"]
    create({"container_id": cid, "cols": 0}, 400, "VALIDATION_ERROR")
    create({"container_id": cid, "rows": 1001}, 400, "VALIDATION_ERROR")
    create({"container_id": cid, "shell": "sh"}, 400, "VALIDATION_ERROR")
    create({"container_id": cid, "shell": "/bin/nothing"}, 400, "VALIDATION_ERROR")
    create({}, 422, "UNPROCESSABLE_ENTITY")
    create({"target": "master"}, 501, "NOT_IMPLEMENTED")
    create({"container_id": cid}, 404, "CONTAINER_NOT_FOUND", client=other_api)
    stopped = make_container()["container_id"]
    assert api.post(f"/api/containers/{stopped}/kill").status == 200
    create({"container_id": stopped}, 409, "INVALID_STATE")
    r = api.post(f"/api/terminal/sessions/{sid(session)}/resize", {"cols": 1})
    assert r.status == 422, r
    for client, what in ((other_api, sid(session)), (api, "sess_nothing"), (api, "x")):
        assert client.get(f"/api/terminal/sessions/{what}").status == 404
        assert client.post(f"/api/terminal/sessions/{what}/resize", {"cols": 1, "rows": 1}).status == 404
        assert client.delete(f"/api/terminal/sessions/{what}").status == 404

    query = f"session_id={sid(session)}"

    def refuse(status, code, q=query, client=api, **kw):
        r = handshake(client, q, **kw)
        assert (r.status, r["error_code"]) == (status, code), r

    refuse(401, "UNAUTHORIZED", client=anonymous, key=False)
    refuse(401, "UNAUTHORIZED", q=query + "&token=x", client=anonymous, key=False)
    refuse(404, "SESSION_NOT_FOUND", q="session_id=sess_nothing")
    refuse(404, "SESSION_NOT_FOUND", client=other_api)
    refuse(404, "CONTAINER_NOT_FOUND", q="container_id=nothing")
    refuse(409, "INVALID_STATE", q=f"container_id={stopped}")
    refuse(400, "VALIDATION_ERROR", q="cols=1")
    refuse(400, "VALIDATION_ERROR", q=f"container_id={cid}&cols=0")
    refuse(400, "BAD_REQUEST", headers={"Sec-WebSocket-Protocol": None})
    refuse(400, "BAD_REQUEST", headers={"Sec-WebSocket-Protocol": "other"})
    refuse(400, "BAD_REQUEST", headers={"Upgrade": None})
    for origin in ("https://evil.example", "null", f"http://{stack.host}:{stack.port}", f"https://{stack.host}:{stack.port}.evil.example"):
        refuse(403, "FORBIDDEN", headers={"Origin": origin})
    for origin in (f"https://{stack.host}:{stack.port}", "https://friend.example"):  # allowed_origins in the harness
        with Terminal(api, query, origin=origin) as t:
            t.message(READY)
    assert api.get("/ws/nothing").status == 404
    assert api.post(f"/ws/terminal/attach?{query}").status == 405
    assert api.get("/_quilt_ws?x").status == 404


def test_a_tenant_may_have_so_many(make_tenant, make_container):
    api = make_tenant()
    cid = make_container(client=api)["container_id"]
    made = [api.post("/api/terminal/sessions", {"container_id": cid}) for _ in range(8)]  # tenant_sessions in the harness
    assert all(r.status == 201 for r in made), made
    r = api.post("/api/terminal/sessions", {"container_id": cid})
    assert r.status == 429 and r["error_code"] == "QUOTA_EXCEEDED", r
    r = handshake(api, f"container_id={cid}")
    assert r.status == 429 and r["error_code"] == "QUOTA_EXCEEDED", r
    assert len(api.get("/api/terminal/sessions")["sessions"]) == 8
    assert api.delete(f"/api/terminal/sessions/{made[0]['session_id']}").status == 200
    assert api.post("/api/terminal/sessions", {"container_id": cid}).status == 201


def test_a_flood_to_a_reader_that_stops(stack, api, session):
    def resident_kb():
        with open(f"/proc/{stack.pid('stream')}/status", encoding="ascii") as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read())[1])

    with Terminal(api, f"session_id={sid(session)}") as t:
        t.run("echo a''a", "aa")
        before = resident_kb()
        t.type("i=0; while :; do i=$((i+1)); echo $i >/tmp/count; seq 20000; done\n")

        def count():
            return api.exec(session["container_id"], "sh", "-c", "cat /tmp/count 2>/dev/null")["stdout"]

        def stands():
            """The same three times, with another terminal served in between."""
            seen = count()
            for _ in range(3):
                with Terminal(api, f"container_id={session['container_id']}") as other:
                    other.run("echo qu''ick; exit", "quick")
            return seen and seen == count()

        wait_for(stands, what="the writer stands still")
        if stack.variant == "release":
            assert resident_kb() - before < 8192


def test_a_thousand_leave_nothing(stack, make_tenant, make_container, census):
    """Opened and closed by tenants that each have three clients: most shells exit, some sessions are deleted, some clients leave and come again."""
    def held():
        return collections.Counter(re.sub(r":\[\d+\]", "", os.readlink(f"/proc/{stack.pid('stream')}/fd/{fd}"))
                                   for fd in os.listdir(f"/proc/{stack.pid('stream')}/fd"))

    def one(api, cid, i):
        with Terminal(api, f"container_id={cid}") as t:
            s = t.message(READY)["session_id"]
            if i % 10 == 1:
                assert api.delete(f"/api/terminal/sessions/{s}").status == 200
                t.message(EXIT)
            elif i % 10 != 2:
                t.type("exit\n")
                assert t.message(EXIT)["code"] == 0
            if i % 10 != 2:
                assert t.until_closed() == 1000
        if i % 10 == 2:
            with Terminal(api, f"session_id={s}") as t:
                t.message(READY)
                t.type("exit\n")
                assert t.until_closed() == 1000

    apis = [make_tenant() for _ in range(6)]
    ids = [make_container(client=api)["container_id"] for api in apis]
    # Of each tenant three at once, and as many whose records are just going: tenant_sessions is 8 in the harness.
    pools = [concurrent.futures.ThreadPoolExecutor(3) for _ in apis]
    with contextlib.ExitStack() as stay:
        for pool in pools:
            stay.enter_context(pool)

        def times(n):
            for done in [pools[i % 6].submit(one, apis[i % 6], ids[i % 6], i) for i in range(n)]:
                done.result()

        times(36)  # what is there but once: connections of threads, of workers, keys
        before, had = census(), held()
        times(1000 if stack.variant == "release" else 250)
    census.same_as(before)
    # Sockets of its threads to Redis and the runtime may have been made meanwhile, one of each a thread.
    wait_for(lambda: all(n <= had[what] + (64 if what == "socket" else 0) for what, n in held().items()), what="no descriptor is left")
    assert stack.redis("ZCARD", f"quilt:node:{stack.settings['node']}:sessions") == "0"
    for api, cid in zip(apis, ids):
        assert api.get("/api/terminal/sessions").json == {"sessions": []}
        assert api.exec(cid, "ls", "/dev/pts")["stdout"].split() == ["ptmx"]


def test_a_stop_hangs_up(api, make_container):
    cid = make_container()["container_id"]
    with Terminal(api, f"container_id={cid}") as t:
        t.run("echo a''a", "aa")
        began = time.monotonic()
        assert api.post(f"/api/containers/{cid}/stop", {"timeout_seconds": 60}).status == 200
        assert time.monotonic() - began < 30
        t.until_closed()
        assert t.code == 1000


def test_nobody_there_for_long(stack, api, container):
    """session_idle_s in the harness is short for those that say so in Redis alone: the record is made old."""
    r = api.post("/api/terminal/sessions", {"container_id": container["container_id"]})
    member = f"{api.tenant_id}/{r['session_id']}"
    assert stack.redis("ZADD", f"quilt:node:{stack.settings['node']}:sessions", "XX", "CH", "1", member) == "1"
    wait_for(lambda: api.get(f"/api/terminal/sessions/{r['session_id']}").status == 404, what="its end")
    wait_for(lambda: api.exec(container["container_id"], "ls", "/dev/pts")["stdout"].split() == ["ptmx"], what="the end of its shell")


@pytest.fixture(scope="module")
def brief():
    """A stack of its own, in which no session lives for long: a client of it, and a container."""
    s = Stack(conf={"session_idle_s": 2, "session_ttl_s": 25})
    try:
        s.up()
        tenant = s.ctl("tenant", "create", "brief").stdout.split()[0]
        client = Api(s, s.ctl("key", "create", "--tenant", tenant, "--name", "k").stdout.strip(), tenant)
        yield client, client.post("/api/containers", {"name": "brief", "image": "busybox"})["container_id"]
    finally:
        s.down()
    s.remove()


def test_idle_sessions_end(brief):
    """One to which nobody came; one whose client says nothing, and is told."""
    client, cid = brief
    alone, watched = (client.post("/api/terminal/sessions", {"container_id": cid})["session_id"] for _ in range(2))
    with Terminal(client, f"session_id={watched}") as t:
        t.message(READY)
        assert t.until_closed() == 1000 and t.messages[-1]["type"] == EXIT, t.messages
    for s in alone, watched:
        wait_for(lambda: client.get(f"/api/terminal/sessions/{s}").status == 404, what="its end")
    wait_for(lambda: client.exec(cid, "ls", "/dev/pts")["stdout"].split() == ["ptmx"], what="the end of their shells")


def test_a_session_in_use_ends_with_its_time_alone(brief):
    """What it writes keeps it, attached or not, far longer than session_idle_s; session_ttl_s ends it in the middle of that."""
    client, cid = brief
    session = client.post("/api/terminal/sessions", {"container_id": cid}).json
    assert session["expires_at"] - session["created_at"] == 25
    with Terminal(client, f"session_id={session['session_id']}") as t:
        t.message(READY)
        t.type("i=0; while :; do i=$((i+1)); echo tick-$i; sleep 0.5; done\n")
        t.wait_for(b"tick-1\r")
    # Nobody is there meanwhile; how long it was, its own count says.
    wait_for(lambda: client.get(f"/api/terminal/sessions/{session['session_id']}")["state"] != "active", what="the record knows")
    with Terminal(client, f"session_id={session['session_id']}") as t:
        t.wait_for(b"tick-14\r")
        assert t.until_closed() == 1000 and t.messages[-1]["type"] == EXIT, t.messages
    wait_for(lambda: client.get(f"/api/terminal/sessions/{session['session_id']}").status == 404, what="its record goes")
    assert int(client.exec(cid, "date", "+%s")["stdout"]) >= session["expires_at"]


def test_redis_forgets_and_they_end_all_the_same(brief):
    """Nobody lists them any more, and nobody puts their container back: their time is over for quilt-stream, who holds them."""
    client, cid = brief
    stack = client.stack
    alone, watched = (client.post("/api/terminal/sessions", {"container_id": cid})["session_id"] for _ in range(2))
    stack.wait_for_copy(client)
    with Terminal(client, f"session_id={alone}") as t:
        t.message(READY)
    with Terminal(client, f"session_id={watched}") as t:
        t.message(READY)
        stack.stop("agent")
        try:
            assert stack.redis("FLUSHALL") == "OK"
            assert t.until_closed() == 1000 and t.messages[-1]["type"] == EXIT, t.messages
        finally:
            stack.start("agent")
    wait_for(lambda: client.exec(cid, "ls", "/dev/pts")["stdout"].split() == ["ptmx"], what="the end of their shells")


def test_a_shell_that_ends_while_nobody_looks(stack, api, session):
    """quilt-stream was away, and is told nothing: the session is over all the same, and so is what it would hold."""
    def held():
        return sum("ptmx" in os.readlink(f"/proc/{stack.pid('stream')}/fd/{fd}") for fd in os.listdir(f"/proc/{stack.pid('stream')}/fd"))

    with Terminal(api, f"session_id={sid(session)}") as t:
        t.run("echo a''a", "aa")
    stack.stop("stream")
    try:
        assert api.exec(session["container_id"], "kill", "-9", str(session["pid"]))["exit_code"] == 0
        wait_for(lambda: api.exec(session["container_id"], "test", "-e", f"/proc/{session['pid']}")["exit_code"] == 1, what="its end")
    finally:
        stack.start("stream")
    wait_for(lambda: api.get(f"/api/terminal/sessions/{sid(session)}").status == 404, what="its record goes")
    wait_for(lambda: held() == 0, what="nothing of it is held")


def test_deleted_sessions_stay_deleted(stack, api, container):
    """Also those of which the record hears at the same moment."""
    for _ in range(25):
        s = api.post("/api/terminal/sessions", {"container_id": container["container_id"]})["session_id"]
        with Terminal(api, f"session_id={s}") as t:
            t.message(READY)
            for i in range(10):
                t.say(type="resize", cols=80 + i, rows=24)
            t.say(type="ping", ts=1)
            t.message(PONG)  # all of them were read
            assert api.delete(f"/api/terminal/sessions/{s}").json == {"success": True}
            assert t.until_closed() == 1000
    assert api.get("/api/terminal/sessions").json == {"sessions": []}
    assert stack.redis("ZCARD", f"quilt:node:{stack.settings['node']}:sessions") == "0"


def test_inits_that_stand_still_are_nothing_to_others(stack, api, make_tenant, make_container):
    """More requests than quilt-stream has threads wait for three containers whose inits are stopped; another tenant is served before they are answered, but for
    those few that their tenants may have under way at once. And another tenant's session that is over ends, though theirs before it cannot."""
    def answered(c):
        c.sock.setblocking(False)
        try:
            return c.sock.recv(1) != b""
        except ssl.SSLWantReadError:
            return False

    hostile, mine, waiting = [make_tenant() for _ in range(3)], make_container()["container_id"], []
    ids = [make_container(client=h)["container_id"] for h in hostile]
    inits = [stack.init_of(c) for c in ids]

    def session_of(client, cid):
        r = client.post("/api/terminal/sessions", {"container_id": cid})
        assert r.status == 201, r
        return f"{client.tenant_id}/{r['session_id']}"

    stuck = [session_of(h, cid) for h, cid in zip(hostile, ids) for _ in range(8)]
    own, due = session_of(api, mine), f"quilt:node:{stack.settings['node']}:sessions"
    for pid in inits:
        os.kill(pid, signal.SIGSTOP)
    try:
        stack.redis("ZADD", due, "XX", "2", own, *(w for member in stuck for w in ("1", member)))
        wait_for(lambda: stack.redis("ZSCORE", due, own) == "", what="the end of the session that can be ended")
        assert all(stack.redis("ZSCORE", due, member) for member in stuck)
        for _ in range(12):  # tenant_streams in the harness; stream_threads is 32
            for h, cid in zip(hostile, ids):
                c = http.client.HTTPSConnection(stack.host, stack.port, context=h.tls, timeout=60)
                c.request("POST", f"/api/containers/{cid}/stream", json.dumps({"command": ["true"]}), {"X-Api-Key": h.key, "Content-Type": "application/json"})
                waiting.append(c)
        with Terminal(api, f"container_id={mine}") as t:
            t.run("echo ser''ved; exit", "served")
        with Stream(api, "POST", f"/api/containers/{mine}/stream", {"command": ["echo", "served"]}) as s:
            s.wait(lambda: '"exit"' in s.lines[-1] if s.lines else False)
        assert sum(map(answered, waiting)) <= 3 * 4
    finally:
        for pid in inits:
            os.kill(pid, signal.SIGCONT)
        for c in waiting:
            c.close()
    wait_for(lambda: not any(stack.redis("ZSCORE", due, member) for member in stuck), what="the end of the others")
    for h, cid in zip(hostile, ids):
        assert h.exec(cid, "true")["exit_code"] == 0
