"""What of a stack is still on the machine: after `stack down` nothing, save its state and its configuration."""
import json
import os
import subprocess


def _run(*command):
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=True).stdout.splitlines()


def _texts(pid):
    """Whatever tells for which stack a process runs: its arguments, its environment, its control groups, and what it holds open."""
    for name in ("cmdline", "environ", "cgroup"):
        try:
            with open(f"/proc/{pid}/{name}", encoding="utf-8", errors="replace") as f:
                yield f.read()
        except OSError:
            return
    held = ["exe", "cwd", "root"]
    try:
        held += [f"fd/{fd}" for fd in os.listdir(f"/proc/{pid}/fd")]
    except OSError:
        return
    for name in held:
        try:
            yield os.readlink(f"/proc/{pid}/{name}")
        except OSError:
            continue


def _processes(stack):
    for pid in (p for p in os.listdir("/proc") if p.isdigit() and int(p) != os.getpid()):
        if any(f"{stack.dir}/" in text or f"/{stack.instance}" in text for text in _texts(pid)):
            with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as f:
                yield f"process {pid} {f.read().strip()}"


def _cgroups(stack):
    for base, dirs, _ in os.walk("/sys/fs/cgroup"):
        yield from (f"control group {base}/{name}" for name in dirs if name == stack.instance)


def _mounts(stack):
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        yield from (f"mount {where}" for where in (line.split()[4] for line in f) if where.startswith(f"{stack.dir}/"))


def _loops(stack):
    devices = json.loads("".join(_run("losetup", "--list", "--json")) or '{"loopdevices": []}')["loopdevices"]
    return (f"loop device {d['name']} of {d['back-file']}" for d in devices if (d["back-file"] or "").startswith(f"{stack.dir}/"))


def _net(stack):
    yield from (f"link {name}" for name in os.listdir("/sys/class/net") if name.startswith(stack.link_prefix))
    yield from (f"table {line}" for line in _run("nft", "list", "tables") if line.split()[-1].startswith(stack.instance))
    for line in _run("ip", "-4", "route", "show", "table", "all") + _run("ip", "-4", "address", "show"):
        if f"dev {stack.link_prefix}" in line or stack.settings["gateway"] in line:
            yield f"route or address {line.strip()}"


def remains(stack):
    """In words, each of them."""
    out = []
    for part in (_processes, _cgroups, _mounts, _loops, _net):
        out += part(stack)
    return out + [f"file {path}" for path in (stack.run, stack.pool) if os.path.exists(path)]
