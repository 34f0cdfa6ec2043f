"""A keep-alive client that says exactly what it is told to."""
import http.client
import json
import socket
import ssl
import threading
import time


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def text(self):
        return self.body.decode("utf-8")

    @property
    def json(self):
        return json.loads(self.body)

    def __getitem__(self, name):
        return self.json[name]

    def __repr__(self):
        return f"<{self.status} {self.body[:600]!r}>"


class Api:
    """One credential at one stack. Usable from many threads: each has a connection of its own."""

    # nginx may close an idle connection at any time after this; a fresh one is free of that race.
    IDLE_S = 5

    def __init__(self, stack, key=None, tenant_id=None, record=None):
        self.stack, self.key, self.tenant_id, self.record = stack, key, tenant_id, record
        self.tls = ssl.create_default_context(cafile=stack.ca)
        self.local = threading.local()

    def _connection(self, timeout):
        c, used, epoch = getattr(self.local, "kept", (None, 0, -1))
        if c and time.monotonic() - used < self.IDLE_S and epoch == self.stack.epoch:
            c.timeout = timeout
            if c.sock:
                c.sock.settimeout(timeout)
            return c
        if c:
            c.close()
        return http.client.HTTPSConnection(self.stack.host, self.stack.port, context=self.tls, timeout=timeout)

    def close(self):
        c, _, _ = getattr(self.local, "kept", (None, 0, -1))
        if c:
            c.close()
        self.local.kept = (None, 0, -1)

    def request(self, method, path, body=None, headers=None, timeout=90):
        """BODY: None, bytes or str as they are, anything else as JSON. HEADERS: a dict, or pairs when one is to occur twice; a value
        None takes a default header away. PATH goes out unchanged."""
        send = [("Host", f"{self.stack.host}:{self.stack.port}")]
        defaults = {}
        if self.key:
            defaults["X-Api-Key"] = self.key
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
            defaults["Content-Type"] = "application/json"
        if isinstance(body, str):
            body = body.encode()
        if body is not None or method in ("POST", "PUT", "PATCH"):
            defaults["Content-Length"] = str(len(body or b""))
        given = list(headers.items() if isinstance(headers, dict) else headers or [])
        for name, value in defaults.items():
            if name.lower() not in (n.lower() for n, _ in given):
                send.append((name, value))
        send += [(n, v) for n, v in given if v is not None]

        c = self._connection(timeout)
        try:
            c.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in send:
                c.putheader(name, value)
            c.endheaders()
            try:
                if body:
                    c.send(body)
            except (BrokenPipeError, ConnectionResetError):
                pass  # refused while we were still sending: the answer says so
            r = c.getresponse()
            reply = Reply(r.status, r.headers, r.read())
        except BaseException:
            c.close()
            self.local.kept = (None, 0, -1)
            raise
        if r.will_close:
            c.close()
            c = None
        self.local.kept = (c, time.monotonic(), self.stack.epoch)
        if self.record:
            self.record(method, path, reply)
        return reply

    def get(self, path, **kw):
        return self.request("GET", path, **kw)

    def post(self, path, body=None, **kw):
        return self.request("POST", path, body, **kw)

    def put(self, path, body=None, **kw):
        return self.request("PUT", path, body, **kw)

    def patch(self, path, body=None, **kw):
        return self.request("PATCH", path, body, **kw)

    def delete(self, path, body=None, **kw):
        return self.request("DELETE", path, body, **kw)

    # --- what nearly every test does ----------------------------------------------------------------

    def exec(self, container, *command, **fields):
        """Run COMMAND and return the answer's JSON; 200 is asserted."""
        r = self.post(f"/api/containers/{container}/exec", {"command": list(command), **fields})
        assert r.status == 200, r
        return r.json

    def operation(self, reply, deadline=60):
        """Follow a 202 to its end and return the final record."""
        from .wait import wait_for

        assert reply.status == 202, reply
        url = reply.json["status_url"]

        def final():
            r = self.get(url)
            assert r.status == 200, r
            return r.json if r.json["status"] in ("succeeded", "failed", "timed_out", "cancelled") else None

        return wait_for(final, deadline, f"the end of {url}")


def raw_exchange(stack, data, timeout=30):
    """Send bytes that are not HTTP as http.client would write it; return everything that comes back."""
    tls = ssl.create_default_context(cafile=stack.ca)
    with socket.create_connection((stack.host, stack.port), timeout) as s:
        with tls.wrap_socket(s, server_hostname=stack.host) as t:
            t.sendall(data)
            out = b""
            while True:
                try:
                    part = t.recv(65536)
                except (ConnectionResetError, ssl.SSLEOFError):
                    break
                if not part:
                    break
                out += part
            return out
