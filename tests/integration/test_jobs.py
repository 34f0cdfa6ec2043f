"""Jobs (detached execs) and processes: contract 7.2 and 7.4."""
import concurrent.futures
import os
import signal
import time

import pytest

from harness.wait import wait_for


def detach(api, container, *command, **more):
    r = api.post(f"/api/containers/{container}/exec", {"command": list(command), "detach": True, **more})
    assert r.status == 202, r
    assert r["success"] is True and r["status_url"] == f"/api/containers/{r['container_id']}/jobs/{r['job_id']}"
    return r["status_url"]


def ended(api, url):
    def look():
        r = api.get(url)
        assert r.status == 200, r
        return r.json if r["status"] != "running" else None
    return wait_for(look, what="the end of the job")


@pytest.fixture(scope="module")
def busy(make_tenant):
    """A container of its own tenant, for the module."""
    api = make_tenant()
    r = api.post("/api/containers", {"name": "busy", "image": "busybox", "memory_limit_mb": 64})
    assert r.status == 201, r
    yield api, r["container_id"]
    assert api.delete(f"/api/containers/{r['container_id']}").status == 200


def test_a_job_runs_without_its_client(busy):
    api, c = busy
    url = detach(api, c, "/bin/sh", "-c", "cat; pwd; echo $A; echo no >&2; exit 3", stdin_data="in\n", workdir="/tmp", environment={"A": "b"})
    job = ended(api, url)
    assert job["status"] == "failed" and job["exit_code"] == 3 and job["detached"] is True
    assert job["stdout"] == "in\n/tmp\nb\n" and job["stderr"] == "no\n" and job["command"].startswith("/bin/sh -c cat; pwd")
    assert job["completed_at"] >= job["started_at"] and job["error_message"] is None
    short = api.get(url + "?include_output=false").json
    assert "stdout" not in short and "stderr" not in short and short["exit_code"] == 3
    assert ended(api, detach(api, c, "true"))["status"] == "completed"
    assert ended(api, detach(api, c, "no-such-program"))["exit_code"] == 127
    timed = ended(api, detach(api, c, "sleep", "1000", timeout_ms=50))
    assert timed["status"] == "timed_out" and timed["exit_code"] == 143
    listed = api.get(f"/api/containers/{c}/jobs")["jobs"]
    assert [j["exit_code"] for j in listed][:4] == [143, 127, 0, 3] and "stdout" not in listed[0]


def test_an_exec_is_a_job_as_well(busy):
    api, c = busy
    x = api.exec(c, "echo", "hi")
    job = api.get(x["status_url"]).json
    assert job["status"] == "completed" and job["stdout"] == "hi\n" and job["job_id"] == x["job_id"]


def test_much_output_is_cut_and_nobody_blocks(busy):
    api, c = busy
    job = ended(api, detach(api, c, "/bin/sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x"))
    assert job["exit_code"] == 0 and job["output_truncated"] is True and set(job["stdout"]) == {"x"}
    assert len(job["stdout"]) == 1 << 20


def test_more_jobs_than_an_init_holds(busy):
    """Nobody asks for any of them until all have ended: what became of each is known, and what it wrote."""
    api, c = busy
    urls = [detach(api, c, "/bin/sh", "-c", f"echo job {i}; exit {i % 3}") for i in range(150)]
    for i, url in enumerate(urls):
        job = ended(api, url)
        assert (job["stdout"], job["exit_code"], job["error_message"]) == (f"job {i}\n", i % 3, None), job


def test_many_who_start_jobs_lose_none_of_the_others(busy):
    """What ends while somebody makes room is not given away with what had ended before."""
    api, c = busy

    def start(i):
        def taken():
            r = api.post(f"/api/containers/{c}/exec", {"command": ["/bin/sh", "-c", f"echo job {i}; exit {i % 3}"], "detach": True})
            assert r.status in (202, 503), r  # others may be quicker, and have all the room that was made
            return r["status_url"] if r.status == 202 else None
        return wait_for(taken, what="a place")

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        urls = list(pool.map(start, range(300)))
    for i, url in enumerate(urls):
        job = ended(api, url)
        assert (job["stdout"], job["exit_code"], job["error_message"]) == (f"job {i}\n", i % 3, None), job


