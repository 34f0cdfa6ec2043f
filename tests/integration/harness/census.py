"""Counts everything on the host that a container of this stack can leave behind."""
import collections
import os
import re
import subprocess

from .wait import wait_for


def _run(*command):
    """A tool that fails has seen nothing: it is asked again, since some cannot read what changes under them, and an error in the end."""
    def lines():
        r = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        assert r.returncode == 0, f"{' '.join(command)}: exit {r.returncode}: {r.stderr}"
        return r.stdout.splitlines() or [""]

    return wait_for(lines, 10, f"{' '.join(command)} succeeds")


def _read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.read()
    except OSError:
        return ""


def _pids():
    return [int(p) for p in os.listdir("/proc") if p.isdigit()]


# Of pulls and builds, and kept for those that come: where they work, contexts, and what the cache has of steps that were done.
IMAGES_KEEP = re.compile(r"^file .*/(agent/pull|spool/ten_\w+\.[0-9a-f]{8}-[0-9a-f-]{27}|objects/img_\w+|pool(\.dir)?/img/img_\w+.*|pool(\.dir)?/layers/0*[0-9a-f]+(/.*)?)$")


class Census:
    """Only what bears this instance's name, directories or processes is counted: other stacks may come and go beside it."""

    # Redis keys that a container's life rightly leaves: streams of events and usage, operations, jobs and tombstones kept for a day, clocks.
    REDIS_KEEPS = re.compile(r"(:events|:gone:|:fence|:idem|:used$|quilt:rate:|:usage|:op:|:oplog:|:ops|:job:|:jobs|ratelimit|:rl:|:bucket|heartbeat|quilt:node)")

    def __init__(self, stack):
        self.stack = stack

    def _spares(self):
        return sum(name.startswith("spare_") for name in os.listdir(f"{self.stack.pool}/ctr"))

    def __call__(self):
        # Each create takes one; they are made again a moment later, under the same names.
        wait_for(lambda: self._spares() == int(self.stack.settings.get("spares", 8)), 30, what="the spares are made again")
        out = []
        for part in (self._links, self._routes, self._nft, self._cgroups, self._processes, self._mounts, self._files,
                     self._descriptors, self._redis):
            out += part()
        return collections.Counter(out)

    # What no teardown takes away: the rules, and the mounts of the host and the daemons.
    STAYS = re.compile(r"(nft (?!element)|mount )")

    def same_as(self, before, deadline=60, kept=None):
        """Wait until there is nothing more than BEFORE, and what matches KEPT. Teardown that nobody waits for (trash, namespaces) may take a moment; that of
        earlier tests may still have gone on when BEFORE was taken, so less is fine of what belongs to containers, and of nothing else."""
        def difference():
            now = self()
            left, lost = now - before, before - now
            left = {k: n for k, n in left.items() if not (kept and kept.match(k))}
            bad = [f"+ {k} x{n}" for k, n in sorted(left.items())] + [f"- {k} x{n}" for k, n in sorted(lost.items()) if self.STAYS.match(k)]
            return bad and bad + [f"(less: {k} x{n})" for k, n in sorted(lost.items()) if not self.STAYS.match(k)]

        try:
            wait_for(lambda: not difference(), deadline, what="the census is as before")
        except AssertionError:
            bad = difference()
            assert not bad, "left behind (+) or lost (-):\n" + "\n".join(bad)

    def _links(self):
        return [f"link {name}" for name in os.listdir("/sys/class/net") if name.startswith(self.stack.link_prefix)]

    def _routes(self):
        return ["route " + re.sub(r"\s*(linkdown|expires \S+)", "", line)
                for line in _run("ip", "-4", "route", "show", "table", "all") if f"dev {self.stack.link_prefix}" in line]

    def _nft(self):
        lines = _run("nft", "-s", "list", "table", "inet", self.stack.instance)
        text = re.sub(r"packets \d+ bytes \d+", "", " ".join(line.strip() for line in lines))
        # Made by packets, and gone two seconds after the last of them.
        text = re.sub(r"(set talk \{[^{}]*?)elements = \{[^}]*\}", r"\1", text)
        # A tenant's number there is the runtime's own affair: it counts anew when it starts.
        text = re.sub(r"\b0x[0-9a-f]+ \. ", "tenant . ", text)
        text = re.sub(r" : 0x[0-9a-f]+", " : tenant", text)
        elements = re.findall(r"elements = \{([^}]*)\}", text)
        return [f"nft element {e.strip()}" for group in elements for e in group.split(",")] + \
               [f"nft {' '.join(re.sub(r'elements = .[^}]*.', '', text).split())}"]

    def _cgroup_dirs(self):
        found = []
        for hierarchy in os.listdir("/sys/fs/cgroup"):
            root = f"/sys/fs/cgroup/{hierarchy}"
            if os.path.isdir(root) and not os.path.islink(root):
                for base, dirs, _ in os.walk(root):
                    if self.stack.instance in base.split("/"):
                        found.append(base)
        return found

    def _cgroups(self):
        return [f"cgroup {d}" for d in self._cgroup_dirs()]

    def _processes(self):
        """By what they run for: their cgroup; with the namespaces that they are in."""
        own = {t: os.readlink(f"/proc/self/ns/{t}") for t in ("mnt", "net", "pid", "user")}
        out, seen = [], set()
        for pid in _pids():
            if f"/{self.stack.instance}" not in _read(f"/proc/{pid}/cgroup"):
                continue
            state = re.search(r"^State:\s*(\S)", _read(f"/proc/{pid}/status"), re.M)
            out.append(f"process {_read(f'/proc/{pid}/comm').strip()} {'zombie' if state and state[1] == 'Z' else ''}")
            for t, host in own.items():
                try:
                    ns = os.readlink(f"/proc/{pid}/ns/{t}")
                except OSError:
                    continue
                if ns != host and ns not in seen:
                    seen.add(ns)
                    out.append(f"namespace {t}")
        return out

    def _mounts(self):
        """In the host's mount namespace and in each daemon's."""
        out, seen = [], set()
        for who, pid in [("host", "self")] + [(p, self.stack.pid(p)) for p in ("runtime", "agent", "dns", "api")]:
            try:
                ns = os.readlink(f"/proc/{pid}/ns/mnt")
            except OSError:
                continue
            if ns in seen:
                continue
            seen.add(ns)
            for line in _read(f"/proc/{pid}/mountinfo").splitlines():
                where = line.split()[4]
                if where.startswith(self.stack.dir) or " nsfs " in line:
                    out.append(f"mount {who} {where}")
        return out

    def _files(self):
        out = []
        skip = {f"{self.stack.state}/redis", self.stack.log, f"{self.stack.run}/nginx"}
        for top in (self.stack.state, self.stack.run):
            for base, dirs, files in os.walk(top):
                depth = base[len(top):].count("/")
                dirs[:] = [d for d in dirs if f"{base}/{d}" not in skip and f"{base}/{d}".find("/images/") < 0 and depth < 4]
                out += [f"file {base}/{name}" for name in dirs + files]
        return out

    def _descriptors(self):
        """What each daemon holds open. Sockets between the daemons come and go with their threads; what is named is all the rest."""
        peers = {}
        for line in _read("/proc/net/unix").splitlines()[1:]:
            f = line.split()
            peers[f[6]] = f[7] if len(f) > 7 else ""
        out = []
        for program in ("runtime", "agent"):
            pid = self.stack.pid(program)
            for fd in os.listdir(f"/proc/{pid}/fd"):
                try:
                    target = os.readlink(f"/proc/{pid}/fd/{fd}")
                except OSError:
                    continue
                inode = re.fullmatch(r"socket:\[(\d+)\]", target)
                if inode and (peers.get(inode[1], "").endswith("/runtime.sock") or program == "agent"):
                    continue
                if inode:
                    target = "socket " + peers.get(inode[1], "")
                target = re.sub(r"^/proc/\d+$", "/proc/PID", re.sub(r":\[\d+\]", "", target))
                out.append(f"fd {program} {target}")
        return out

    def _redis(self):
        keys = self.stack.redis("--scan").splitlines()
        return [f"redis {k}" for k in keys if not self.REDIS_KEEPS.search(k)]
