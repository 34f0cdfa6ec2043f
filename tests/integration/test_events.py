"""GET /api/events: what happens is heard at once, once, in order, by its own tenant, and by nobody else."""
import json
import os
import re
import socket
import subprocess

import pytest

from harness.fixtures import fresh_name
from harness.oci import Evil, Image, busybox_layer
from harness.streams import Events, Stream
from harness.wait import wait_for


def test_ready_comes_first_and_then_what_happens(api, make_container):
    with Events(api) as events:
        assert events.status == 200 and events.headers["Content-Type"] == "text/event-stream"
        assert re.fullmatch(r"[A-Za-z0-9._-]+", events.headers["x-request-id"])
        events.wait(lambda: len(events.lines) >= 3)
        assert events.lines[:3] == ["event: ready", 'data: {"type":"ready"}', ""]
        made = make_container()
        cid = made["container_id"]
        events.wait_event(lambda e: e.name == "container_update" and e.data["event"] == "started" and e.data["container_id"] == cid)
        assert events.of(cid)[0].data == {"container_id": cid, "name": made["name"], "state": "created", "event": "created"}
        assert api.post(f"/api/containers/{cid}/kill").status == 200
        op = api.operation(api.post(f"/api/containers/{cid}/start"))
        final = events.wait_event(lambda e: e.name == "operation_update" and e.data["data"]["operation_id"] == op["operation_id"]
                                  and e.data["data"]["status"] == "succeeded")
        assert final.data["type"] == "OperationUpdate" and set(final.data["data"]) == set(op)
        ids = [tuple(map(int, e.id.split("-"))) for e in events.events if e.id]
        assert ids == sorted(set(ids))


def test_volumes_and_snapshots_are_heard_of(api, make_container):
    name, other = fresh_name("v"), fresh_name("v")
    container = make_container()["container_id"]
    with Events(api) as events:
        events.wait_event(lambda e: e.name == "ready")
        volume = api.post("/api/volumes", {"name": name})["id"]
        assert api.post(f"/api/volumes/{name}/rename", {"new_name": other}).status == 200
        assert api.delete(f"/api/volumes/{other}?execution=sync").status == 200
        taken = api.post(f"/api/containers/{container}/snapshot")
        assert api.operation(taken)["status"] == "succeeded"
        snapshot = taken["snapshot_id"]
        for verb in ("pin", "unpin"):
            assert api.post(f"/api/snapshots/{snapshot}/{verb}").status == 200
        assert api.delete(f"/api/snapshots/{snapshot}").status == 200
        events.wait_event(lambda e: e.name == "snapshot_update" and e.data["snapshot_id"] == snapshot and e.data["event"] == "removed")
        heard = [(e.data["event"], e.data["name"]) for e in events.events if e.name == "volume_update" and e.data["volume_id"] == volume]
        assert heard == [("created", name), ("renamed", other), ("removed", other)]
        heard = [e.data["event"] for e in events.events if e.name == "snapshot_update" and e.data["snapshot_id"] == snapshot]
        assert heard == ["creating", "ready", "pinned", "unpinned", "removed"]


def test_curl(stack, api, make_container):
    """curl -N shows what comes, when it comes; and however many listen, Redis has one reader."""
    with Events(api) as one, Events(api) as two:
        p = subprocess.Popen(["curl", "-sN", "--cacert", stack.ca, "-H", f"X-Api-Key: {api.key}", f"{stack.url}/api/events"], stdout=subprocess.PIPE, text=True)
        try:
            assert p.stdout.readline() == "event: ready\n"
            cid = make_container()["container_id"]
            line = next(line for line in p.stdout if cid in line and '"state"' in line)
            assert json.loads(line.removeprefix("data: "))["event"] == "created"
        finally:
            p.kill()
            p.communicate()
        for listener in one, two:
            listener.wait_event(lambda e: e.name == "container_update" and e.data["container_id"] == cid)
        channel = stack.redis("PUBSUB", "CHANNELS").split()
        assert len(channel) == 1 and stack.redis("PUBSUB", "NUMSUB", *channel).split()[1] == "1", channel