def test_jobs_without_records_hold_no_places(stack, api, make_container):
    """Their records went with their time, or with what Redis lost, before anybody asked: an init full of them takes others, and one that has a record loses nothing."""
    c = make_container()["container_id"]
    keys = f"quilt:{{{api.tenant_id}}}"
    idle = len(api.get(f"/api/containers/{c}/processes")["processes"])

    def fill():
        urls = [detach(api, c, "/bin/sh", "-c", "until [ -e /tmp/go ]; do sleep 0.1; done; echo job $0; exit 3", str(i)) for i in range(64)]
        assert api.exec(c, "touch", "/tmp/go")["exit_code"] == 0
        wait_for(lambda: len(api.get(f"/api/containers/{c}/processes")["processes"]) == idle, what="all have ended")
        assert api.exec(c, "rm", "/tmp/go")["exit_code"] == 0
        return urls

    def lose(urls):
        ids = [url.rsplit("/", 1)[1] for url in urls]
        assert stack.redis("DEL", *(f"{keys}:job:{i}" for i in ids)) == str(len(ids))
        assert stack.redis("SREM", f"{keys}:jobs-running:{c}", *ids) == str(len(ids))
        assert stack.redis("ZREM", f"{keys}:jobs:{c}", *ids) == str(len(ids))
        assert stack.redis("ZREM", f"{keys}:jobs", *(f"{c}/{i}" for i in ids)) == str(len(ids))

    urls = fill()
    lose(urls[:20] + urls[21:])
    assert ended(api, detach(api, c, "echo", "more"))["stdout"] == "more\n"
    kept = api.get(urls[20]).json
    assert (kept["status"], kept["stdout"], kept["exit_code"], kept["error_message"]) == ("failed", "job 20\n", 3, None), kept
    # A terminal needs a place as well.
    lose(fill())
    r = api.post("/api/terminal/sessions", {"container_id": c})
    assert r.status == 201, r
    assert api.delete(f"/api/terminal/sessions/{r['session_id']}").status == 200


def test_a_job_that_begins_is_not_taken_for_one_that_is_gone(busy):
    """Whoever looks while it is being started."""
    api, c = busy
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        looks = [pool.submit(lambda: [api.get(f"/api/containers/{c}/jobs").status for _ in range(40)]) for _ in range(6)]
        urls = [detach(api, c, "/bin/sh", "-c", f"exit {i % 2}") for i in range(30)]
        assert all(s == 200 for look in looks for s in look.result())
    for i, url in enumerate(urls):
        job = ended(api, url)
        assert (job["exit_code"], job["error_message"]) == (i % 2, None), job


def test_a_job_outlives_every_daemon(busy, stack):
    api, c = busy
    url = detach(api, c, "/bin/sh", "-c", "echo begun; until [ -e /tmp/go ]; do sleep 0.05; done; echo done")
    wait_for(lambda: api.get(url)["stdout"] == "begun\n", what="the first output")
    for end in stack.kill, stack.restart:
        for program in ("api", "agent", "runtime", "dns", "stream", "redis", "nginx"):
            end(program)
        wait_for(lambda: api.get(url).status == 200, what="the API to be back")
        assert api.get(url)["status"] == "running"
    wait_for(lambda: api.post(f"/api/containers/{c}/exec", {"command": ["touch", "/tmp/go"]}).status == 200, what="an exec")
    job = ended(api, url)
    assert job["stdout"] == "begun\ndone\n" and job["status"] == "completed"


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_an_end_keeps_what_jobs_wrote(api, make_container, way):
    c = make_container()["container_id"]
    done = detach(api, c, "echo", "kept")
    runs = detach(api, c, "/bin/sh", "-c", "echo so far; exec sleep 1000")
    wait_for(lambda: api.get(runs)["stdout"] == "so far\n", what="its output")
    assert api.post(f"/api/containers/{c}/{way}", {"timeout_seconds": 0} if way == "stop" else None).status == 200
    assert api.get(done)["status"] == "completed" and api.get(done)["stdout"] == "kept\n"
    job = api.get(runs).json
    assert job["status"] == "failed" and job["stdout"] == "so far\n" and job["error_message"]
    assert api.post(f"/api/containers/{c}/exec", {"command": ["true"], "detach": True}).status == 409


