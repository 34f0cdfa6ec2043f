"""scripts/stack: who runs as whom, who may read what, and each program restarted under a running container."""
import os
import pwd
import re
import socket
import ssl
import stat
import subprocess

import pytest

from harness.oci import Image, Registry, busybox_layer
from harness.stack import PROGRAMS, TOP
from harness.wait import wait_for


def status_field(pid, name):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return re.search(rf"^{name}:\s*(.*)$", f.read(), re.M)[1]


def owner_and_mode(path):
    s = os.stat(path)
    return pwd.getpwuid(s.st_uid).pw_name, stat.S_IMODE(s.st_mode)


@pytest.fixture(scope="module")
def registry():
    r = Registry()
    yield r
    r.close()


def test_who_runs_as_whom(stack):
    want = {"redis": "redis", "runtime": "root", "agent": "quilt-agent", "dns": "quilt-dns", "api": "quilt", "stream": "quilt-stream", "nginx": "root"}
    got = {p: pwd.getpwuid(int(status_field(stack.pid(p), "Uid").split()[0])).pw_name for p in PROGRAMS}
    assert got == want


@pytest.mark.parametrize("program", ["redis", "agent", "dns", "api", "stream"])
def test_unprivileged_programs_hold_no_privilege(stack, program):
    pid = stack.pid(program)
    assert int(status_field(pid, "CapEff"), 16) == 0
    assert int(status_field(pid, "CapPrm"), 16) == 0
    assert status_field(pid, "NoNewPrivs") == "1"


def test_secrets_are_readable_by_their_owners_only(stack):
    assert owner_and_mode(f"{stack.etc}/redis-admin.secret") == ("root", 0o600)
    assert owner_and_mode(f"{stack.etc}/redis.secret") == ("quilt", 0o400)
    assert owner_and_mode(f"{stack.etc}/redis-dns.secret") == ("quilt-dns", 0o400)
    assert owner_and_mode(f"{stack.etc}/redis-stream.secret") == ("quilt-stream", 0o400)
    assert owner_and_mode(f"{stack.etc}/redis-agent.secret") == ("quilt-agent", 0o400)
    assert owner_and_mode(f"{stack.etc}/redis-users.acl") == ("root", 0o640)
    assert owner_and_mode(f"{stack.etc}/tls/server.key") == ("root", 0o600)
    assert owner_and_mode(f"{stack.state}/redis") == ("redis", 0o700)
    assert owner_and_mode(f"{stack.run}/redis.sock") == ("redis", 0o660)
    assert owner_and_mode(f"{stack.run}/runtime.sock") == ("root", 0o660)
    assert owner_and_mode(f"{stack.run}/stream.sock") == ("quilt-stream", 0o660)
    # Nobody but the programs' own group finds the sockets.
    assert owner_and_mode(stack.run) == ("root", 0o1770)


def test_the_pool_is_a_mount_that_executes_nothing(stack):
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        options = [line.split()[5] for line in f if line.split()[4] == stack.pool]
    assert len(options) == 1
    assert {"nosuid", "nodev", "noexec"} <= set(options[0].split(","))


@pytest.mark.parametrize("user", ["worker", "agent", "stream"])
@pytest.mark.parametrize("command", [
    ("CONFIG", "GET", "*"), ("EVAL", "return 1", "0"), ("KEYS", "*"), ("FLUSHALL",), ("FUNCTION", "LIST"), ("SCAN", "0"),
    ("ACL", "WHOAMI"), ("SHUTDOWN",), ("DEBUG", "SLEEP", "0"), ("GET", "other:key"), ("SUBSCRIBE", "x"), ("MONITOR",),
    ("MIGRATE", "h", "1", "k", "0", "1"), ("SLAVEOF", "NO", "ONE"), ("SCRIPT", "FLUSH"),
], ids=lambda c: c[0].lower() if isinstance(c, tuple) else c)
def test_redis_refuses_what_no_program_needs(stack, user, command):
    answer = stack.redis(*command, user=user)
    assert "NOPERM" in answer or "not allowed" in answer, answer


def test_redis_listens_on_its_socket_alone_and_knows_no_default_user(stack):
    assert stack.redis("CONFIG", "GET", "port").splitlines() == ["port", "0"]
    assert stack.redis("CONFIG", "GET", "appendfsync").splitlines() == ["appendfsync", "always"]
    assert stack.redis("CONFIG", "GET", "maxmemory-policy").splitlines() == ["maxmemory-policy", "noeviction"]
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(30)
        s.connect(f"{stack.run}/redis.sock")
        s.sendall(b"PING\r\n")
        assert s.recv(1000).startswith(b"-NOAUTH")


def test_tls(stack):
    def connect(context):
        with socket.create_connection((stack.host, stack.port), 30) as s:
            with context.wrap_socket(s, server_hostname="localhost") as t:
                return t.version()

    assert connect(ssl.create_default_context(cafile=stack.ca)) == "TLSv1.3"
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(ssl.create_default_context())
    old = ssl.create_default_context(cafile=stack.ca)
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        connect(old)


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_program_restarts_alone_and_containers_run_on(stack, api, container, program):
    cid, pid = container["container_id"], container["pid"]
    others = {p: stack.pid(p) for p in PROGRAMS if p != program}
    stack.restart(program)
    assert {p: stack.pid(p) for p in others} == others

    def answers():
        r = api.post(f"/api/containers/{cid}/exec", {"command": ["echo", "here"]})
        return r.status == 200 and r.json["stdout"] == "here\n"

    wait_for(answers, what=f"exec works after a restart of {program}")
    assert api.get(f"/api/containers/{cid}").json["pid"] == pid


