"""scripts/quickstart, the first of the two commands: on a machine that has nothing of it, once more, and where it cannot do what it should."""
import os
import shutil
import socket
import stat
import subprocess

import pytest

from harness.client import Api
from harness.stack import PROGRAMS, TOP, Stack


class Quickstart:
    def __init__(self):
        self.stack = Stack()
        # What it was configured with: then there is nothing to build anew.
        self.stack.etc = f"{self.stack.prefix}/etc/quilt"
        self.stack.ca = f"{self.stack.etc}/tls/ca.crt"
        with open(self.stack.file, "a", encoding="utf-8") as f:
            f.write(f"QUILT_ETC='{self.stack.etc}'\nQUILT_BUILD='{os.path.dirname(self.stack.prefix)}'\n")
        # In the environment, as an operator sets it: the quick start itself decides which images come first.
        words = subprocess.run(["bash", "-c", 'set -a; . "$0"; unset QUILT_IMAGES; env -0', self.stack.file], capture_output=True, text=True, check=True).stdout
        self.env = dict(word.split("=", 1) for word in words.split("\0") if word)

    def run(self):
        return subprocess.run([f"{TOP}/scripts/quickstart"], env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, check=False)

    def close(self):
        self.stack.down()
        self.stack.remove()
        shutil.rmtree(f"{self.stack.prefix}/etc")


@pytest.fixture
def quickstart():
    q = Quickstart()
    yield q
    q.close()


def lines_of(path):
    with open(path, encoding="utf-8") as f:
        return dict(line.rstrip("\n").split("=", 1) for line in f)


def test_quickstart(quickstart):
    s = quickstart.stack
    r = quickstart.run()
    assert r.returncode == 0, r.stdout + r.stderr
    assert r.stdout.count("HTTP 201") == 2 and '"exec_ready": true' in r.stdout, r.stdout
    assert "hello from busybox" in r.stdout and "this is demo, Debian GNU/Linux 12" in r.stdout and f"set -a; . {s.run}/quickstart.env" in r.stdout
    env = f"{s.run}/quickstart.env"
    st = os.stat(env)
    assert (st.st_uid, stat.S_IMODE(st.st_mode)) == (0, 0o600)
    told = lines_of(env)
    assert set(told) == {"QUILT_BASE_URL", "QUILT_API_KEY", "QUILT_TENANT_ID", "QUILT_CA_CERT"}
    assert told["QUILT_BASE_URL"] == s.url and told["QUILT_API_KEY"] not in r.stdout + r.stderr

    # It answers to whoever has these four.
    api = Api(s, told["QUILT_API_KEY"])
    demo = api.get("/api/containers/by-name/demo")["container_id"]
    before = api.get(f"/api/containers/{demo}").json
    assert before["state"] == "running" and before["tenant_id"] == told["QUILT_TENANT_ID"]
    assert [c["name"] for c in api.get("/api/containers")["containers"]] == ["demo"]

    # Run again, it finds all in place.
    pids = {p: s.pid(p) for p in PROGRAMS}
    r = quickstart.run()
    assert r.returncode == 0, r.stdout + r.stderr
    assert "HTTP 201" not in r.stdout and f"/api/containers/{demo}/metrics" in r.stdout
    assert {p: s.pid(p) for p in PROGRAMS} == pids and lines_of(env) == told
    assert api.get(f"/api/containers/{demo}")["pid"] == before["pid"]

    # An upgrade: what programs are made of has changed, and so has who may do what in Redis. Containers run on.
    with open(f"{s.prefix}/share/quilt/nginx/quilt-server.conf.in", "a", encoding="utf-8") as f:
        f.write("# of an older version\n")
    with open(f"{s.etc}/redis-users.acl", encoding="utf-8") as f:
        users = f.readlines()
    with open(f"{s.etc}/redis-users.acl", "w", encoding="utf-8") as f:
        f.writelines(line for line in users if "quilt-worker" not in line)
    r = quickstart.run()
    assert r.returncode == 0 and "the programs changed" in r.stdout, r.stdout + r.stderr
    assert not [p for p in PROGRAMS if s.pid(p) == pids[p]]
    s.epoch += 1
    assert api.get(f"/api/containers/{demo}")["pid"] == before["pid"]

    # And after `down`, which leaves the state and the settings.
    s.command("down")
    assert not os.path.exists(s.run)
    r = quickstart.run()
    assert r.returncode == 0, r.stdout + r.stderr
    s.epoch += 1
    assert lines_of(env) == told and api.get(f"/api/containers/{demo}")["state"] == "running"
    assert api.delete(f"/api/containers/{demo}?timeout_ms=0").status == 200

    # Where somebody else listens it says who, and what to do, and changes nothing.
    s.command("down")
    with socket.create_server((s.host, s.port)):
        r = quickstart.run()
    assert r.returncode == 1 and f"{s.host}:{s.port} is taken by python3 (pid {os.getpid()})" in r.stderr and "QUILT_LISTEN=" in r.stderr, r
    assert not os.path.exists(s.run)
