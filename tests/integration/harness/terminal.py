"""A client of terminals, and the screen that a person in front of it would see."""
import json
import time

import pyte
import websocket

from .client import Reply

# This version of the package does not know the later ones of RFC 6455's registry: "service restart", "try again later".
websocket._abnf.VALID_CLOSE_STATUS = (*websocket._abnf.VALID_CLOSE_STATUS, 1012, 1013)


class Terminal:
    """One WebSocket."""

    def __init__(self, api, query, key="header", protocols=("terminal",), origin=None, url=None, **kw):
        stack = api.stack
        self.out, self.messages, self.code = b"", [], None
        header = {"X-Api-Key": api.key} if key == "header" else {}
        if key == "url":
            query += f"&token={api.key}"
        path = f"/ws/terminal/attach?{query}"
        self.ws = websocket.create_connection(url or f"wss://{stack.host}:{stack.port}{path}", timeout=60, header=header, origin=origin,
                                              suppress_origin=origin is None, subprotocols=list(protocols), sslopt={"context": api.tls}, **kw)
        if api.record:
            api.record("GET", path.split("&token")[0], Reply(101, {}, b""))
        assert self.ws.subprotocol == "terminal"

    def read(self):
        """One frame. False at the end."""
        op, data = self.ws.recv_data()
        if op == websocket.ABNF.OPCODE_BINARY:
            self.out += data
        elif op == websocket.ABNF.OPCODE_TEXT:
            self.messages.append(json.loads(data))
        elif op == websocket.ABNF.OPCODE_CLOSE:
            self.code = int.from_bytes(data[:2], "big")
            return False
        return True

    def until(self, predicate, what=None, deadline=60):
        end = time.monotonic() + deadline
        while not predicate():
            assert self.read(), f"closed with {self.code} before {what}: {self.out[-500:]!r} {self.messages}"
            assert time.monotonic() < end, f"not within {deadline} s: {what}; {self.out[-500:]!r}"

    def wait_for(self, text):
        self.until(lambda: text in self.out, text)

    def message(self, kind):
        self.until(lambda: any(m["type"] == kind for m in self.messages), kind)
        return next(m for m in self.messages if m["type"] == kind)

    def until_closed(self):
        while self.code is None and self.read():
            continue
        return self.code

    def type(self, text):
        self.ws.send_binary(text.encode() if isinstance(text, str) else text)

    def say(self, **message):
        self.ws.send(json.dumps(message))

    def run(self, command, expect):
        self.type(command + "\n")
        self.wait_for(expect.encode())

    def close(self):
        self.ws.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Screen(pyte.Screen):
    """What a Terminal shows. It answers what programs ask a terminal."""

    def __init__(self, terminal, columns=80, lines=24):
        super().__init__(columns, lines)
        self.terminal, self.seen, self.stream = terminal, 0, pyte.ByteStream(self)

    def write_process_input(self, data):
        self.terminal.type(data)

    def select_graphic_rendition(self, *attrs, private=False):
        if not private:  # "modify other keys", of which this version of pyte does not know that it is something else
            super().select_graphic_rendition(*attrs)

    @property
    def text(self):
        return "\n".join(line.rstrip() for line in self.display)

    def until(self, predicate, what):
        """Read until PREDICATE of this screen is true."""
        def shows():
            self.stream.feed(self.terminal.out[self.seen:])
            self.seen = len(self.terminal.out)
            return predicate(self)

        try:
            self.terminal.until(shows, what)
        except (websocket.WebSocketTimeoutException, AssertionError) as e:
            raise AssertionError(f"not shown: {what} ({e})\n{self.text}") from None

    def wait_for(self, text):
        self.until(lambda s: text in s.text, text)

    def change(self, columns, lines):
        self.terminal.say(type="resize", cols=columns, rows=lines)
        self.resize(lines, columns)
