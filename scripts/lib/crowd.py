"""crowd.py - thousands of clients of GET /api/events in one thread, each a TLS connection of its own through nginx, for scripts/bench."""
import errno
import os
import re
import select
import socket
import ssl
import threading
import time

AT_ONCE = 64  # connections that are being made
CHANGE = re.compile(rb"event: container_update\nid: (\d+)-")  # an event's id begins with the time of the change that made it
PER_ADDRESS = 1000  # nginx takes 2,000 of one (limit_conn)


class Member:
    """One connection: it connects, shakes hands, asks, and from its `ready` on it only reads."""

    def __init__(self, sock, key):
        self.sock, self.key, self.asked, self.ready, self.head = sock, key, False, False, b""
        self.heard = self.changed = 0


class Crowd:
    def __init__(self, host, port, ca):
        self.address, self.host = (socket.gethostbyname(host), port), host
        self.tls = ssl.create_default_context(cafile=ca)
        self.epoll, self.members, self.wanted, self.failed = select.epoll(), {}, [], None
        self.coming, self.n_ready, self.stopped, self.number = 0, 0, False, 0
        self.lock = threading.Lock()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def join(self, key, count):
        """COUNT more clients with KEY; returns when all have heard `ready`."""
        with self.lock:
            self.wanted += [key] * count
            want = self.n_ready + self.coming + len(self.wanted)
        while self.n_ready < want:
            if self.failed:
                raise SystemExit(f"bench: a client of events failed: {self.failed}")
            time.sleep(0.05)

    def leave(self):
        self.stopped = True
        self.thread.join()

    def heard(self, key, since):
        """Of the clients with KEY, those that heard of a container since then: (when, and when it changed), in ms since 1970."""
        return [(m.heard, m.changed) for m in self.members.values() if m.key == key and m.heard >= since]

    def _connect(self, key):
        s = socket.socket()
        s.setblocking(False)
        # Each thousand from another address of the loopback network, as if they were other people's.
        if self.address[0].startswith("127."):
            s.bind((f"127.0.0.{2 + self.number // PER_ADDRESS}", 0))
        self.number += 1
        e = s.connect_ex(self.address)
        if e not in (0, errno.EINPROGRESS):
            raise OSError(e, os.strerror(e))
        t = self.tls.wrap_socket(s, server_hostname=self.host, do_handshake_on_connect=False)
        self.members[t.fileno()] = Member(t, key)
        self.epoll.register(t.fileno(), select.EPOLLIN | select.EPOLLOUT)
        self.coming += 1

    def _serve(self, m):
        if not m.asked:
            try:
                m.sock.do_handshake()
            except ssl.SSLWantReadError:
                self.epoll.modify(m.sock.fileno(), select.EPOLLIN)
                return
            except ssl.SSLWantWriteError:
                self.epoll.modify(m.sock.fileno(), select.EPOLLOUT)
                return
            m.asked = True
            m.sock.sendall(f"GET /api/events HTTP/1.1\r\nHost: {self.host}\r\nX-Api-Key: {m.key}\r\n\r\n".encode())
            self.epoll.modify(m.sock.fileno(), select.EPOLLIN)
        while True:
            try:
                data = m.sock.recv(16384)
            except ssl.SSLWantReadError:
                return
            if not data:
                raise OSError(f"closed: {m.head[:300]!r}")
            told = CHANGE.search(data)
            if told:
                m.heard, m.changed = time.time() * 1000, int(told[1])
            if not m.ready:
                m.head += data
                if b"event: ready" in m.head:
                    m.ready, m.head = True, b""
                    self.coming -= 1
                    self.n_ready += 1
                elif not m.head.startswith(b"HTTP/1.1 200"[:len(m.head)]):
                    raise OSError(f"refused: {m.head[:300]!r}")

    def _run(self):
        try:
            while not self.stopped:
                with self.lock:
                    while self.wanted and self.coming < AT_ONCE:
                        self._connect(self.wanted.pop())
                for fd, _ in self.epoll.poll(0.05):
                    self._serve(self.members[fd])
        except Exception as e:  # whatever it is, the caller tells
            self.failed = e
        for m in self.members.values():
            m.sock.close()
        self.epoll.close()