def test_filters(api, make_container):
    one, two = make_container()["container_id"], make_container()["container_id"]
    with Events(api, f"?container_id={one}") as events, Events(api, f"?container_id={two}") as other:
        for stream in (events, other):
            stream.wait_event(lambda e: e.name == "ready")
        op = api.operation(api.post(f"/api/containers/{two}/stop?execution=async", {"timeout_seconds": 0}))
        assert api.post(f"/api/containers/{one}/kill").status == 200
        events.wait_event(lambda e: e.name == "container_update" and e.data["state"] == "exited")
        assert all(e.name == "ready" or one in e.text for e in events.events), events.events
        other.wait_event(lambda e: e.name == "operation_update" and e.data["data"]["status"] == "succeeded")
    with Events(api, f"?operation_id={op['operation_id']}", last="0") as events:
        events.wait_event(lambda e: e.name == "operation_update" and e.data["data"]["status"] == "succeeded")
        assert {e.name for e in events.events} == {"ready", "operation_update"}


@pytest.fixture(scope="module")
def names(stack):
    """Those that a client can choose: what the table says that comes, besides the frames of the connection itself."""
    out = subprocess.run([f"{stack.prefix}/sbin/quilt-api", "--openapi"], capture_output=True, text=True, timeout=60, check=True).stdout
    query = json.loads(out)["paths"]["/api/events"]["get"]["parameters"]
    return next(p for p in query if p["name"] == "type")["schema"]["items"]["enum"]


def live(api, registry, make_container):
    """A tenant's day: something of everything that events tell of. The last that happens is that the container is gone."""
    made = make_container(client=api, memory_limit_mb=64)
    cid, name = made["container_id"], fresh_name()
    assert api.get(f"/api/containers/{cid}/metrics").status == 200
    assert api.post(f"/api/containers/{cid}/rename", {"new_name": name}).status == 200
    snapshot = api.operation(api.post(f"/api/containers/{cid}/snapshot"))["result"]["snapshot_id"]
    volume = api.post("/api/volumes", {"name": fresh_name()})["name"]
    image = registry.serve("tests/events", "1", Image([busybox_layer()]))
    assert api.post("/api/oci/images/pull", {"reference": image}).status == 200
    assert api.operation(api.delete(f"/api/volumes/{volume}"))["status"] == "succeeded"
    assert api.delete(f"/api/snapshots/{snapshot}").status == 200
    assert api.delete(f"/api/oci/images?reference={image}").status == 200
    return cid, made, name


def test_every_name_comes_and_says_what_its_route_says(make_tenant, make_container, names):
    api, registry = make_tenant(), Evil()
    try:
        with Events(api) as events:
            events.wait_event(lambda e: e.name == "ready")
            cid, made, name = live(api, registry, make_container)

            def of(kind, **data):
                return events.wait_event(lambda e: e.name == kind and data.items() <= e.data.items()).data

            # Samples: of how it is now, not before.
            assert of("stats_update", containers_running=1)["quotas"]["containers"]["used"] == 1
            sample = events.wait_event(lambda e: e.name == "system_metrics_update" and e.data["container_metrics"])
            told, sums = sample.data["container_metrics"][0], sample.data["system_metrics"]
            assert sample.id is None and set(told) == set(api.get(f"/api/containers/{cid}/metrics").json) and told["container_id"] == cid
            assert sums["memory_total_mb"] == 64 and sums["pids"] == told["pids"] and sums["containers_running"] == 1, sums
            # Changes: the same as who asks is told.
            entry = api.get("/api/dns/entries")["entries"][0]
            renamed = of("dns_entry_update", event="renamed")
            assert {k: entry[k] for k in ("container_id", "container_name", "ip_address")}.items() <= renamed.items() and renamed["old_name"] == made["name"]
            network = api.get(f"/api/containers/{cid}/network").json
            active = of("network_allocation_update", container_id=cid, status="active")
            assert (network["ip_address"], network["status"]) == (active["ip_address"], active["status"])
            monitor, watched = api.get(f"/api/monitors/{cid}").json, of("process_monitor_update", status="monitoring")
            del monitor["last_check"]
            monitor["container_name"] = made["name"]  # as it was then
            assert monitor == {k: v for k, v in watched.items() if k != "last_check"}
            assert api.post(f"/api/containers/{cid}/kill").status == 200
            assert of("process_monitor_update", status="aborted")["pid"] is None
            assert api.delete(f"/api/containers/{cid}").status == 200
            events.wait_event(lambda e: e.name == "container_update" and e.data["event"] == "removed")
            assert of("cleanup_update", status="completed") == api.get("/api/cleanup/tasks")["tasks"][0]
            assert of("cleanup_update", status="pending")["container_id"] == cid
            wait_for(lambda: set(names) <= {e.name for e in events.events}, what="all names")
            # No name that the table lacks; of each only what is in the list, and all of it.
            assert {e.name for e in events.events} == {"ready", *names}
            activity = [{"id": e.id, **e.data} for e in events.events if e.name == "activity_new"]
            assert activity == api.get("/api/activity?limit=1000")["activity"][::-1]
            assert {"container.removed", "snapshot.ready", "volume.created", "image.pulled", "operation.succeeded"} <= {a["type"] for a in activity}
            # One change is several events: whoever has some of them gets the others, in the same order.
            lasting = [(e.id, e.name, e.text) for e in events.events if e.id]
            assert len({i for i, _, _ in lasting}) == len(lasting)
            for at in (i for i, e in enumerate(lasting) if e[1] == "dns_entry_update"):
                with Events(api, last=lasting[at][0]) as again:
                    again.wait_event(lambda e: e.id == lasting[-1][0])
                    assert [(e.id, e.name, e.text) for e in again.events if e.id] == lasting[at + 1:]
    finally:
        registry.close()


