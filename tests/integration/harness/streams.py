"""Clients that stay: event streams and other bodies that come in pieces."""
import http.client
import json
import ssl
import threading
import time

from .client import Reply
from .wait import wait_for


class Stream:
    """A request whose answer is read by a thread, line by line, until it ends or close() is called."""

    def __init__(self, api, method, path, body=None, headers=None, key=True, record=True, read=True, timeout=90):
        self.api, self.method, self.path, self.record = api, method, path, api.record if record else None
        self.lines, self.raw, self.ended, self.error = [], bytearray(), False, None
        self.changed = threading.Condition()
        tls = ssl.create_default_context(cafile=api.stack.ca)
        self.connection = http.client.HTTPSConnection(api.stack.host, api.stack.port, context=tls, timeout=timeout)
        send = dict(headers or {})
        if key and api.key:
            send.setdefault("X-Api-Key", api.key)
        if body is not None:
            body = json.dumps(body)
            send.setdefault("Content-Type", "application/json")
        self.connection.request(method, path, body, send)
        self.answer = self.connection.getresponse()
        self.status, self.headers = self.answer.status, self.answer.headers
        self.thread = threading.Thread(target=self._read, daemon=True)
        if read:
            self.thread.start()

    def start(self):
        self.thread.start()

    def _read(self):
        try:
            while True:
                line = self.answer.readline()
                with self.changed:
                    if not line:
                        break
                    self.raw += line
                    self.lines.append(line.decode("utf-8", "replace").rstrip("\n"))
                    self.changed.notify_all()
        except (OSError, http.client.HTTPException, ValueError, AttributeError) as e:
            self.error = e
        finally:
            with self.changed:
                self.ended = True
                self.changed.notify_all()

    def wait(self, predicate, deadline=60, what=None):
        """Until PREDICATE, asked at each line, is true: what it returned."""
        end = time.monotonic() + deadline
        with self.changed:
            while True:
                found = predicate()
                if found:
                    return found
                left = end - time.monotonic()
                assert left > 0 and not self.ended, f"{what or 'what was waited for'} did not come: {self.lines[-20:]}, {self.error!r}"
                self.changed.wait(left)

    def wait_end(self, deadline=60):
        wait_for(lambda: self.ended, deadline, f"the end of {self.path}")

    def close(self):
        """Leave. What was read is recorded, for the schema test."""
        try:
            self.connection.sock and self.connection.sock.shutdown(2)
        except OSError:
            pass
        if self.thread.is_alive():
            self.thread.join(30)
        self.answer.close()
        self.connection.close()
        if self.record:
            self.record(self.method, self.path, Reply(self.status, self.headers, self.raw))
            self.record = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Event:
    def __init__(self, name, event_id, data):
        self.name, self.id, self.text = name, event_id, data

    @property
    def data(self):
        return json.loads(self.text)

    def __repr__(self):
        return f"<{self.name} {self.id} {self.text[:200]}>"


class Events(Stream):
    """GET /api/events."""

    def __init__(self, api, query="", last=None, **kw):
        headers = {"Last-Event-ID": last} if last else {}
        super().__init__(api, "GET", "/api/events" + query, headers={**headers, **kw.pop("headers", {})}, **kw)

    @property
    def events(self):
        """All but heartbeats, which come when they come."""
        return [e for e in self.frames if e.name != "heartbeat"]

    @property
    def frames(self):
        out, name, event_id, data = [], "message", None, []
        for line in self.lines:
            if line == "":
                if data:
                    out.append(Event(name, event_id, "\n".join(data)))
                name, event_id, data = "message", None, []
            elif line.startswith("event: "):
                name = line[7:]
            elif line.startswith("id: "):
                event_id = line[4:]
            elif line.startswith("data: "):
                data.append(line[6:])
        return out

    def wait_event(self, predicate, deadline=60):
        """The first event for which PREDICATE is true."""
        return self.wait(lambda: next((e for e in self.events if predicate(e)), None), deadline, "the event")

    def of(self, container):
        return [e for e in self.events if e.name == "container_update" and e.data["container_id"] == container]
