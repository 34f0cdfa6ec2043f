"""A stack of its own in a temporary directory, beside whatever else runs on the machine."""
import hashlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile

from .remains import remains
from .wait import wait_for

TOP = os.path.realpath(os.path.join(os.path.dirname(__file__), "../../.."))
# And what each makes below the run directory when it is ready, which its keeper takes away before it starts it.
READY = {"redis": ("redis.sock",), "runtime": ("runtime.sock",), "agent": ("agent.ready",), "dns": ("dns.ready",), "api": ("api.sock", "api-slow.sock"),
         "stream": ("stream.sock",), "nginx": ("nginx/nginx.pid",)}
PROGRAMS = tuple(READY)
# After the death of a program the API is back within so long; under the sanitizers every program takes far longer to begin.
BACK_S = 5 if os.environ.get("QT_VARIANT", "release") == "release" else 30


def default_prefix():
    """Where the programs under test are installed: $QUILT_PREFIX, else the newest build of this checkout."""
    if os.environ.get("QUILT_PREFIX"):
        return os.environ["QUILT_PREFIX"]
    build = os.path.join(TOP, "build")
    found = [os.path.join(build, d, "inst") for d in os.listdir(build)] if os.path.isdir(build) else []
    found = [p for p in found if os.path.exists(os.path.join(p, "bin/quiltctl"))]
    assert found, "nothing is installed: set QUILT_PREFIX, or build (HACKING.md)"
    return max(found, key=lambda p: os.path.getmtime(os.path.join(p, "bin/quiltctl")))