def test_names_filter(api, make_container, names):
    r = api.get("/api/events?type=container_update&type=nothing")
    assert r.status == 400 and r["error_code"] == "VALIDATION_ERROR" and r["details"]["expected"] == names, r
    with Events(api, "?type=dns_entry_update&type=cleanup_update") as some, Events(api, "?type=stats_update&type=dns_entry_update") as samples:
        for stream in some, samples:
            stream.wait_event(lambda e: e.name == "ready")
        cid = make_container()["container_id"]
        assert api.delete(f"/api/containers/{cid}").status == 200
        some.wait_event(lambda e: e.name == "cleanup_update" and e.data["status"] == "completed" and e.data["container_id"] == cid)
        assert {e.name for e in some.events} == {"ready", "dns_entry_update", "cleanup_update"}
        samples.wait_event(lambda e: e.name == "stats_update")
        samples.wait_event(lambda e: e.name == "dns_entry_update" and e.data["event"] == "removed")
        assert {e.name for e in samples.events} == {"ready", "stats_update", "dns_entry_update"}


def test_nothing_is_sampled_for_nobody(make_tenant, make_container, stack):
    """Nor told again while it is as it was."""
    api = make_tenant()
    cid = make_container(client=api)["container_id"]
    with Events(api, "?type=container_update") as events, Events(api, f"?container_id={cid}") as one:
        for stream in events, one:
            stream.wait(lambda: len([e for e in stream.frames if e.name == "heartbeat"]) == 3)
            assert {e.name for e in stream.events} == {"ready"}
    assert api.post(f"/api/containers/{cid}/kill").status == 200
    with Events(api) as events:
        events.wait_event(lambda e: e.name == "stats_update")
        events.wait(lambda: len([e for e in events.frames if e.name == "heartbeat"]) == 4)
        assert [e.name for e in events.events] == ["ready", "stats_update"]


def test_nobody_hears_another_tenant(api, other_api, make_container):
    with Events(other_api) as theirs:
        theirs.wait_event(lambda e: e.name == "ready")
        cid = make_container()["container_id"]
        mine = make_container(client=other_api)["container_id"]
        theirs.wait_event(lambda e: e.name == "container_update" and e.data["container_id"] == mine)
        assert cid not in "\n".join(theirs.lines)


