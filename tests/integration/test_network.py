"""Networks: what is told, what is measured, what can be changed, and that none of it widens what the host lets through."""
import json
import subprocess

from harness.fixtures import fresh_name
from harness.wait import wait_for
from test_refusals import refused

CHECKS = ["host_link", "link", "address", "default_route", "filter", "dns", "egress"]


def run(api, container, *command):
    r = api.exec(container, *command)
    assert r["exit_code"] == 0, (command, r["stdout"], r["stderr"])
    return r["stdout"]


SERVER = ["httpd", "-f", "-p", "8080", "-h", "/bin"]


def fetch(api, container, host):
    """How much CONTAINER gets from a SERVER at HOST."""
    get = f"printf 'GET /busybox HTTP/1.0\\r\\n\\r\\n' | nc -w 20 {host} 8080 | wc -c"
    return wait_for(lambda: int(run(api, container, "sh", "-c", get)), what=f"an answer of {host}")


def checks(api, container):
    r = api.get(f"/api/containers/{container}/network/diagnostics")
    assert r.status == 200, r
    assert [c["name"] for c in r.json["checks"]] == CHECKS, r
    return r.json["healthy"], {c["name"]: c["ok"] for c in r.json["checks"]}


def start(api, container):
    assert api.operation(api.post(f"/api/containers/{container}/start"))["status"] == "succeeded"


def test_allocations_and_one(api, other_api, make_container):
    c = make_container()
    r = api.get(f"/api/containers/{c['container_id']}/network")
    assert r.status == 200 and r["ip_address"] == c["ip_address"] and r["status"] == "active" and r["setup_completed"], r
    assert r["veth_host"].startswith(api.stack.link_prefix) and r["veth_container"] == "eth0" and r["routes"] == [], r
    assert r.json in api.get("/api/network/allocations")["allocations"]
    assert c["container_id"] not in api_text(other_api.get("/api/network/allocations"))
    refused(other_api.get(f"/api/containers/{c['container_id']}/network"), 404, "CONTAINER_NOT_FOUND")


def api_text(r):
    assert r.status == 200, r
    return r.text


def filter_mended(stack):
    return stack.log_text("runtime").count("somebody changed the packet filter")


def test_diagnostics_see_what_is_broken_and_setup_mends_it(api, stack, make_container):
    c = make_container()["container_id"]
    healthy, seen = checks(api, c)
    assert healthy and all(seen[n] for n in CHECKS[:5]), seen
    link, ip = (api.get(f"/api/containers/{c}/network")[k] for k in ("veth_host", "ip_address"))
    assert api.post(f"/api/containers/{c}/routes", {"destination": "198.51.100.0/24"}).status == 200

    # From outside, behind the runtime's back: each is seen by its own check.
    ns = f"--net=/proc/{api.get(f'/api/containers/{c}')['pid']}/ns/net"
    breaks = [
        (["ip", "link", "set", link, "down"], {"host_link", "link"}),
        (["nsenter", ns, "ip", "addr", "flush", "dev", "eth0"], {"address", "default_route"}),
        (["nsenter", ns, "ip", "route", "del", "default"], {"default_route"}),
        (["nft", "delete", "element", "inet", stack.instance, "src", f'{{ "{link}" . {ip} }}'], {"filter"}),
        (["ip", "link", "del", link], {"host_link", "link", "address", "default_route"}),
    ]
    for command, broken in breaks:
        missing, faster = set(), True
        while not broken <= missing and faster:
            said = filter_mended(stack)
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
            healthy, seen = checks(api, c)
            missing = {n for n in CHECKS[:5] if not seen[n]}
            faster = filter_mended(stack) > said  # the runtime compares the filter each second: it may be there before us
        assert not healthy and broken <= missing, (command, missing)
        r = api.post(f"/api/containers/{c}/network/setup")
        assert r.status == 200 and r["success"] and r["status"] == "active" and r["setup_completed"], (command, r)
        assert checks(api, c)[0], command
        assert "198.51.100.0/24 via" in run(api, c, "ip", "route"), command
    assert api.post(f"/api/containers/{c}/network/setup", {}).status == 200

    assert api.post(f"/api/containers/{c}/kill").status == 200
    healthy, seen = checks(api, c)
    assert not healthy and not any(seen[n] for n in CHECKS[:5]), seen
    refused(api.post(f"/api/containers/{c}/network/setup"), 409, "INVALID_STATE")
    assert api.get(f"/api/containers/{c}/network")["status"] == "allocated"
    refused(api.post("/api/containers/nobody/network/setup"), 404, "CONTAINER_NOT_FOUND")


