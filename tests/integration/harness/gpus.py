"""Harmless character devices that a stack takes for GPUs, by a CDI specification of the test's own."""
import contextlib
import json
import os
import stat

from .wait import wait_for

# Opening them does nothing: /dev/fuse and /dev/net/tun want a system call more before they are of use.
NODES = {"0": (10, 229), "1": (10, 200)}


def known(stack):
    """What Redis says of the node's GPUs: id to who has it."""
    flat = stack.redis("HGETALL", f"quilt:node:{stack.settings['node']}:gpus").split("\n")
    return dict(zip(flat[::2], flat[1::2]))


@contextlib.contextmanager
def offered(stack):
    """nvidia0 and nvidia1, known to all programs of STACK; "other-0" is another name of the first."""
    cdi, host = f"{stack.dir}/cdi", f"{stack.dir}/host"
    os.makedirs(cdi, exist_ok=True)
    os.makedirs(f"{host}/share", exist_ok=True)
    for name, (major, minor) in NODES.items():
        if not os.path.exists(f"{host}/{name}"):
            os.mknod(f"{host}/{name}", 0o666 | stat.S_IFCHR, os.makedev(major, minor))
        os.chmod(f"{host}/{name}", 0o666)
    with open(f"{host}/share/driver", "w", encoding="ascii") as f:
        f.write("of the host\n")

    def device(name, node):
        return {"name": name, "containerEdits": {
            "env": [f"QUILT_GPU={node}"],
            "deviceNodes": [{"path": f"/dev/quilt{node}", "hostPath": f"{host}/{node}", "type": "c", "permissions": "rw"}]}}

    spec = {"cdiVersion": "0.5.0", "kind": "quilt.test/gpu", "devices": [device("0", "0"), device("1", "1"), device("other-0", "0")],
            "containerEdits": {"mounts": [{"hostPath": f"{host}/share", "containerPath": "/opt/driver", "options": ["ro", "nosuid", "nodev", "bind"]}]}}
    with open(f"{cdi}/.new", "w", encoding="ascii") as f:
        json.dump(spec, f, indent=1)
    os.rename(f"{cdi}/.new", f"{cdi}/quilt.json")
    wait_for(lambda: {"nvidia0", "nvidia1"} <= set(known(stack)), what="the agent tells of the GPUs")
    try:
        yield
    finally:
        os.unlink(f"{cdi}/quilt.json")
        wait_for(lambda: "nvidia0" not in known(stack), what="the GPUs are gone")