def test_last_event_id_goes_on_without_loss_or_repeat(api, make_container, stack):
    cid = make_container()["container_id"]
    with Events(api) as events:
        events.wait_event(lambda e: e.name == "ready")
        assert api.post(f"/api/containers/{cid}/rename", {"new_name": fresh_name()}).status == 200
        seen = events.wait_event(lambda e: e.name == "container_update" and e.data["event"] == "renamed").id
    names = [fresh_name() for _ in range(150)]  # more than a page
    for name in names[:140]:
        assert api.post(f"/api/containers/{cid}/rename", {"new_name": name}).status == 200
    for how in ({"last": seen}, {"query": f"?last_event_id={seen}"}):
        with Events(api, **how) as events:
            # Some more while it catches up.
            more, names = names[140:145], names[:140] + names[145:]
            for name in more:
                assert api.post(f"/api/containers/{cid}/rename", {"new_name": name}).status == 200
            events.wait_event(lambda e: e.name == "container_update" and e.data["name"] == more[-1])
            got = [e.data["name"] for e in events.of(cid)]
            assert got[:140] == names[:140] and got[-5:] == more and len(got) == len(set(got)), got
            assert not [e for e in events.events if e.name == "gap"]


def test_a_gap_is_told(api, make_container, stack):
    cid = make_container()["container_id"]
    assert api.post(f"/api/containers/{cid}/rename", {"new_name": fresh_name()}).status == 200
    with Events(api, last="5-1") as events:
        first = events.wait_event(lambda e: e.id)
        gap = next(e for e in events.events if e.name == "gap")
        assert gap.data == {"after": "5-1", "before": first.id}
        assert [e.name for e in events.events][:2] == ["ready", "gap"]


def test_redis_may_go_and_come(stack, api, make_container):
    cid = make_container()["container_id"]
    with Events(api) as events:
        events.wait_event(lambda e: e.name == "ready")
        stack.kill("redis")
        name = fresh_name()
        wait_for(lambda: api.post(f"/api/containers/{cid}/rename", {"new_name": name}).status == 200, what="the API is back")
        events.wait_event(lambda e: e.name == "container_update" and e.data["name"] == name)
        assert len([e for e in events.of(cid) if e.data["name"] == name]) == 1


def test_heartbeats(api):
    with Events(api) as events:
        beat = events.wait(lambda: next((e for e in events.frames if e.name == "heartbeat"), None))
        assert beat.data["ts"] > 1700000000 and beat.id is None


def test_the_key_may_stand_in_the_url_here_alone_and_in_no_log(api, anonymous, stack, make_container):
    with Events(api, f"?token={api.key}", key=False) as events:
        assert events.status == 200
        events.wait_event(lambda e: e.name == "ready")
    bad = anonymous.get("/api/events?token=quilt_sk_00000000000000000000000000000000")
    assert bad.status == 401 and bad["error_code"] == "UNAUTHORIZED"
    assert anonymous.get(f"/api/events?token={api.key}&token={api.key}").status == 401
    assert anonymous.get(f"/api/containers?token={api.key}").status == 401
    assert anonymous.get(f"/api/system/info?token={api.key}").status == 401
    assert anonymous.post(f"/api/events?token={api.key}").status in (401, 405)
    # Nor when nginx has something to complain about.
    stack.stop("stream")
    try:
        away = anonymous.get(f"/api/events?token={api.key}")
        assert away.status == 502 and away["error_code"] == "BAD_GATEWAY", away
    finally:
        stack.start("stream")
    for base, _, files in os.walk(stack.log):
        for name in files:
            with open(f"{base}/{name}", "rb") as f:
                assert api.key.encode() not in f.read(), name


def test_what_clients_say_of_themselves_is_not_believed(api, other_api, make_container):
    headers = {"X-Quilt-Tenant": other_api.tenant_id, "X-Quilt-Uri": "/api/events?container_id=x", "X-Quilt-Method": "POST"}
    cid = make_container()["container_id"]
    with Events(api, headers=headers) as events:
        assert events.status == 200
        events.wait_event(lambda e: e.name == "ready")
        assert api.post(f"/api/containers/{cid}/kill").status == 200
        events.wait_event(lambda e: e.name == "container_update" and e.data["container_id"] == cid)