def test_another_address(api, make_container):
    a, b = make_container(command=SERVER), make_container()
    who = a["container_id"]
    path = f"/api/containers/{who}/network"
    body = refused(api.request("PUT", path, {"ip_address": "10.1.2.3"}), 409, "INVALID_STATE")
    assert body["details"]["state"] == "running" and "Stop" in body["hint"], body
    assert api.post(f"/api/containers/{who}/kill").status == 200
    for bad in ("10.1.2.3", "300.1.1.1", "x", b["ip_address"].rsplit(".", 2)[0] + ".0.0"):
        refused(api.request("PUT", path, {"ip_address": bad}), 400, "VALIDATION_ERROR")
    refused(api.request("PUT", path, {"ip_address": b["ip_address"]}), 409, "CONFLICT")
    refused(api.request("PUT", path, {"ip": "10.1.2.3"}), 422, "UNPROCESSABLE_ENTITY")

    taken = {n["ip_address"] for n in api.get("/api/network/allocations")["allocations"]}
    prefix = b["ip_address"].rsplit(".", 2)[0]
    new = next(ip for ip in (f"{prefix}.251.{i}" for i in range(7, 250)) if ip not in taken)
    r = api.request("PUT", path, {"ip_address": new})
    assert r.status == 200 and r["success"] and r["ip_address"] == new, r
    assert api.request("PUT", path, {"ip_address": new}).status == 200
    start(api, who)
    assert api.get(f"/api/containers/{who}")["ip_address"] == new
    assert f"inet {new}/32" in run(api, who, "ip", "addr") and checks(api, who)[0]
    assert fetch(api, b["container_id"], new) > 100000


def test_routes(api, make_container):
    c = make_container()["container_id"]
    path = f"/api/containers/{c}/routes"
    for bad in ("10.0.0.1/24", "10.0.0.0", "10.0.0.0/33", "0.0.0.0/0", "127.0.0.0/8", "169.254.169.254/32", "169.254.0.0/16", "224.0.0.0/4",
                "160.0.0.0/3", "fd00::/8", "x"):
        refused(api.post(path, {"destination": bad}), 400, "VALIDATION_ERROR")
        refused(api.delete(path, {"destination": bad}), 400, "VALIDATION_ERROR")
    refused(api.post(path, {}), 422, "UNPROCESSABLE_ENTITY")
    nets = [f"10.{i}.0.0/16" for i in range(32)]
    for n in [*nets, nets[0]]:
        r = api.post(path, {"destination": n})
        assert r.status == 200 and r["success"] and r["destination"] == n, r
    refused(api.post(path, {"destination": "10.99.0.0/16"}), 409, "CONFLICT")
    assert sorted(api.get(f"/api/containers/{c}/network")["routes"]) == sorted(nets)
    table = run(api, c, "ip", "route")
    assert all(f"{n} via" in table for n in nets), table
    for n in [*nets[2:], nets[2]]:
        assert api.delete(path, {"destination": n}).status == 200
    table = run(api, c, "ip", "route")
    assert f"{nets[1]} via" in table and f"{nets[2]} via" not in table and "default via" in table, table

    # They come back with the next start, and with a Redis that lost all.
    assert api.post(f"/api/containers/{c}/kill").status == 200
    assert api.post(path, {"destination": "198.51.100.7/32"}).status == 200
    assert api.delete(path, {"destination": nets[0]}).status == 200
    start(api, c)
    table = run(api, c, "ip", "route")
    assert f"{nets[1]} via" in table and "198.51.100.7 via" in table and f"{nets[0]} via" not in table, table