def free_port():
    """Below those that the kernel gives to clients: none of them has it when its server is started once more."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as f:
        lowest = int(f.read().split()[0])
    while True:
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", random.randrange(lowest // 2, lowest)))
                return s.getsockname()[1]
            except OSError:
                pass  # somebody has it


def is_there(path):
    """And, if it is a socket, takes connections: between its bind() and its listen() it does not."""
    if not os.path.exists(path) or not path.endswith(".sock"):
        return os.path.exists(path)
    for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
        with socket.socket(socket.AF_UNIX, kind) as s:
            try:
                s.connect(path)
                return True
            except OSError:
                continue  # of the other kind, or of nobody
    return False


def image_conf(pool, name):
    with open(f"{pool}/images/{name}/image.conf", encoding="ascii") as f:
        return [line.rstrip("\n").split(" = ") for line in f if not line.startswith("#")]


def image_root(pool, name):
    return f"{pool}/layers/{dict(image_conf(pool, name))['layer']}/fs"


class Stack:
    def __init__(self, images=("busybox",), conf=None, pool_driver=None):
        self.prefix = default_prefix()
        self.variant = os.environ.get("QT_VARIANT", "release")
        self.driver = pool_driver or os.environ.get("QT_POOL_DRIVER", "btrfs")
        # Short: the paths of Unix sockets have 108 bytes.
        self.dir = tempfile.mkdtemp(prefix="qt-", dir=os.environ.get("QT_TMP", "/tmp"))
        os.chmod(self.dir, 0o755)
        rnd = random.SystemRandom()
        tag = "".join(rnd.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(3))
        self.instance, self.link_prefix = f"qt-{tag}", f"t{tag}"
        self.host, self.port = "127.0.0.1", free_port()
        self.etc, self.state, self.run = (f"{self.dir}/{d}" for d in ("etc", "state", "run"))
        self.pool, self.log = f"{self.state}/pool", f"{self.state}/log"
        self.ca = f"{self.etc}/tls/ca.crt"
        self.url = f"https://{self.host}:{self.port}"
        self.epoch = 0  # grows when nginx is restarted: kept connections are worth nothing then
        settings = {
            "node": f"node-{tag}",
            "instance": self.instance,
            "link_prefix": self.link_prefix,
            # Its own: port 53 there is one resolver's.
            "gateway": f"169.254.{rnd.randrange(1, 255)}.{rnd.randrange(1, 255)}",
            # Nobody's, until a test gives it to the host (test_dns.py).
            "nameservers": f"198.19.{rnd.randrange(256)}.{rnd.randrange(1, 255)}",
            "subnet": f"10.{rnd.randrange(64, 224)}.0.0/16",
            "uid_base": 1200000000 + 65536 * 1024 * rnd.randrange(32),
            "uid_ranges": 1024,
            "registry_allow": "http://127.0.0.1, 127.0.0.3",
            "registry_ca": f"{self.dir}/registry-ca.crt",  # not there, until harness.oci puts one there
            "registry_stall_s": 2,
            "cdi_dirs": f"{self.dir}/cdi",  # not there: no GPUs, until harness.gpus puts some there
            "gpu_kinds": "quilt.test/gpu",
            "net_check_s": 1,
            # How many requests a test makes in a second is the machine's affair. Those about the limit empty the bucket.
            "rate_per_second": 2000,
            "rate_burst": 4000,
            "tenant_streams": 12,
            "heartbeat_s": 2,
            "tenant_sessions": 8,
            "allowed_origins": "https://other.example, https://friend.example",
            **(conf or {}),
        }
        self.settings = settings
        daemon_env = [f"{k}={os.environ[k]}" for k in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS") if k in os.environ]
        lines = "\n".join(f"{k} = {v}" for k, v in settings.items())
        self.file = f"{self.dir}/instance"
        with open(self.file, "w", encoding="utf-8") as f:
            for name, value in {
                "PREFIX": self.prefix, "ETC": self.etc, "STATE": self.state, "RUN": self.run,
                "LISTEN": f"{self.host}:{self.port}", "POOL_DRIVER": self.driver, "POOL_SIZE": "4G",
                # Here programs are killed far more often than they die.
                "RESTART_MAX_MS": "200",
                "IMAGES": " ".join(images), "CONF_LINES": lines, "DAEMON_ENV": " ".join(daemon_env),
            }.items():
                f.write(f"QUILT_{name}='{value}'\n")

    def image_root(self, name):
        """The files of a managed image."""
        return image_root(self.pool, name)

    # --- the programs -----------------------------------------------------------------------------------

    def command(self, *args, check=True, timeout=240):
        env = {k: v for k, v in os.environ.items() if not k.startswith("QUILT_") or k == "QUILT_IMAGE_CACHE"}
        env["QUILT_INSTANCE_FILE"] = self.file
        r = subprocess.run([f"{TOP}/scripts/stack", *args], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                           timeout=timeout)
        if check and r.returncode != 0:
            raise AssertionError(f"stack {' '.join(args)} failed ({r.returncode}):\n{r.stdout}{r.stderr}")
        return r

    def up(self):
        self.command("up")
        self.epoch += 1

    def down(self):
        """And nothing of it is on the machine any more, as soon as the kernel has taken apart what nobody waits for."""
        self.command("down")

        def nothing_is_left():
            left = remains(self)
            assert not left, left
            return True

        wait_for(nothing_is_left, 20, f"nothing of {self.instance} is left")

    def remove(self):
        shutil.rmtree(self.dir)

    def restart(self, *programs):
        self.command("restart", *programs)
        self.epoch += 1

    def stop(self, program):
        self.command("stop", program)
        self.epoch += 1

    def start(self, program):
        self.command("start", program)
        self.epoch += 1

    def pid(self, program):
        with open(f"{self.run}/pids/{program}.pid", encoding="ascii") as f:
            return int(f.read())

    def workers(self):
        """The pids of quilt-api's worker processes."""
        return children(self.pid("api"))

    def journal(self):
        """The runtime's containers, as its journal has them: entries by id."""
        entries = {}
        for name in os.listdir(f"{self.state}/journal"):
            try:
                with open(f"{self.state}/journal/{name}", "rb") as f:
                    entries[name] = f.read()
            except FileNotFoundError:
                continue
        return entries

    def init_of(self, container):
        """The pid of a container's init, as the host sees it."""
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cgroup", encoding="ascii") as f, open(f"/proc/{pid}/comm", encoding="ascii") as g:
                    if g.read() == "minit\n" and container in f.read():
                        return int(pid)
            except OSError:
                continue
        raise AssertionError(f"{container} has no init")

    def kill(self, program, sig=signal.SIGKILL):
        """Kill PROGRAM as a crash would, and return when its keeper has a new one up."""
        old = self.pid(program)
        os.kill(old, sig)

        def new():
            return self.pid(program) != old and self.is_up(program)

        wait_for(new, what=f"{program} is started again")
        self.epoch += 1

    def is_up(self, program):
        """It runs, and is ready: what `stack start` waits for."""
        try:
            with open(f"/proc/{self.pid(program)}/stat", encoding="ascii", errors="replace") as f:
                runs = f.read().rpartition(")")[2].split()[0] not in "ZX"
        except (OSError, ValueError):
            return False
        return runs and all(is_there(f"{self.run}/{name}") for name in READY[program]) and (program != "redis" or self.redis("PING") == "PONG")

    # --- its tools --------------------------------------------------------------------------------------

    def ctl(self, *args, check=True):
        r = subprocess.run([f"{self.prefix}/bin/quiltctl", "-c", f"{self.etc}/quilt.conf", *args], stdin=subprocess.DEVNULL,
                           capture_output=True, text=True, timeout=60)
        if check and r.returncode != 0:
            raise AssertionError(f"quiltctl {' '.join(args)} failed ({r.returncode}): {r.stdout}{r.stderr}")
        return r

    def redis(self, *args, user="admin"):
        """Run a Redis command as the administrator, or as worker or agent, and return its answer's text."""
        secret = {"admin": "redis-admin.secret", "worker": "redis.secret", "agent": "redis-agent.secret", "dns": "redis-dns.secret", "stream": "redis-stream.secret"}[user]
        with open(f"{self.etc}/{secret}", encoding="ascii") as f:
            name, password = f.read().strip().split(":", 1)
        r = subprocess.run(["redis-cli", "-s", f"{self.run}/redis.sock", "--user", name, *args], stdin=subprocess.DEVNULL,
                           capture_output=True, text=True, timeout=60, env={**os.environ, "REDISCLI_AUTH": password})
        return r.stdout.rstrip("\n")

    def logs(self, lines=40):
        """The end of every program's log, for a failed test's report."""
        out = []
        for name in (*PROGRAMS, "stack"):
            path = f"{self.log}/{name}.log"
            if os.path.exists(path):
                with open(path, encoding="utf-8", errors="replace") as f:
                    tail = f.readlines()[-lines:]
                out.append(f"--- {name}.log\n{''.join(tail)}")
        return "".join(out)

    def wait_for_copy(self, api):
        """Until the agent has written down API's tenant and key: before that, nobody can put them back where a FLUSHALL took them."""
        def written():
            with open(f"{self.state}/agent/keys.json", encoding="utf-8") as f:
                copy = json.load(f)
            sha256 = hashlib.sha256(api.key.encode()).hexdigest()
            return any(t["id"] == api.tenant_id for t in copy["tenants"]) and any(k["sha256"] == sha256 for k in copy["keys"])

        wait_for(written, what="the agent's copy has the tenant and its key")

    def log_text(self, program):
        with open(f"{self.log}/{program}.log", encoding="utf-8", errors="replace") as f:
            return f.read()


def children(pid):
    out = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as f:
            out += [int(p) for p in f.read().split()]
    return out
