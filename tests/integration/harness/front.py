"""An nginx and workers of quilt-api beside the stack's own, with other bounds."""
import glob
import json
import os
import re
import signal
import socket
import struct
import subprocess

from .client import raw_exchange
from .stack import children, free_port
from .wait import wait_for


class Front:
    """An nginx beside the stack's, before the same programs and with the same configuration but for CHANGES: a bound that a test can reach, other sockets."""

    epoch = 0

    def __init__(self, stack, directory, changes):
        self.host, self.port, self.ca, self.url = stack.host, free_port(), stack.ca, stack.url
        self.conf = f"{directory}/nginx.conf"
        places = {f"{stack.host}:{stack.port}": f"{self.host}:{self.port}", f"{stack.run}/nginx/": f"{directory}/", f"{stack.log}/": f"{directory}/",
                  f"{stack.etc}/nginx/": f"{directory}/"}
        left = {**changes, **places}
        for name, to in (("nginx.conf", self.conf), ("nginx/quilt-http.conf", f"{directory}/quilt-http.conf"), ("nginx/quilt-server.conf", f"{directory}/quilt-server.conf")):
            with open(f"{stack.etc}/{name}", encoding="utf-8") as f:
                text = f.read()
            for old, new in (changes | places).items():
                if old in text:
                    text = text.replace(old, new)
                    left.pop(old, None)
            with open(to, "w", encoding="utf-8") as f:
                f.write(text)
        assert not left, left

    def __enter__(self):
        self.process = subprocess.Popen(["nginx", "-c", self.conf, "-e", "stderr", "-g", "daemon off;"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: self.ask(b"/elsewhere")[0] == 404, what="nginx answers")
        return self

    def ask(self, path, method=b"GET", more=b""):
        """Status, Retry-After and body of an answer."""
        head, _, body = raw_exchange(self, method + b" " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + more + b"\r\n").partition(b"\r\n\r\n")
        again = re.search(rb"^retry-after: (\d+)\r?$", head, re.I | re.M)
        return int(head.split()[1]), again and int(again[1]), json.loads(body)

    def __exit__(self, *_):
        self.process.terminate()
        assert self.process.wait(60) == 0


# --- the workers alone, by FastCGI ---------------------------------------------------------------------------------------


def record(kind, data):
    return struct.pack(">BBHHBx", 1, kind, 1, len(data), 0) + data


def ask(path):
    """A connection that asks for /health."""
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(60)
    s.connect(path)
    params = {"REQUEST_METHOD": "GET", "REQUEST_URI": "/health", "QUILT_REQUEST_ID": "r"}
    pairs = b"".join(bytes((len(k), len(v))) + k.encode() + v.encode() for k, v in params.items())
    s.sendall(record(1, struct.pack(">HB5x", 1, 0)) + record(4, pairs) + record(4, b"") + record(5, b""))
    return s


def answered(s):
    data = b"".join(iter(lambda: s.recv(65536), b""))
    s.close()
    return b"Status: 200" in data


class Workers:
    """quilt-api with one process of a few threads a pool, beside the stack's own; its sockets its own, or given to it as systemd does."""

    def __init__(self, stack, directory, given=(), threads=2):
        self.run, self.given = f"{directory}", given
        with open(f"{stack.etc}/quilt.conf", encoding="utf-8") as f:
            lines = [line for line in f if line.split(" ")[0] not in ("run_dir", "workers", "threads", "slow_workers", "slow_threads")]
        with open(f"{directory}/conf", "w", encoding="utf-8") as f:
            f.writelines(lines + [f"run_dir = {directory}\n", f"workers = 1\nthreads = {threads}\nslow_workers = 1\nslow_threads = 1\n"])
        self.program = [f"{stack.prefix}/sbin/quilt-api", "-c", f"{directory}/conf"]

    def __enter__(self):
        command = self.program
        if self.given:
            command = ["bash", "-c", 'exec 3<&"$1" 4<&"$2"; shift 2; LISTEN_PID=$$ LISTEN_FDS=2 exec "$@"', "-", *map(str, self.given),
                       *self.program]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=self.given)
        wait_for(lambda: answered(ask(f"{self.run}/api.sock")), what="the workers")
        return self

    def pids(self):
        return children(self.process.pid)

    def stand_still(self):
        """Stop every thread of every worker; their pids."""
        pids = self.pids()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)

        def state(stat):
            with open(stat, encoding="utf-8") as f:
                return f.read().rpartition(")")[2].split()[0]

        wait_for(lambda: all(state(f) == "T" for pid in pids for f in glob.glob(f"/proc/{pid}/task/*/stat")), what="all stand still")
        return pids

    def __exit__(self, *_):
        for pid in self.pids() if self.process.poll() is None else []:
            os.kill(pid, signal.SIGCONT)
        self.process.terminate()
        assert self.process.wait(60) == 0


class Streams:
    """quilt-stream with one thread for what blocks, beside the stack's own."""

    def __init__(self, stack, directory):
        self.run = f"{directory}"
        with open(f"{stack.etc}/quilt.conf", encoding="utf-8") as f:
            lines = [line for line in f if line.split(" ")[0] not in ("run_dir", "stream_threads")]
        with open(f"{directory}/stream.conf", "w", encoding="utf-8") as f:
            f.writelines(lines + [f"run_dir = {directory}\n", "stream_threads = 1\n"])
        self.program = [f"{stack.prefix}/sbin/quilt-stream", "-c", f"{directory}/stream.conf", "--redis-secret", f"{stack.etc}/redis-stream.secret"]

    def __enter__(self):
        self.process = subprocess.Popen(self.program, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: os.path.exists(f"{self.run}/stream.sock"), what="quilt-stream")
        return self

    def __exit__(self, *_):
        self.process.terminate()
        assert self.process.wait(60) == 0