def test_egress_counts(api, make_container):
    a, b = make_container(command=SERVER), make_container()
    path = f"/api/containers/{a['container_id']}/egress"
    before = api.get(path)
    assert before.status == 200 and before["egress_limit_bytes"] is None and before["period_start"], before
    size = fetch(api, b["container_id"], a["ip_address"])
    assert size > 100000 and api.get(path)["egress_bytes"] >= before["egress_bytes"] + size
    assert api.post(f"/api/containers/{a['container_id']}/kill").status == 200
    assert api.get(path)["egress_bytes"] == 0
    refused(api.get("/api/containers/nobody/egress"), 404, "CONTAINER_NOT_FOUND")


def test_dns_entries_and_rename(api, other_api, make_container):
    c = make_container()
    entry = {"container_id": c["container_id"], "container_name": c["name"], "ip_address": c["ip_address"], "ttl": 2}
    assert entry in api.get("/api/dns/entries")["entries"]
    assert entry not in other_api.get("/api/dns/entries")["entries"]
    new, other = fresh_name(), make_container()["name"]
    path = f"/api/dns/entries/{c['name']}/rename"
    refused(other_api.post(path, {"new_name": new}), 404, "CONTAINER_NOT_FOUND")
    refused(api.post(path, {"new_name": other}), 409, "CONTAINER_NAME_CONFLICT")
    refused(api.post(path, {"new_name": "a/b"}), 400, "VALIDATION_ERROR")
    refused(api.post(f"/api/dns/entries/{c['container_id']}/rename", {"new_name": new}), 404, "CONTAINER_NOT_FOUND")
    r = api.post(path, {"new_name": new})
    assert r.status == 200 and r["success"] and (r["old_name"], r["new_name"]) == (c["name"], new), r
    assert api.get(f"/api/containers/{new}")["container_id"] == c["container_id"]


def test_activity_cleanup_and_monitors(api, make_tenant, make_container):
    mine = make_tenant()
    c = make_container(client=mine)["container_id"]
    assert mine.post(f"/api/containers/{c}/kill").status == 200
    d = make_container(client=mine)["container_id"]

    def act():
        return [(a["container_id"], a["type"]) for a in mine.get("/api/activity?limit=100")["activity"]]

    assert (c, "container.created") in act() and (c, "container.died") in act()
    assert len(mine.get("/api/activity?limit=1")["activity"]) == 1
    refused(mine.get("/api/activity?limit=0"), 400, "VALIDATION_ERROR")
    assert c not in api_text(api.get("/api/activity?limit=1000"))

    watched = {m["container_id"]: m for m in mine.get("/api/monitors")["monitors"]}
    assert set(watched) == {c, d} and watched[d]["status"] == "monitoring" and watched[d]["pid"], watched
    assert watched[c]["status"] == "aborted" and watched[c]["pid"] is None, watched
    assert [m["container_id"] for m in mine.get("/api/monitors/processes")["processes"]] == [d]
    assert mine.get("/api/monitors/profile")["active_monitors"] == 1
    one = wait_for(lambda: mine.get(f"/api/monitors/{d}").json, what="a monitor")
    assert one["container_id"] == d and one["last_check"], one
    refused(api.get(f"/api/monitors/{d}"), 404, "CONTAINER_NOT_FOUND")

    force = f"/api/containers/{c}/cleanup/force"
    refused(mine.post(force, {}), 400, "VALIDATION_ERROR")
    refused(mine.post(force, {"confirm": False}), 400, "VALIDATION_ERROR")
    refused(mine.post(f"/api/containers/{d}/cleanup/force", {"confirm": True}), 409, "INVALID_STATE")
    assert mine.get("/api/cleanup/status")["completed_tasks"] == 0
    assert mine.get(f"/api/containers/{c}/cleanup/tasks")["tasks"] == []
    r = mine.post(force, {"confirm": True, "remove_volumes": False})
    assert r.status == 200 and r["success"] and "network" in r["cleaned_resources"], r
    refused(mine.get(f"/api/containers/{c}"), 404, "CONTAINER_NOT_FOUND")
    status = mine.get("/api/cleanup/status").json
    assert status["completed_tasks"] == 1 and status["pending_tasks"] == 0 and status["last_cleanup"], status
    tasks = mine.get("/api/cleanup/tasks")["tasks"]
    assert [(t["container_id"], t["status"]) for t in tasks] == [(c, "completed")], json.dumps(tasks)
