"""Takes away all that a tenant has."""
import concurrent.futures

from .wait import wait_for

FINAL = ("succeeded", "failed", "cancelled", "timed_out")


def empty(api):
    """First whatever is still under way, since it may make more. Several at once: a stack under sanitizers takes its time."""
    def operations():
        r = api.get("/api/operations?limit=1000")
        return r.status == 200 and all(o["status"] in FINAL for o in r["operations"])

    def delete(path):
        def gone():
            r = api.delete(path)
            if r.status == 409 and r["error_code"] == "SNAPSHOT_PINNED":
                api.post(f"{path}/unpin")
            return r.status in (200, 404)

        wait_for(gone, what=f"{path} is deleted")

    wait_for(operations, what="no operation is under way")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda c: delete(f"/api/containers/{c['container_id']}?timeout_ms=0"), api.get("/api/containers")["containers"]))
        list(pool.map(lambda s: delete(f"/api/snapshots/{s['snapshot_id']}"), api.get("/api/snapshots", headers={"X-Tenant-Id": api.tenant_id})["snapshots"]))
        list(pool.map(lambda v: delete(f"/api/volumes/{v['name']}?execution=sync"), api.get("/api/volumes")["volumes"]))
        list(pool.map(lambda i: delete(f"/api/oci/images?reference={i['reference']}"), api.get("/api/oci/images")["images"]))
