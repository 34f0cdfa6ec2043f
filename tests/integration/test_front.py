"""The front: what nginx bounds by itself, crowds and slow clients, and the workers' queue over a stop."""
import concurrent.futures
import contextlib
import fcntl
import json
import os
import signal
import socket
import ssl
import struct
import subprocess

import pytest

from harness.client import raw_exchange
from harness.front import Front, Workers, answered, ask
from harness.wait import wait_for

GOOD = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"


@pytest.mark.parametrize("request_, status, code", [
    (b"GET /health HTTP/1.1\r\n\r\n", 400, "BAD_REQUEST"),  # no Host
    (b"GET /api/%zz HTTP/1.1\r\nHost: x\r\n\r\n", 400, "BAD_REQUEST"),
    (b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414, "URI_TOO_LONG"),
    (GOOD + b"X-Long: " + b"a" * 20000 + b"\r\n\r\n", 400, "BAD_REQUEST"),
    (GOOD + b"".join(b"X-%d: %s\r\n" % (i, b"a" * 8000) for i in range(12)) + b"\r\n", 400, "BAD_REQUEST"),
    (GOOD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400, "BAD_REQUEST"),
    (GOOD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "BAD_REQUEST"),
    (GOOD + b"Content-Length: x\r\n\r\n", 400, "BAD_REQUEST"),
    (GOOD + b"X-Folded: a\r\n b\r\n\r\n", 400, "BAD_REQUEST"),
    (GOOD + b"Transfer-Encoding: gzip\r\n\r\n", 400, "BAD_REQUEST"),
    (GOOD.replace(b"HTTP/1.1", b"HTTP/9.9") + b"\r\n", 400, "BAD_REQUEST"),
    (GOOD.replace(b"GET", b"TRACE") + b"\r\n", 405, "METHOD_NOT_ALLOWED"),
    (b"nonsense\r\n\r\n", 400, "BAD_REQUEST"),
    (b"GET /elsewhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404, "NOT_FOUND"),
], ids=range(14))
def test_nginx_refuses_in_json(stack, request_, status, code):
    head, _, body = raw_exchange(stack, request_).partition(b"\r\n\r\n")
    assert head.split()[1] == str(status).encode() and b"application/json" in head, head
    assert json.loads(body)["error_code"] == code, body


def test_too_many_at_once_from_one_address(stack, api, tmp_path):
    tls = ssl.create_default_context(cafile=stack.ca)
    with Front(stack, tmp_path, {"limit_conn quilt_conn 2000;": "limit_conn quilt_conn 1;"}) as front:
        assert front.ask(b"/health")[0] == 200
        with socket.create_connection((front.host, front.port), 30) as s, tls.wrap_socket(s, server_hostname=front.host) as t:
            t.sendall(f"POST /api/containers HTTP/1.1\r\nHost: x\r\nX-Api-Key: {api.key}\r\nContent-Length: 1000\r\n\r\n{{".encode())
            wait_for(lambda: front.ask(b"/health")[0] != 200, what="the first request counts")
            status, again, body = front.ask(b"/health")
            assert (status, again) == (429, 1) and body["error_code"] == "RATE_LIMITED" and body["retry_after"] == 1 and body["request_id"], body
        wait_for(lambda: front.ask(b"/health")[0] == 200, what="it has room again")


def test_workers_that_do_not_answer(stack, api, tmp_path):
    with Front(stack, tmp_path, {"fastcgi_read_timeout 10s;": "fastcgi_read_timeout 1s;"}) as front:
        workers = stack.workers()
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        try:
            status, again, body = front.ask(b"/health")
            assert (status, again) == (504, 2) and body["error_code"] == "TIMEOUT" and body["retry_after"] == 2 and body["hint"], body
            # Of who asks, nothing is known yet.
            status, again, body = front.ask(b"/api/containers", more=f"X-Api-Key: {api.key}\r\n".encode())
            assert (status, again) == (503, 2) and body["error_code"] == "UNAVAILABLE", body
        finally:
            for pid in workers:
                os.kill(pid, signal.SIGCONT)
        assert front.ask(b"/health")[0] == 200


def test_plain_http_is_refused_in_json(stack):
    with socket.create_connection((stack.host, stack.port), 30) as s:
        s.sendall(GOOD + b"\r\n")
        answer = b"".join(iter(lambda: s.recv(65536), b""))
    assert answer.split()[1] == b"400" and json.loads(answer.partition(b"\r\n\r\n")[2])["error_code"] == "BAD_REQUEST"


def test_http2(stack, api):
    tls = ssl.create_default_context(cafile=stack.ca)
    tls.set_alpn_protocols(["h2"])
    with socket.create_connection((stack.host, stack.port), 30) as s, tls.wrap_socket(s, server_hostname=stack.host) as t:
        assert t.selected_alpn_protocol() == "h2"
        t.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0)))
        head = t.recv(9)
        while len(head) < 9:
            head += t.recv(9 - len(head))
        size, kind = int.from_bytes(head[:3], "big"), head[3]
        body = b""
        while len(body) < size:
            body += t.recv(size - len(body))
    assert kind == 4
    settings = dict(struct.unpack(">HI", body[i:i + 6]) for i in range(0, size, 6))
    assert settings[3] == 64  # MAX_CONCURRENT_STREAMS
    curl = ["curl", "-s", "--http2", "--cacert", stack.ca, "-w", "%{http_version} %{http_code}", "-H", f"X-Api-Key: {api.key}"]
    for path, want in (("/api/containers?limit=1", "2 200"), ("/elsewhere", "2 404")):
        out = subprocess.run([*curl, f"{stack.url}{path}"], capture_output=True, text=True, timeout=60).stdout
        assert out.endswith(want) and out.startswith("{"), out