def test_refusals(api, anonymous, other_api):
    r = api.get("/api/events?last_event_id=x")
    assert r.status == 400 and r["error_code"] == "VALIDATION_ERROR" and r["details"]["field"] == "last_event_id", r
    r = api.get("/api/events", headers={"Last-Event-ID": "1-x"})
    assert r.status == 400, r
    r = api.get("/api/events", headers={"X-Tenant-Id": other_api.tenant_id})
    assert r.status == 403 and r["error_code"] == "TENANT_MISMATCH", r
    r = anonymous.get("/api/events")
    assert r.status == 401, r
    r = api.post("/api/events", {})
    assert r.status == 405 and r.headers["Allow"] == "GET", r
    with Stream(api, "HEAD", "/api/events", record=False) as head:
        assert head.status == 200 and head.headers["Content-Type"] == "text/event-stream"
        head.wait_end()
        assert head.raw == b""


def test_a_tenant_may_have_so_many(make_tenant, make_container):
    api, streams = make_tenant(), []
    try:
        for _ in range(12):  # tenant_streams in the harness
            streams.append(Events(api, record=False))
            assert streams[-1].status == 200
            streams[-1].wait_event(lambda e: e.name == "ready")
        r = api.get("/api/events")
        assert r.status == 429 and r["error_code"] == "QUOTA_EXCEEDED" and r.headers["Retry-After"] == "5", r
        cid = make_container(client=api)["container_id"]
        for r in (api.get(f"/api/containers/{cid}/logs?follow=true"), api.post(f"/api/containers/{cid}/stream", {"command": ["touch", "/tmp/ran"]})):
            assert r.status == 429 and r["error_code"] == "QUOTA_EXCEEDED", r
        assert api.exec(cid, "ls", "/tmp")["stdout"] == ""
        streams.pop().close()

        def again():
            s = Events(api, record=False)
            streams.append(s)
            return s.status == 200

        wait_for(again, what="one that left makes room")
    finally:
        for s in streams:
            s.close()


def clients(stack):
    """Connections that quilt-stream has taken."""
    pid = stack.pid("stream")
    with open("/proc/net/unix", encoding="ascii") as f:
        ours = {line.split()[6] for line in f if line.rstrip().endswith(f"{stack.run}/stream.sock")}
    links = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            links.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
        except OSError:
            continue
    return len([x for x in links if x.startswith("socket:[") and x[8:-1] in ours]) - 1


def resident_kb(stack):
    with open(f"/proc/{stack.pid('stream')}/status", encoding="ascii") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read())[1])


class Redis:
    """A connection of the administrator's, for many commands."""

    def __init__(self, stack):
        with open(f"{stack.etc}/redis-admin.secret", encoding="ascii") as f:
            user, password = f.read().strip().split(":", 1)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(f"{stack.run}/redis.sock")
        self.answers = self.socket.makefile("rb")
        self("AUTH", user, password)

    def __call__(self, *words):
        self.socket.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in words))
        head = self.answers.readline()
        assert (self.answers.readline() if head == b"$2\r\n" else head[1:]) == b"OK\r\n"


def test_one_that_does_not_read_costs_nothing_and_misses_nothing(make_tenant, stack):
    api = make_tenant()
    redis = Redis(stack)

    def tell(n):
        data = json.dumps({"container_id": "ctr_none", "n": n, "filler": "x" * 60000})
        redis("FCALL", "qt_event", "1", f"quilt:{{{api.tenant_id}}}:ctrs", api.tenant_id, "container_update", data)

    def has(stream, n):
        # Not the last lines only: a heartbeat may come before this thread is awake.
        return stream.raw.find(f'"n": {n},'.encode(), max(0, len(stream.raw) - 200000)) >= 0

    with Events(api, read=False, record=False) as slow, Events(api, record=False) as quick:
        quick.wait_event(lambda e: e.name == "ready")
        tell(0)
        quick.wait(lambda: has(quick, 0))
        held = resident_kb(stack)
        for n in range(1, 150):  # 9 MB, more than the kernel and nginx hold
            tell(n)
        quick.wait(lambda: has(quick, 149), what="the last")
        if stack.variant == "release":
            assert resident_kb(stack) - held < 8192
        slow.start()
        slow.wait(lambda: has(slow, 149), what="the last, for the slow one")
        numbers = [int(n) for n in re.findall(rb'"n": (\d+),', slow.raw)]
        assert numbers == list(range(150)) and b"event: gap" not in slow.raw
    wait_for(lambda: clients(stack) == 0, what="no connection is left")
