"""Operations of every kind in flight, and kill -9 of a program at five steps of them, as Redis sees them (MONITOR): each operation ends once, in one of
two ways, and what it made is there or not. tests/unit/test_life.c cuts each kind off at each of its steps; here the programs are real, and die."""
import base64
import collections
import concurrent.futures
import io
import os
import re
import signal
import tarfile

import pytest

from harness.census import IMAGES_KEEP
from harness.clean import FINAL, empty
from harness.fixtures import fresh_name
from harness.monitor import Monitor
from harness.oci import Image, Registry, busybox_layer, member, tar
from harness.stack import TOP
from harness.usage import records
from harness.wait import wait_for

STEPS = (1, 9, 19, 32, 50)  # of all operations together, from the first one on


def archive():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as t:
        for i in range(50):
            info = tarfile.TarInfo(f"d/{i}")
            info.size = 3
            t.addfile(info, io.BytesIO(b"abc"))
    return out.getvalue()


def every_kind():
    """Of operations, as the table of them says: the contract's words."""
    with open(f"{TOP}/src/model/optypes.def", encoding="utf-8") as f:
        return set(re.findall(r'^QT_OPTYPE\(\w+, +"([a-z_.]+)"', f.read(), re.M))


@pytest.fixture(scope="module")
def registry():
    r = Registry()
    yield r
    r.close()


@pytest.fixture(scope="module")
def base(registry):
    """What is built upon."""
    return registry.push("steps/base", "1", Image([busybox_layer()], config={"Env": ["PATH=/bin"]}))


def body():
    return {"name": fresh_name("s"), "image": "busybox", "memory_limit_mb": 32}