def test_jobs_that_are_not_there(busy, other_api):
    api, c = busy
    for id_ in ("job_0000", "nonsense", "ctr_0000"):
        r = api.get(f"/api/containers/{c}/jobs/{id_}")
        assert r.status == 404 and r["error_code"] == "JOB_NOT_FOUND", r
    assert api.get(f"/api/containers/{c}/jobs/job_0?include_output=maybe")["error_code"] == "VALIDATION_ERROR"
    for path in ("jobs", "jobs/job_0000", "processes"):
        r = other_api.get(f"/api/containers/{c}/{path}")
        assert r.status == 404 and r["error_code"] == "CONTAINER_NOT_FOUND", r


def test_processes(busy):
    api, c = busy
    url = detach(api, c, "/bin/sh", "-c", "sleep 1001; exit 9")
    look = lambda: [p for p in api.get(f"/api/containers/{c}/processes")["processes"] if p["command"] == "sleep 1001"]
    sleeper = wait_for(look, what="the process")[0]
    every = api.get(f"/api/containers/{c}/processes")["processes"]
    assert [p["pid"] for p in every] == sorted(p["pid"] for p in every)
    init = every[0]
    assert init["pid"] == 1 and init["ppid"] == 0 and init["memory_kb"] > 0
    parent = next(p for p in every if p["pid"] == sleeper["ppid"])
    assert parent["command"].startswith("/bin/sh -c sleep 1001") and parent["ppid"] == 1
    assert api.exec(c, "cat", f"/proc/{sleeper['pid']}/comm")["stdout"] == "sleep\n"
    r = api.delete(f"/api/containers/{c}/processes/{sleeper['pid']}?signal=SIGKILL")
    assert r.status == 200 and r.json == {"success": True, "pid": sleeper["pid"], "signal": "KILL"}
    assert ended(api, url)["exit_code"] == 9
    wait_for(lambda: not look(), what="its end")


def test_signals_that_are_refused(busy):
    api, c = busy
    for path, status, code in ((f"{c}/processes/1", 400, "VALIDATION_ERROR"), (f"{c}/processes/x", 400, "VALIDATION_ERROR"),
                               (f"{c}/processes/2?signal=SEGV", 400, "VALIDATION_ERROR"),
                               (f"{c}/processes/4194000", 404, "PROCESS_NOT_FOUND")):
        r = api.delete("/api/containers/" + path)
        assert r.status == status and r["error_code"] == code, (path, r)


def test_processes_of_a_stopped_container(api, make_container):
    c = make_container()["container_id"]
    assert api.post(f"/api/containers/{c}/kill").status == 200
    assert api.get(f"/api/containers/{c}/processes")["error_code"] == "INVALID_STATE"
    assert api.delete(f"/api/containers/{c}/processes/2")["error_code"] == "INVALID_STATE"


def test_an_init_that_stands_still_does_not_hold_up_an_end(stack, api, make_container):
    """Each of its jobs would be asked for, and none can be."""
    c = make_container()["container_id"]
    for _ in range(12):
        detach(api, c, "sleep", "1000")
    os.kill(stack.init_of(c), signal.SIGSTOP)
    began = time.monotonic()
    assert api.post(f"/api/containers/{c}/kill").status == 200
    assert time.monotonic() - began < 40  # not 12 times the patience with one