def test_status_tells_what_is_down(stack):
    stack.stop("agent")
    try:
        r = stack.command("status", check=False)
        assert r.returncode == 1
        assert [line.split()[0] for line in r.stdout.splitlines() if line.split()[1:] == ["down"]] == ["agent"]
    finally:
        stack.start("agent")
    assert stack.command("status").returncode == 0


def test_quiltctl_sees_a_resolver_that_is_dead(stack):
    def dns(r):
        return next(line for line in r.stdout.splitlines() if line.startswith("dns"))

    assert dns(stack.ctl("status")).split() == ["dns", "up", "resolves"]
    stack.stop("dns")
    try:
        with open(f"{stack.run}/dns.ready", "w", encoding="ascii"):
            pass  # as one that was killed leaves it
        r = stack.ctl("status", check=False)
        assert r.returncode == 1 and dns(r).split() == ["dns", "DOWN", "has", "ended"], r
    finally:
        stack.start("dns")


def test_a_setting_reaches_whoever_is_restarted(stack, api, registry):
    """quilt.conf is all that an operator edits: what is made of it, like nginx's bounds, is made anew."""
    conf, include = f"{stack.etc}/quilt.conf", f"{stack.etc}/nginx/quilt-server.conf"
    reference = registry.push("tests/setting", "1", Image([busybox_layer()]))
    with open(conf, encoding="utf-8") as f:
        text = f.read()
    changed = re.sub(r"^registry_allow = .*$", "registry_allow = 192.0.2.1", text, flags=re.M)
    assert changed != text

    def pull():
        r = api.post("/api/oci/images/pull", {"reference": reference})
        return r.status, r.json.get("error_code")

    try:
        with open(conf, "w", encoding="utf-8") as f:
            f.write(changed + "max_archive_bytes = 12345678901\n")
        stack.restart("agent", "api", "nginx")
        with open(include, encoding="utf-8") as f:
            assert int(re.search(r"^client_max_body_size (\d+);", f.read(), re.M)[1]) >= 12345678901
        assert pull() == (403, "REGISTRY_DENIED")
    finally:
        with open(conf, "w", encoding="utf-8") as f:
            f.write(text)
        stack.restart("agent", "api", "nginx")
    assert pull() == (200, None)
    assert api.delete(f"/api/oci/images?reference={reference}").status == 200


def test_logs(stack, api):
    assert api.get("/api/containers").status == 200
    last = stack.log_text("api").splitlines()[-1]
    assert last in stack.command("logs", "api").stdout.splitlines()
    for args, said in ((("logs", "nothing"), 'no program "nothing"'), (("logs",), "no program"), (("nothing",), 'no command "nothing"')):
        r = stack.command(*args, check=False)
        assert r.returncode == 1 and said in r.stderr, r


def test_the_list_of_images(stack):
    rows = [line.split() for line in stack.ctl("image", "list").stdout.splitlines()]
    assert any(row[0] == "busybox" for row in rows), rows
    assert stack.ctl("image", "list", "more", check=False).returncode == 2


@pytest.mark.parametrize("program", ["sbin/quilt-api", "sbin/quilt-agent", "sbin/quilt-dns", "sbin/quilt-stream", "libexec/quilt/quilt-runtime", "bin/quiltctl"])
def test_help_and_exit_codes(stack, program, tmp_path):
    # Were one of them to begin all the same, it would be nobody else's.
    conf = tmp_path / "quilt.conf"
    conf.write_text(f"run_dir = {tmp_path}\nstate_dir = {tmp_path}\nno_such_setting = 1\n")

    def run(*args):
        return subprocess.run([f"{stack.prefix}/{program}", "-c", conf, *args], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)

    r = run("--help")
    assert r.returncode == 0 and r.stdout.lower().startswith(f"usage: {os.path.basename(program)}") and not r.stderr, r
    r = run("--version")
    assert r.returncode == 0 and re.search(r"\d+\.\d+\.\d+", r.stdout) and not r.stderr, r
    r = run("--no-such-option")
    assert r.returncode == 2 and ("usage:" in r.stderr.lower() or "--help" in r.stderr) and not r.stdout, r
    # Each option that help tells of is described in the manual.
    man = f"{TOP}/man/{os.path.basename(program)}.{1 if program == 'bin/quiltctl' else 8}"
    with open(man, encoding="utf-8") as f:
        entries = {option: text for heading, text in re.findall(r"^\.TP\n(.*)\n(.*)$", f.read().replace("\\-", "-"), re.M)
                   for option in re.findall(r"--[a-z-]+", heading)}
    told = set(re.findall(r"^ +(?:-\w, )?(--[a-z-]+)", run("--help").stdout, re.M))
    assert {"--config", "--help", "--version"} <= told
    assert not [option for option in told if not re.match(r"[A-Z]", entries.get(option, ""))], entries
    r = run(*["status"] if program == "bin/quiltctl" else [])
    assert r.returncode == 1 and "no_such_setting" in r.stderr, r