def test_slow_clients_starve_nobody(stack, api, container):
    """More of them than the API has threads: those that do not finish a request, and those that do not read an answer."""
    tls = ssl.create_default_context(cafile=stack.ca)
    request = f"POST /api/containers HTTP/1.1\r\nHost: x\r\nX-Api-Key: {api.key}\r\nContent-Type: application/json\r\n".encode()
    with contextlib.ExitStack() as held:
        for i in range(300):
            s = held.enter_context(socket.create_connection((stack.host, stack.port), 30))
            t = held.enter_context(tls.wrap_socket(s, server_hostname=stack.host))
            t.sendall(request[:40] if i % 3 == 0 else request + b"Content-Length: 1000\r\n\r\n{" if i % 3 == 1
                      else request.replace(b"POST /api/containers ", b"GET /api/containers/help ") + b"\r\n")
        assert api.get("/api/containers", timeout=10).status == 200
        assert api.exec(container["container_id"], "echo", "here")["stdout"] == "here\n"


def test_without_workers_the_answer_is_json(stack, api):
    stack.stop("api")
    try:
        r = api.get("/api/containers")
        assert r.status == 503 and r["error_code"] == "UNAVAILABLE" and r.headers["Retry-After"], r
        r = api.get("/health")
        assert r.status == 502 and r["error_code"] == "BAD_GATEWAY" and r.headers["Retry-After"], r
    finally:
        stack.start("api")


# --- the workers alone, by FastCGI ---------------------------------------------------------------------------------------


def crowd(path, n):
    return [ask(path) for _ in range(n)]


def all_answered(clients):
    with concurrent.futures.ThreadPoolExecutor(len(clients)) as pool:
        return all(pool.map(answered, clients))


def test_more_clients_than_threads(stack, tmp_path):
    with Workers(stack, tmp_path) as w:
        assert all_answered(crowd(f"{w.run}/api.sock", 100))


def test_a_stop_answers_the_queue(stack, tmp_path):
    with Workers(stack, tmp_path) as w:
        w.stand_still()
        waiting = crowd(f"{w.run}/api.sock", 50)
        w.process.terminate()

        def closed():
            try:
                ask(f"{w.run}/api.sock").close()
            except (ConnectionRefusedError, BrokenPipeError):
                return True

        wait_for(closed, what="nobody new gets in")
        for pid in w.pids():
            os.kill(pid, signal.SIGCONT)
        assert all_answered(waiting)
        assert w.process.wait(60) == 0


def test_a_reload_loses_nobody(stack, tmp_path):
    with Workers(stack, tmp_path) as w:
        old = w.stand_still()
        waiting = crowd(f"{w.run}/api.sock", 20)
        w.process.send_signal(signal.SIGHUP)
        assert all_answered(waiting)  # by the new ones: the old ones stand still
        for pid in old:
            os.kill(pid, signal.SIGCONT)
        wait_for(lambda: not set(old) & set(w.pids()), what="the old ones end")


def test_sockets_of_a_service_manager_outlive_the_workers(stack, tmp_path):
    sockets = [socket.socket(socket.AF_UNIX) for _ in range(2)]
    for s, name in zip(sockets, ("api-slow.sock", "api.sock")):
        s.bind(f"{tmp_path}/{name}")
        s.listen(511)
    given = [fcntl.fcntl(s, fcntl.F_DUPFD, 20) for s in sockets]
    with Workers(stack, tmp_path, given):
        pass
    waiting = crowd(f"{tmp_path}/api.sock", 20)  # while nobody is there
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        answers = pool.submit(all_answered, waiting)
        with Workers(stack, tmp_path, given) as w:
            assert answers.result(60)
        assert os.path.exists(f"{w.run}/api.sock")
    for s in sockets + given:
        os.close(s if isinstance(s, int) else s.detach())