class Round:
    """One operation of each kind: how it is asked for, and what is to be there when it is over."""

    def __init__(self, api, source, snapshot, volume, registry, base):
        self.api, self.source, self.snapshot, self.volume = api, source, snapshot, volume
        made = [api.post("/api/containers", body()) for _ in range(4)]
        assert all(r.status == 201 for r in made), made
        self.starts, self.resumes, self.stops, self.goes = (r["container_id"] for r in made)
        for c in (self.starts, self.resumes):
            assert api.post(f"/api/containers/{c}/kill").status == 200
        self.old_volume = fresh_name("old")
        assert api.post("/api/volumes", {"name": self.old_volume}).status == 201
        self.path, self.word = "/" + fresh_name("a"), fresh_name("w")
        # Layers and steps that no store has yet.
        self.pulled = registry.push(f"steps/{self.word}", "1", Image([busybox_layer(), tar(member("word", self.word.encode()))]))
        self.built = f"example.org/{self.word}:1"
        files = tar(member("Dockerfile", f"FROM {base}\nRUN echo {self.word} >/ran\nCOPY file /word\n".encode()), member("file", self.word.encode()))
        r = api.post("/api/build-contexts", {"content": base64.b64encode(files).decode()})
        assert r.status == 201, r
        self.context = r["context_id"]

    def kinds(self):
        one, c, gz = body(), "/api/containers", {"Content-Type": "application/gzip"}
        now = {"resume_policy": "immediate"}
        return {
            "create": ("POST", f"{c}?execution=async", body(), None, self.made),
            "batch": ("POST", f"{c}/batch", {"items": [one, body()]}, None, lambda r, end: [self.made(i, end) for i in r.json["items"]]),
            "fork": ("POST", f"{c}/{self.source}/fork", now, None, self.copied),
            "snapshot": ("POST", f"{c}/{self.source}/snapshot", {}, None, lambda r, end: self.there(f"/api/snapshots/{r['snapshot_id']}", end)),
            "clone": ("POST", f"/api/snapshots/{self.snapshot}/clone", now, None, self.copied),
            "start": ("POST", f"{c}/{self.starts}/start", None, None, lambda r, end: self.state(self.starts, end, "running")),
            "resume": ("POST", f"{c}/{self.resumes}/resume", None, None, lambda r, end: self.state(self.resumes, end, "running")),
            "stop": ("POST", f"{c}/{self.stops}/stop?execution=async", {"timeout_seconds": 0}, None, lambda r, end: self.state(self.stops, end, "exited")),
            "delete": ("DELETE", f"{c}/{self.goes}?execution=async", None, None, lambda r, end: self.gone(f"{c}/{self.goes}", end)),
            "volume delete": ("DELETE", f"/api/volumes/{self.old_volume}", None, None, lambda r, end: self.gone(f"/api/volumes/{self.old_volume}", end)),
            "archive": ("POST", f"{c}/{self.source}/archive?path={self.path}", archive(), gz, lambda r, end: self.unpacked(self.path, end)),
            "volume archive": ("POST", f"/api/volumes/{self.volume}/archive?path={self.path}", archive(), gz, lambda r, end: self.unpacked("/v" + self.path, end)),
            "pull": ("POST", "/api/oci/images/pull?execution=async", {"reference": self.pulled}, None, lambda r, end: self.image(self.pulled, end)),
            "build": ("POST", "/api/oci/images/build", {"context_id": self.context, "image_reference": self.built, "memory_limit_mb": 32}, None,
                      lambda r, end: self.image(self.built, end)),
        }

    def made(self, r, end):
        self.there(f"/api/containers/{r['container_id']}", end)

    def there(self, where, end):
        assert (end["status"], self.api.get(where).status) in (("succeeded", 200), ("failed", 404), ("timed_out", 404)), (where, end)

    def copied(self, r, end):
        self.made(r, end)
        if end["status"] == "succeeded":
            assert self.api.exec(r["container_id"], "cat", "/d/9")["stdout"] == "9\n"

    def state(self, who, end, state):
        assert end["status"] == "succeeded" and self.api.get(f"/api/containers/{who}")["state"] == state, (who, end)

    def gone(self, where, end):
        assert end["status"] == "succeeded" and self.api.get(where).status == 404, (where, end)

    def image(self, reference, end):
        """What it holds says a container of it; a failed one is not there."""
        listed = reference in [i["reference"] for i in self.api.get("/api/oci/images")["images"]]
        assert (end["status"], listed) in (("succeeded", True), ("failed", False), ("timed_out", False)), (reference, end)
        if listed:
            r = self.api.post("/api/containers", {**body(), "image": reference, "oci": True, "command": ["/bin/sleep", "1000"]})
            assert r.status == 201, r
            assert self.api.exec(r["container_id"], "/bin/sh", "-c", "cat /word")["stdout"] == self.word
            assert self.api.delete(f"/api/containers/{r['container_id']}?timeout_ms=0").status == 200

    def unpacked(self, path, end):
        assert end["status"] == "succeeded", end
        assert self.api.exec(self.source, "/bin/sh", "-c", f"cat {path}/d/* | wc -c")["stdout"].split() == ["150"]


@pytest.fixture
def ground(stack, make_tenant, census, registry, base):
    """A tenant with a container that has files and a volume, and a snapshot of it; afterwards all is deleted, and nothing is left."""
    api = make_tenant(fresh_name("steps"), "large")
    before = census()
    volume = fresh_name("kept")
    assert api.post("/api/volumes", {"name": volume}).status == 201
    r = api.post("/api/containers", {**body(), "volumes": [f"{volume}:/v"]})
    assert r.status == 201, r
    source = r["container_id"]
    assert api.exec(source, "/bin/sh", "-c", "mkdir /d; for i in 1 2 3 4 5 6 7 8 9; do echo $i >/d/$i; done")["exit_code"] == 0
    r = api.post(f"/api/containers/{source}/snapshot")
    assert api.operation(r)["status"] == "succeeded"
    yield api, source, r["snapshot_id"], volume, registry, base

    empty(api)
    # The keeper counts deaths.
    census.same_as(before + collections.Counter(f"file {stack.run}/pids/{p}.deaths" for p in ("agent", "runtime")), kept=IMAGES_KEEP)


def ask(api, kind):
    """The answer; None if it was lost with its worker."""
    method, path, what, headers, _ = kind
    r = api.request(method, path, what, headers=headers)
    return None if r.status in (502, 503, 504) else r


@pytest.mark.parametrize("victim", ["agent", "runtime"])
def test_who_works_dies(stack, ground, victim):
    api = ground[0]
    rounds, asked = [Round(*ground) for _ in STEPS], []
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        for one, steps in zip(rounds, STEPS):
            kinds = one.kinds()
            old = stack.pid(victim)
            with Monitor(stack, api.tenant_id, "qt_op_claim", steps, lambda: os.kill(old, signal.SIGKILL)) as monitor:
                replies = list(pool.map(lambda k: (k, wait_for(lambda: ask(api, kinds[k]), what=f"{k} is taken")), kinds))
                assert monitor.result.result(60)
            assert all(r.status == 202 for _, r in replies), replies
            asked += [(k, r, kinds[k][4]) for k, r in replies]
            wait_for(lambda: stack.pid(victim) != old and stack.is_up(victim), what=f"{victim} is started again")
    seen = set()
    for kind, r, is_so in asked:
        end = api.operation(r, deadline=120)
        seen.add(end["operation_type"])
        # An agent's heir brings to its end whatever it was; a runtime that comes back within the patience of operations, too.
        assert end["status"] == "succeeded", (kind, end)
        is_so(r, end)
    assert seen == every_kind()
    used = collections.Counter((r["event_type"], r["container_id"]) for r in records(stack, api.tenant_id))
    starts, resumes, stops, goes = ({getattr(r, what) for r in rounds} for what in ("starts", "resumes", "stops", "goes"))
    starts |= resumes
    for c in {c["container_id"] for c in api.get("/api/containers")["containers"]} | goes:
        assert used["container_created", c] == 1
        assert used["container_started", c] == (2 if c in starts else 1)
        assert used["container_stopped", c] == (c in starts | stops | goes)


def test_who_is_asked_dies(stack, ground):
    """The workers, all at once: whoever asked may have no answer; each operation that there is has an end, and of nothing there is half."""
    api = ground[0]
    rounds = [Round(*ground) for _ in STEPS]
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        for one, steps in zip(rounds, STEPS):
            kinds, workers = one.kinds(), stack.workers()
            with Monitor(stack, api.tenant_id, "qt_ctr|qt_snap|qt_vol|qt_op", steps, lambda: [os.kill(p, signal.SIGKILL) for p in workers]) as monitor:
                replies = list(pool.map(lambda k: (k, ask(api, kinds[k])), kinds))
                assert monitor.result.result(60)
            wait_for(lambda: api.get("/health").status == 200 and not set(workers) & set(stack.workers()), what="other workers are there")
            for kind, r in replies:
                if r is not None:
                    assert r.status == 202, (kind, r)
                    kinds[kind][4](r, api.operation(r))
    listed = wait_for(lambda: (r := api.get("/api/operations?limit=1000")).status == 200 and r["operations"], what="the operations")
    for o in listed:
        wait_for(lambda: api.get(f"/api/operations/{o['operation_id']}")["status"] in FINAL, what=f"{o} ends")
    # A reservation without an operation waits for its deadline: nobody but time can tell that its worker is dead. Here it is over.
    tenant = f"quilt:{{{api.tenant_id}}}"
    for c in api.get("/api/containers?state=created")["containers"]:
        stack.redis("HSET", f"{tenant}:ctr:{c['container_id']}", "deadline_ms", "1")
    for s in api.get("/api/snapshots", headers={"X-Tenant-Id": api.tenant_id})["snapshots"]:
        if s["status"] == "creating":
            stack.redis("HSET", f"{tenant}:snap:{s['snapshot_id']}", "deadline_ms", "1")
    stack.restart("agent")
    wait_for(lambda: {c["state"] for c in api.get("/api/containers")["containers"]} <= {"running", "exited"}, what="no reservation is left")
    wait_for(lambda: {s["status"] for s in api.get("/api/snapshots", headers={"X-Tenant-Id": api.tenant_id})["snapshots"]} == {"ready"},
             what="no snapshot is half made")
    for c in api.get("/api/containers?state=running")["containers"]:
        assert api.exec(c["container_id"], "echo", "well")["stdout"] == "well\n"
