"""Images out of registries: pull, list, inspect, history, delete, and containers of them."""
import concurrent.futures
import hashlib
import json
import os
import shutil
import stat
import subprocess
import tarfile
import threading
import time

import pytest

from harness.fixtures import fresh_name
from harness.oci import OCI, Authority, Evil, Image, Registry, Tokens, busybox_layer, directory, fresh_layer, index, member, sha, symlink, tar
from harness.wait import wait_for


@pytest.fixture(scope="module")
def registry(stack):
    r = Registry()
    yield r
    r.close()


@pytest.fixture
def evil():
    r = Evil()
    yield r
    r.close()


@pytest.fixture
def pull(api):
    """pull(reference, …) -> the answer. What was pulled is deleted after the test, its containers first."""
    pulled = []

    def do(reference, client=None, **more):
        client = client or api
        r = client.post("/api/oci/images/pull", {"reference": reference, **more})
        if r.status == 200:
            pulled.append((client, r["image"]["reference"]))
        return r

    yield do
    for client, reference in pulled:
        wait_for(lambda: client.delete(f"/api/oci/images?reference={reference}").status in (200, 404), what=f"{reference} is deleted")


@pytest.fixture(scope="module", autouse=True)
def orphan(stack, make_tenant):
    """A pull whose agent dies in the middle. The next one takes it up when the lease is over; the last test looks."""
    evil, first, api = Evil(), [], make_tenant("orphan")
    image = Image([tar(member("first", os.urandom(5000))), tar(member("second", os.urandom(5000)))])
    ORPHANS.update(digest.split(":")[1] for digest in (*image.blobs, sha(image.text)))
    reference = evil.serve("tests/orphan", "1", image)
    blob = f"/v2/tests/orphan/blobs/{image.layers[1]['digest']}"
    data, died = evil.routes[blob], threading.Event()

    def waits(handler):
        first.append(1)
        if len(first) == 1:  # the next agent's try may come before kill() is back
            died.wait(60)
        handler.reply(200, {}, data)

    evil.routes[blob] = waits
    receipt = api.post("/api/oci/images/pull?execution=async", {"reference": reference})
    wait_for(lambda: first, what="the pull is under way")
    stack.kill("agent")
    died.set()
    yield api, reference, receipt
    evil.close()


def sh(api, c, script):
    return api.exec(c["container_id"], "/bin/sh", "-c", script)


ORPHANS = set()  # layers of a pull that goes on beside the tests


def layers(stack):
    return {name for name in os.listdir(f"{stack.pool}/layers") if name.split(".")[-1] not in ORPHANS}


def blobs(stack):
    """Documents of images."""
    return {name for name in os.listdir(f"{stack.pool}/oci/blobs/sha256") if name not in ORPHANS}


def on_the_way(stack):
    return set(os.listdir(f"{stack.state}/agent/pull"))


def nothing_is_left(stack, before, on_the_way_before):
    """Of a pull that failed: no layer, no document, no tree, no file on its way."""
    def left():
        return (layers(stack) | blobs(stack)) ^ before, on_the_way(stack) - on_the_way_before, os.listdir(f"{stack.run}/secrets")

    try:
        wait_for(lambda: not any(left()), what="nothing of the pull is left")
    except AssertionError:
        raise AssertionError(f"left of the pull: {left()}") from None


def test_pull_and_run(stack, api, registry, pull, make_container):
    image = Image([busybox_layer(), tar(directory("srv"), member("srv/hello", b"from layer 2\n"))], config={
        "Env": ["PATH=/bin", "GREETING=hi", "LATER=image"], "Entrypoint": ["/bin/sh", "-c"], "Cmd": ["echo started; exec sleep 1000"],
        "WorkingDir": "/srv"})
    reference = registry.push("tests/app", "1.0", image)
    r = pull(reference)
    assert r.status == 200 and r["success"] is True, r
    i = r["image"]
    assert (i["registry"], i["repository"], i["tag"], i["reference"]) == (registry.host, "tests/app", "1.0", reference)
    assert i["manifest_digest"] == sha(image.text) and i["config_digest"] == image.manifest["config"]["digest"]
    assert (i["os"], i["architecture"], i["working_dir"]) == ("linux", "amd64", "/srv")
    assert i["size_bytes"] == sum(layer["size"] for layer in image.layers)
    assert i["entrypoint"] == ["/bin/sh", "-c"] and i["default_cmd"] == ["echo started; exec sleep 1000"] and "GREETING=hi" in i["env"]

    c = make_container(image=reference, oci=True, environment={"LATER": "request"})
    assert c["exec_ready"] and c["checks"]["managed_image_valid"] is True and c["working_directory"] == "/srv", c
    assert sh(api, c, "cat hello; echo $GREETING $LATER $PATH; pwd")["stdout"] == "from layer 2\nhi request /bin\n/srv\n"
    wait_for(lambda: any("started" in x["message"] for x in api.get(f"/api/containers/{c['container_id']}/logs")["logs"]), what="the image's command ran")


def test_list_inspect_history_delete(stack, api, other_api, registry, pull):
    image = Image([busybox_layer()], config={"Cmd": ["sh"]}, packing="+zstd")
    reference = registry.push("tests/listed", "v1", image)
    assert pull(reference).status == 200
    mine = [i for i in api.get("/api/oci/images?filter=tests/listed")["images"]]
    assert [i["reference"] for i in mine] == [reference] and mine[0]["manifest_digest"] is None
    assert api.get("/api/oci/images?include_digests=true&filter=listed")["images"][0]["manifest_digest"] == sha(image.text)
    assert api.get("/api/oci/images?filter=nothing-has-this")["images"] == []

    r = api.get(f"/api/oci/images/inspect?reference={reference}").json
    assert r["manifest_json"].encode() == image.text and json.loads(r["config_json"]) == image.config
    assert [layer["digest"] for layer in r["layers"]] == [layer["digest"] for layer in image.layers]
    r = api.get(f"/api/oci/images/history?reference={reference}").json
    assert [h["empty_layer"] for h in r["history"]] == [False, True] and r["history"][0]["created_by"] == "layer 0"
    assert r["history"][1]["created"] == "" and r["history"][1]["comment"] == "none"

    # Another tenant has none of it.
    for method, path in (("GET", "/inspect"), ("GET", "/history"), ("DELETE", "")):
        r = other_api.request(method, f"/api/oci/images{path}?reference={reference}")
        assert r.status == 404 and r["error_code"] == "IMAGE_NOT_FOUND", r
        r = api.request(method, f"/api/oci/images{path}")
        assert r.status == 400 and r["error_code"] == "VALIDATION_ERROR", r
        r = api.request(method, f"/api/oci/images{path}?reference=Not/A/Reference")
        assert r.status == 400 and r["error_code"] == "VALIDATION_ERROR", r
    assert other_api.get("/api/oci/images")["images"] == []
    r = other_api.post("/api/containers", {"name": fresh_name(), "image": reference, "oci": True})
    assert r.status == 404 and r["error_code"] == "IMAGE_NOT_FOUND" and "/api/oci/images/pull" in r["hint"], r

    # It is in the OCI layout of the pool, under its id.
    layout = f"oci:{stack.pool}/oci:{mine[0]['id']}"
    seen_by_skopeo = json.loads(subprocess.run(["skopeo", "inspect", layout], check=True, capture_output=True).stdout)
    assert seen_by_skopeo["Digest"] == sha(image.text) and seen_by_skopeo["Layers"] == [layer["digest"] for layer in image.layers], seen_by_skopeo
    config = subprocess.run(["skopeo", "inspect", "--config", "--raw", layout], check=True, capture_output=True).stdout
    assert json.loads(config) == image.config
    before, documents = layers(stack), blobs(stack)
    r = api.delete(f"/api/oci/images?reference={reference}&prune_layers=true")
    assert r.status == 200 and r["success"] is True, r
    assert len(layers(stack)) == len(before) - 1
    assert documents - blobs(stack) == {sha(image.text).split(":")[1], image.manifest["config"]["digest"].split(":")[1]}
    with open(f"{stack.pool}/oci/index.json", encoding="ascii") as f:
        assert mine[0]["id"] not in f.read()
    assert api.delete(f"/api/oci/images?reference={reference}").status == 404


def test_in_use_and_pulled_anew(stack, api, registry, pull, make_container):
    old, new = (Image([busybox_layer(), tar(member("version", text))]) for text in (b"old\n", b"new\n"))
    reference = registry.push("tests/moving", "latest", old)
    assert pull(reference).status == 200
    c = make_container(image=reference, oci=True)
    r = api.delete(f"/api/oci/images?reference={reference}")
    assert r.status == 409 and r["error_code"] == "IMAGE_IN_USE", r

    registry.push("tests/moving", "latest", new)
    assert pull(reference)["image"]["manifest_digest"] == sha(old.text)  # the tenant has it, and did not ask for more
    assert pull(reference, force=True)["image"]["manifest_digest"] == sha(new.text)
    assert len([i for i in api.get("/api/oci/images?filter=tests/moving")["images"]]) == 1
    d = make_container(image=reference, oci=True)
    assert sh(api, d, "cat /version")["stdout"] == "new\n"
    # What ran before stands on what it stood on, also when it is started again, and after the runtime was.
    stack.kill("runtime")
    assert sh(api, c, "cat /version")["stdout"] == "old\n"
    assert api.post(f"/api/containers/{c['container_id']}/stop", {"timeout_seconds": 0}).status == 200
    assert api.operation(api.post(f"/api/containers/{c['container_id']}/start"))["status"] == "succeeded"
    assert sh(api, c, "cat /version")["stdout"] == "old\n"
    # The old image has no name any more, and goes with the last who needs it.
    count = len(layers(stack))
    assert api.delete(f"/api/containers/{c['container_id']}?timeout_ms=0").status == 200
    stack.kill("agent")  # the next one looks at once
    wait_for(lambda: len(layers(stack)) == count - 1, what="the old image's layer is gone")
    assert sh(api, d, "cat /version")["stdout"] == "new\n"


def test_creates_while_the_image_is_replaced(api, registry, pull):
    """A pull by force makes the reference mean another image, and the old one goes: a create that had found the old one is one of the new one."""
    reference = registry.push("tests/replaced", "1", Image([busybox_layer()]))
    assert pull(reference).status == 200
    done = threading.Event()

    def creates():
        while not done.is_set():
            r = api.post("/api/containers", {"name": fresh_name(), "image": reference, "oci": True, "memory_limit_mb": 32, "command": ["/bin/sh"]})
            assert r.status == 201, r
            assert api.delete(f"/api/containers/{r['container_id']}?timeout_ms=0").status == 200

    with concurrent.futures.ThreadPoolExecutor(1) as pool:  # one: the containers of more would keep the old image
        made = pool.submit(creates)
        try:
            for _ in range(40):
                assert pull(reference, force=True).status == 200
        finally:
            done.set()
        made.result()


def test_layers_are_laid_over_each_other(stack, api, registry, pull, make_container):
    base = busybox_layer(
        directory("gone"), member("gone/a", b"a"), directory("opaque"), member("opaque/old", b"x"), directory("kept"), member("kept/a", b"a"),
        member("kept/b", b"b"), member("suid", b"s", mode=0o6755, uid=12, gid=34), directory("own", uid=1000, gid=1001, mode=0o2770),
        member("etc/passwd", b"root:x:0:0::/root:/bin/sh\nwww:x:1000:1001::/srv/www:/bin/sh\n"),
        member("etc/group", b"root:x:0:\nwww:x:1001:\nextra:x:77:www\n"), member("one", b"1"), member("two", kind=tarfile.LNKTYPE, link="one"),
        directory("dev"), member("dev/null", kind=tarfile.CHRTYPE, devmajor=1, devminor=3))
    top = tar(member(".wh.gone"), directory("opaque"), member("opaque/.wh..wh..opq"), member("opaque/new", b"n"), directory("kept"),
              member("kept/.wh.a"), directory("kept/c"), symlink("absolute", "/kept/b"))
    config = {"User": "www", "StopSignal": "SIGUSR1", "Cmd": [
        "/bin/sh", "-c", "trap 'exit 7' USR1; echo up; while :; do sleep 0.1; done"]}
    image = Image([base, top], config=config, docker=True)
    reference = registry.push("tests/overlaid", "1", image)
    assert pull(reference).status == 200
    c = make_container(image=reference, oci=True)
    out = sh(api, c, "ls / /opaque /kept; cat /absolute; stat -c '%a %u:%g' /suid /own; stat -c %h /two; id; echo $HOME; test -c /dev/null && echo dev")["stdout"]
    assert "gone" not in out and "old" not in out and "new" in out, out
    assert "/kept:\nb\nc\n" in out and "6755 12:34\n2770 1000:1001\n2\n" in out, out
    assert "uid=1000(www) gid=1001(www) groups=77(extra)" in out, out
    assert out.endswith("/srv/www\ndev\n"), out
    wait_for(lambda: "up" in [x["message"] for x in api.get(f"/api/containers/{c['container_id']}/logs")["logs"]], what="the command is up")
    r = api.post(f"/api/containers/{c['container_id']}/stop", {"timeout_seconds": 30})
    assert r.status == 200 and r["exit_code"] == 7, r


def test_as_many_layers_as_docker_takes(stack, api, evil, pull, make_container):
    """127, more than fsconfig(2) can be told in one string; each says who is on top, and adds a file. One more is refused."""
    more = [tar(member("top", str(i).encode()), member(f"of-{i}", b"")) for i in range(1, 128)]
    r = refused(stack, pull, evil.serve("tests/layers", "128", Image([busybox_layer(), *more], packing="")), 400, "IMAGE_REFUSED")
    assert "127" in r["error"], r
    reference = evil.serve("tests/layers", "127", Image([busybox_layer(), *more[:126]], packing=""))
    assert pull(reference).status == 200
    c = make_container(image=reference, oci=True, command=["/bin/sh", "-c", "sleep 1000"])
    assert sh(api, c, "cat /top; echo; ls -d /of-* | wc -l; echo written >/top; cat /top; grep -c ' / / ' /proc/self/mountinfo")["stdout"] == "126\n126\nwritten\n1\n"
    stack.kill("runtime")
    assert api.post(f"/api/containers/{c['container_id']}/stop", {"timeout_seconds": 0}).status == 200
    assert api.operation(api.post(f"/api/containers/{c['container_id']}/start"))["status"] == "succeeded"
    assert sh(api, c, "cat /top")["stdout"] == "written\n"


def seen(top):
    """What lies below TOP: type and mode, owner, date, length and contents, where links lead, attributes, and which names are one file."""
    out, files = {}, {}
    for where, dirs, names in os.walk(top):
        for path in (where, *(f"{where}/{n}" for n in names), *(f"{where}/{d}" for d in dirs if os.path.islink(f"{where}/{d}"))):
            s, name = os.lstat(path), os.path.relpath(path, top)
            xattrs = {x: os.getxattr(path, x, follow_symlinks=False) for x in os.listxattr(path, follow_symlinks=False)}
            if stat.S_ISREG(s.st_mode):
                with open(path, "rb") as f:
                    holds = hashlib.sha256(f.read()).hexdigest()
                files.setdefault(s.st_ino, set()).add(name)
            else:
                holds = os.readlink(path) if os.path.islink(path) else None
            out[name] = (oct(s.st_mode), s.st_uid, s.st_gid, s.st_mtime_ns, holds, xattrs)
    return out, sorted(map(sorted, files.values()))


def odd_tree(top):
    """All that tar can say of files and that means something in a container."""
    for d in ("plain", "old", "sticky", "deep/" + "/".join("d" * 60 for _ in range(6)), "n" * 255):
        os.makedirs(f"{top}/{d}")
    for name, holds in (("plain/file", b"x"), ("plain/empty", b""), ("suid", b"s"), ("sgid", b"g"), ("n" * 254, b"long"), ("plain/\u00e4\u4e2d \n\\*", b"name"),
                        ("deep/" + "/".join("d" * 60 for _ in range(6)) + "/end", b"deep"), ("one", b"1"), ("attributes", b"a")):
        with open(f"{top}/{name}", "wb") as f:
            f.write(holds)
    with open(f"{top}/sparse", "wb") as f:
        f.write(b"begin")
        f.seek(1 << 20)
        f.write(b"middle")
        f.truncate(3 << 20)
    os.link(f"{top}/one", f"{top}/plain/two")
    os.link(f"{top}/one", f"{top}/three")
    os.symlink("plain/file", f"{top}/link")
    os.symlink("/nowhere/" + "l" * 200, f"{top}/plain/dangling")
    os.link(f"{top}/link", f"{top}/link-again", follow_symlinks=False)
    os.chown(f"{top}/suid", 65535, 65535)
    os.chown(f"{top}/sgid", 7, 8)
    os.lchown(f"{top}/link", 9, 10)
    os.chmod(f"{top}/suid", 0o4711)
    os.chmod(f"{top}/sgid", 0o2755)
    os.chmod(f"{top}/sticky", 0o1777)
    os.chmod(f"{top}/plain/empty", 0)
    os.setxattr(f"{top}/attributes", "user.text", b"of the file")
    os.setxattr(f"{top}/attributes", "user.bytes", bytes(range(256)))
    os.setxattr(f"{top}/plain", "user.of-a-directory", b"yes")
    for where, dirs, names in os.walk(top, topdown=False):
        for n in (*names, *dirs):
            os.utime(f"{where}/{n}", ns=(10 ** 18, 1234567890 * 10 ** 9 + len(n)), follow_symlinks=False)
    os.utime(f"{top}/old", (0, 0))
    os.utime(top, (10 ** 9, 10 ** 9))


@pytest.mark.parametrize("form", ["pax", "gnu"])
def test_layers_are_unpacked_as_tar_does(stack, evil, pull, tmp_path, form):
    """To the letter, what the tree was that tar packed: pax with attributes and nanoseconds, gnu without."""
    source, back = tmp_path / "source", tmp_path / "back"
    source.mkdir()
    back.mkdir()
    odd_tree(source)
    keep = ["--xattrs", "--xattrs-include=user.*", "--format=pax"] if form == "pax" else ["--format=gnu"]
    data = subprocess.run(["tar", "-C", source, *keep, "-S", "--numeric-owner", "-cf", "-", "."], capture_output=True, check=True).stdout
    subprocess.run(["tar", "-C", back, *keep[:2], "--numeric-owner", "-xpf", "-"], input=data, check=True)
    image = Image([data], packing="")
    assert pull(evil.serve("tests/odd", form, image)).status == 200
    unpacked = f"{stack.pool}/layers/{image.layers[0]['digest'].split(':')[1]}/fs"
    assert seen(unpacked) == seen(back)
    if form == "pax":
        assert seen(unpacked) == seen(source)
    assert os.stat(f"{unpacked}/sparse").st_blocks * 512 < 1 << 20


def test_attributes_that_steer_are_left_out(stack, evil, pull):
    """trusted and security ones, and those of overlays; and what is said twice is as it is said last."""
    attributes = {f"SCHILY.xattr.{name}": "y" for name in ("trusted.overlay.opaque", "trusted.overlay.redirect", "user.overlay.opaque", "security.capability",
                                                           "system.posix_acl_access", "user.mine")}
    image = Image([tar(directory("d", pax_headers=attributes), member("f", b"x", pax_headers=attributes), member("was-a-file", b"x"), directory("was-a-file"),
                       member("was-a-file/in", b"x"), member("twice", b"one"), member("twice", b"two"), member("last", b"x", uid=65535))])
    assert pull(evil.serve("tests/attributes", "1", image)).status == 200
    unpacked = f"{stack.pool}/layers/{image.layers[0]['digest'].split(':')[1]}/fs"
    for name in ("d", "f"):
        assert os.listxattr(f"{unpacked}/{name}") == ["user.mine"], name
    assert open(f"{unpacked}/twice", "rb").read() == b"two" and os.listdir(f"{unpacked}/was-a-file") == ["in"]


def test_without_a_shell(api, registry, pull, make_container):
    with open("/bin/busybox", "rb") as f:
        layer = tar(member("busybox", f.read(), mode=0o755))
    reference = registry.push("tests/bare", "1", Image([layer], packing=""))
    assert pull(reference).status == 200
    c = make_container(image=reference, oci=True)
    assert c["exec_ready"] is True
    r = api.exec(c["container_id"], "/busybox", "echo", "hi")
    assert (r["stdout"], r["exit_code"]) == ("hi\n", 0)
    assert api.exec(c["container_id"], "/bin/sh")["exit_code"] == 127


@pytest.mark.parametrize("docker", [False, True], ids=["oci", "docker"])
def test_index_platforms_digests(stack, api, registry, pull, make_container, docker):
    here = Image([busybox_layer(member("only-here", b"1"))], docker=docker, config={"Cmd": ["/bin/sh", "-c", "exec sleep 1000"]})
    there = Image([tar(member("arm", b"64"))], docker=docker, architecture="arm64")
    for i in (here, there):
        registry.push("tests/multi", "part", i)
    media, text = index(there.descriptor(os="unknown", architecture="unknown"), here.descriptor(os="linux", architecture="amd64"),
                        there.descriptor(os="linux", architecture="arm64", variant="v8"), docker=docker)
    registry.put_manifest("tests/multi", "all", media, text)
    reference = f"{registry.host}/tests/multi:all"
    r = pull(reference)
    assert r["image"]["architecture"] == "amd64" and r["image"]["manifest_digest"] == sha(here.text), r
    with open(f"{stack.pool}/oci/index.json", encoding="ascii") as f:
        entry = next(m for m in json.load(f)["manifests"] if m["annotations"]["org.opencontainers.image.ref.name"] == r["image"]["id"])
    assert (entry["mediaType"], entry["digest"], entry["size"]) == (here.media, sha(here.text), len(here.text)), entry
    c = make_container(image=reference, oci=True)
    assert sh(api, c, "cat /only-here")["stdout"] == "1"
    assert api.delete(f"/api/containers/{c['container_id']}?timeout_ms=0").status == 200
    r = pull(reference, force=True, platform="linux/arm64")
    assert r["image"]["architecture"] == "arm64" and r["image"]["manifest_digest"] == sha(there.text)
    assert here.layers[0]["digest"].split(":")[1] not in layers(stack)  # nothing stood on what it meant before
    r = pull(reference, force=True, platform="linux/s390x")
    assert r.status == 404 and r["error_code"] == "IMAGE_NOT_FOUND", r
    r = pull(reference, platform="windows")
    assert r.status == 400 and r["error_code"] == "VALIDATION_ERROR", r
    by_digest = f"{registry.host}/tests/multi@{sha(here.text)}"
    r = pull(by_digest)
    assert r["image"]["tag"] is None and r["image"]["reference"] == by_digest, r


def test_async_and_cross_tenant_sharing(stack, api, other_api, registry, pull):
    image = Image([busybox_layer(), tar(member("shared", os.urandom(1000)))])
    reference = registry.push("tests/shared", "1", image)
    r = api.post("/api/oci/images/pull?execution=async", {"reference": reference})
    assert r.status == 202 and r["operation_id"], r
    op = api.operation(r)
    assert op["status"] == "succeeded" and op["operation_type"] == "image.pull" and op["target_resource_id"] == reference, op
    assert op["result"]["image"]["reference"] == reference
    before = layers(stack)
    assert pull(reference, client=other_api).status == 200
    assert layers(stack) == before  # one copy of each layer
    assert api.delete(f"/api/oci/images?reference={reference}").status == 200
    assert layers(stack) == before  # which the other one still has
    assert other_api.delete(f"/api/oci/images?reference={reference}").status == 200
    assert len(layers(stack)) < len(before)


def test_private_registry(stack, api, pull):
    registry = Registry(password="s3cret-of-the-registry")
    try:
        reference = registry.push("tests/private", "1", Image([busybox_layer()]))
        for more in ({}, {"registry_username": "quilt", "registry_password": "wrong"}):
            r = pull(reference, **more)
            assert r.status == 403 and r["error_code"] == "REGISTRY_DENIED", r
        r = pull(reference, registry_username="quilt", registry_password=registry.password)
        assert r.status == 200, r
        assert not os.listdir(f"{stack.run}/secrets")
        # Not in what Redis keeps, nor anywhere else below the state directory (the pool is the test's own layers), nor in a log.
        found = subprocess.run(["grep", "-rlF", "--exclude-dir=pool", registry.password, stack.state, stack.run, stack.etc], capture_output=True, check=False)
        assert found.stdout == b"", found.stdout
        for p in ("agent", "api", "runtime"):
            assert registry.password not in stack.log_text(p)
    finally:
        registry.close()


def test_bearer_token(api, evil, pull):
    reference = evil.serve("tests/token", "1", Image([busybox_layer()]))
    plain = dict(evil.routes)

    def guarded(what):
        def answer(handler):
            if handler.headers.get("Authorization") != "Bearer good.token":
                handler.reply(401, {"WWW-Authenticate": f'Bearer realm="http://{evil.host}/token",service="s"'}, b"{}")
            else:
                handler.reply(*((200, {}, what) if isinstance(what, bytes) else what))
        return answer

    evil.routes = {k: guarded(v) for k, v in plain.items()}
    evil.routes["/token"] = json.dumps({"token": "good.token"}).encode()
    assert pull(reference, registry_username="quilt", registry_password="p").status == 200
    asked = [(path, h) for path, h in evil.seen if path.startswith("/token")]
    assert len(asked) == 1 and "scope=repository%3Atests%2Ftoken%3Apull" in asked[0][0] and asked[0][1]["Authorization"].startswith("Basic ")
    # It asks again, whatever it is shown.
    evil.routes["/token"] = json.dumps({"token": "bad"}).encode()
    r = pull(reference, force=True)
    assert r.status == 403 and r["error_code"] == "REGISTRY_DENIED", r


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


def test_tls_with_an_authority_of_our_own(stack, registry, authority, pull):
    """Debian's registry by TLS, with basic authentication and with tokens; a certificate counts only if the operator says whose."""
    registry.push("tests/tls", "1", Image([busybox_layer()]))
    password = "s3cret-of-the-registry"
    basic = Registry(password=password, authority=authority, data=registry.data)
    tokens = Tokens(authority, password)
    bearer = Registry(authority=authority, data=registry.data, tokens=tokens)
    try:
        for r in (basic, bearer):
            answer = pull(f"{r.host}/tests/tls:1", registry_username="quilt", registry_password=password)
            assert answer.status == 502 and answer["error_code"] == "REGISTRY_ERROR" and "certificate" in answer["error"], answer
        shutil.copy(f"{authority.dir}/ca.crt", stack.settings["registry_ca"])
        for r in (basic, bearer):
            for wrong in ({}, {"registry_username": "quilt", "registry_password": "wrong"}):
                answer = pull(f"{r.host}/tests/tls:1", **wrong)
                assert answer.status == 403 and answer["error_code"] == "REGISTRY_DENIED", answer
            assert pull(f"{r.host}/tests/tls:1", registry_username="quilt", registry_password=password).status == 200
        assert tokens.asked and all("scope=repository%3Atests%2Ftls%3Apull" in path and "service=registry" in path for path in tokens.asked), tokens.asked
        # It is no certificate for another name of the same machine.
        answer = pull(f"localhost:{basic.port}/tests/tls:1", registry_username="quilt", registry_password=password)
        assert answer.status == 403 and answer["error_code"] == "REGISTRY_DENIED", answer
    finally:
        if os.path.exists(stack.settings["registry_ca"]):
            os.unlink(stack.settings["registry_ca"])
        for what in (basic, bearer, tokens):
            what.close()


def refused(stack, pull, reference, status, code, **more):
    before, beside = layers(stack) | blobs(stack), on_the_way(stack)
    r = pull(reference, force=True, **more)
    assert r.status == status and r["error_code"] == code, r
    nothing_is_left(stack, before, beside)
    return r


def test_lies(stack, evil, pull):
    """Digests, sizes and documents that are not what they say."""
    image = Image([busybox_layer(), tar(member("top", b"x" * 1000))])
    reference = evil.serve("tests/lies", "1", image)
    good = dict(evil.routes)
    blob = f"/v2/tests/lies/blobs/{image.layers[1]['digest']}"
    config = f"/v2/tests/lies/blobs/{image.manifest['config']['digest']}"
    tag = "/v2/tests/lies/manifests/1"

    def spoiled(**routes):
        evil.routes = {**good, **{p: v for p, v in routes.values()}}
        return reference

    data = good[blob]
    for what in ((blob, bytes(len(data))), (blob, data + b"more"), (config, b"{}" + b" " * (len(good[config]) - 2)),
                 (tag, (200, {"Content-Type": OCI + "manifest.v1+json", "Docker-Content-Digest": sha(b"another")}, image.text)),
                 (tag, (200, {"Content-Type": OCI + "manifest.v1+json"}, b" " * (5 << 20))),
                 (tag, (200, {"Content-Type": OCI + "manifest.v1+json"}, b"not JSON")),
                 (tag, (200, {"Content-Type": OCI + "manifest.v1+json"}, b"[" * 100000))):
        refused(stack, pull, spoiled(it=what), 400, "IMAGE_REFUSED")
    # An index that leads to itself, and one in an index.
    media, text = index({**image.descriptor(os="linux", architecture="amd64"), "digest": "sha256:" + "0" * 64})
    evil.routes = {**good, tag: (200, {"Content-Type": media}, text), "/v2/tests/lies/manifests/sha256:" + "0" * 64: (200, {"Content-Type": media}, text)}
    refused(stack, pull, reference, 400, "IMAGE_REFUSED")
    inner = index(image.descriptor(os="linux", architecture="amd64"))[1]
    media, text = index({"mediaType": media, "digest": sha(inner), "size": len(inner), "platform": {"os": "linux", "architecture": "amd64"}})
    evil.routes = {**good, tag: (200, {"Content-Type": media}, text), f"/v2/tests/lies/manifests/{sha(inner)}": (200, {"Content-Type": media}, inner)}
    refused(stack, pull, reference, 400, "IMAGE_REFUSED")
    # The configuration's diff_ids are others.
    lying = Image([busybox_layer()], diff_ids=[sha(b"another layer")])
    r = refused(stack, pull, evil.serve("tests/lies", "2", lying), 400, "IMAGE_REFUSED")
    assert "diff_id" in r["error"]
    refused(stack, pull, f"{evil.host}/tests/lies:none", 404, "IMAGE_NOT_FOUND")


@pytest.mark.parametrize("members, said", [
    ([member("../out", b"x")], ".."),
    ([member("a/../../out", b"x")], ".."),
    ([member("sda", kind=tarfile.BLKTYPE, devmajor=8, devminor=0)], "device"),
    ([member("whiteout", kind=tarfile.CHRTYPE)], "device"),
    ([member("fifo", kind=tarfile.FIFOTYPE)], "fifo"),
    ([symlink("link", "/etc"), member("link/passwd", b"x")], "below a link"),
    ([member("hard", kind=tarfile.LNKTYPE, link="/etc/shadow")], "hard link"),
    ([member("hard", kind=tarfile.LNKTYPE, link="../../etc/shadow")], ".."),
    ([member("owner", b"x", uid=4294967295)], "owner"),
    ([member("owner", b"x", uid=65536)], "owner"),
    ([member("owner", b"x", gid=65536)], "owner"),
    ([member("n" * 256, b"x")], "long"),
    ([directory("d"), member("d", b"x")], "directory at first"),
    ([directory("d"), symlink("d", "/etc")], "directory at first"),
    ([member("f", b"x", pax_headers={"SCHILY.xattr.user.big": "x" * 70000})], "attribute"),
    ([member("a/.wh...")], "hides nothing"),
])
def test_layers_that_attack(stack, evil, pull, members, said):
    r = refused(stack, pull, evil.serve("tests/attack", "1", Image([busybox_layer(), tar(*members)])), 400, "IMAGE_REFUSED")
    assert said in r["error"], r


def test_bombs_and_junk(stack, evil, pull):
    bomb = tar(member("zeros", bytes(80 << 20)))
    for image in (Image([bomb]), Image([b"this is no tar" * 100]), Image([busybox_layer()[:5000]]), Image([b""], packing="")):
        refused(stack, pull, evil.serve("tests/bomb", "1", image), 400, "IMAGE_REFUSED")


def test_a_registry_that_fails(stack, evil, pull):
    image = Image([fresh_layer()])
    reference = evil.serve("tests/fails", "1", image)
    blob = f"/v2/tests/fails/blobs/{image.layers[0]['digest']}"
    data, tries = evil.routes[blob], []

    # It breaks off twice; what came is not asked for again.
    def breaks_off(handler):
        at = int((handler.headers.get("Range") or "bytes=0-").split("=")[1].split("-")[0])
        tries.append(at)
        part = data[at:] if len(tries) > 2 else data[at:at + 100000]
        handler.send_response(206 if at else 200)
        if at:
            handler.send_header("Content-Range", f"bytes {at}-{len(data) - 1}/{len(data)}")
        handler.send_header("Content-Length", str(len(data) - at))
        handler.end_headers()
        handler.wfile.write(part)
        handler.wfile.flush()
        handler.close_connection = True

    evil.routes[blob] = breaks_off
    assert pull(reference).status == 200
    assert tries == [0, 100000, 200000]

    def stalls(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b"{")
        handler.wfile.flush()
        evil.released.wait(120)

    tag = "/v2/tests/fails/manifests/1"
    good = evil.routes[tag]
    evil.routes[tag] = (503, {}, b"busy")
    refused(stack, pull, reference, 502, "REGISTRY_ERROR")
    evil.routes[tag] = stalls
    r = refused(stack, pull, reference, 502, "REGISTRY_ERROR")
    assert "stopped sending" in r["error"], r
    evil.routes[tag] = good


def test_a_registry_that_stalls_in_a_layer(stack, evil, pull):
    """It is asked once more for what is missing; if it stalls again, it has failed."""
    image = Image([fresh_layer()])
    reference = evil.serve("tests/stalls", "1", image)
    blob = f"/v2/tests/stalls/blobs/{image.layers[0]['digest']}"
    data, tries, more = evil.routes[blob], [], []

    def stalls(handler):
        at = int((handler.headers.get("Range") or "bytes=0-").split("=")[1].split("-")[0])
        tries.append(at)
        handler.send_response(206 if at else 200)
        if at:
            handler.send_header("Content-Range", f"bytes {at}-{len(data) - 1}/{len(data)}")
        handler.send_header("Content-Length", str(len(data) - at))
        handler.end_headers()
        handler.close_connection = True
        part = data[at:] if len(tries) > 1 and more else data[at:at + 100000]
        handler.wfile.write(part)
        handler.wfile.flush()
        if at + len(part) < len(data):
            handler.connection.recv(1)  # until it hangs up

    evil.routes[blob] = stalls
    r = refused(stack, pull, reference, 502, "REGISTRY_ERROR")
    assert "stopped sending" in r["error"] and tries == [0, 100000], (r, tries)
    del tries[:]
    more.append(1)
    assert pull(reference).status == 200 and tries == [0, 100000]


class Held:
    """A registry that sends a layer's first bytes, and the rest when it is let go; before that a byte now and then, so that it does not stall."""

    def __init__(self, evil, image, repository, first):
        self.first, self.now, self.most, self.began = first, 0, 0, 0
        self.lock, self.go = threading.Lock(), threading.Semaphore(0)
        for layer in image.layers:
            path = f"/v2/{repository}/blobs/{layer['digest']}"
            evil.routes[path] = self.route(evil.routes[path])

    def route(self, data):
        def answer(handler):
            with self.lock:
                self.now += 1
                self.began += 1
                self.most = max(self.most, self.now)
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(data)))
            handler.end_headers()
            sent = int(len(data) * self.first)
            handler.wfile.write(data[:sent])
            while not self.go.acquire(timeout=0.2):
                handler.wfile.write(data[sent:sent + 1])
                sent += 1
            with self.lock:
                self.now -= 1
            handler.wfile.write(data[sent:])
        return answer


def test_layers_are_fetched_in_parallel(api, evil, pull):
    """Three at once, and never more: another one begins when one is whole."""
    image = Image([busybox_layer(), *(tar(member(f"layer-{i}", os.urandom(3000))) for i in range(7))], packing="")
    reference = evil.serve("tests/parallel", "1", image)
    held = Held(evil, image, "tests/parallel", 0.5)
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(pull(reference)))
    waiting.start()
    for n in range(len(image.layers)):
        wait_for(lambda: (held.began, held.now) == (min(n + 3, len(image.layers)), min(3, len(image.layers) - n)), what=f"layers under way when {n} are whole")
        held.go.release()
    waiting.join(60)
    assert answers[0].status == 200 and held.most == 3 and held.began == len(image.layers), (answers, held.most)


def test_progress_of_a_pull(api, evil, pull):
    """Fetching is six tenths of it: first a half of the bytes is there, then one layer and a half of another that is as large."""
    image = Image([tar(member("first", os.urandom(500000))), tar(member("second", os.urandom(500000)))], packing="")
    reference = evil.serve("tests/progress", "1", image)
    held = Held(evil, image, "tests/progress", 0.5)
    receipt = api.post("/api/oci/images/pull?execution=async", {"reference": reference})
    assert receipt.status == 202, receipt

    def at(low, high):
        op = api.get(receipt["status_url"]).json
        return op if op["status"] == "running" and low <= op["progress_pct"] <= high else None

    op = wait_for(lambda: at(25, 30), what="a half of all bytes")
    assert op["message"] == "fetching", op
    held.go.release()
    wait_for(lambda: at(40, 46), what="three quarters of them")
    held.go.release()
    end = api.operation(receipt)
    assert (end["status"], end["progress_pct"]) == ("succeeded", 100) and end["result"]["image"]["reference"] == reference, end
    assert pull(reference).status == 200  # it is there; deleted after the test


def test_addresses_inside(stack, evil, pull):
    """Only what registry_allow lists is connected to, whoever says so; and credentials go nowhere else."""
    inside = Evil("127.0.0.2")
    try:
        image = Image([fresh_layer()])
        inside_reference = inside.serve("tests/inside", "1", image)
        for reference in (inside_reference, "localhost:1/a/b", "169.254.169.254/a/b", "10.0.0.1:5000/a/b"):
            refused(stack, pull, reference, 403, "REGISTRY_DENIED")
        reference = evil.serve("tests/redirect", "1", image)
        blob = f"/v2/tests/redirect/blobs/{image.layers[0]['digest']}"
        data = evil.routes[blob]
        for where in (f"http://{inside.host}/x", f"https://{inside.host}/x", "file:///etc/passwd", "http://user:pw@127.0.0.1/"):
            evil.routes[blob] = (307, {"Location": where}, b"")
            refused(stack, pull, reference, 403, "REGISTRY_DENIED")
        assert inside.seen == []
        evil.routes[blob] = (302, {"Location": f"http://{evil.host}{blob}"}, b"")
        refused(stack, pull, reference, 502, "REGISTRY_ERROR")
        # A redirect elsewhere that is allowed is followed, without the registry's credentials.
        third = Evil()
        third.routes["/data"] = data
        evil.routes[blob] = (307, {"Location": f"http://{third.host}/data?signed"}, b"")
        first = evil.routes["/v2/tests/redirect/manifests/1"]

        def guarded(handler):
            if not handler.headers.get("Authorization"):
                handler.reply(401, {"WWW-Authenticate": "Basic realm=x"}, b"")
            else:
                handler.reply(*first)

        evil.routes["/v2/tests/redirect/manifests/1"] = guarded
        assert pull(reference, registry_username="quilt", registry_password="p").status == 200
        assert third.seen and all("Authorization" not in h for _, h in third.seen)
        third.close()
    finally:
        inside.close()


def test_malformed_references(api, pull):
    for reference in ("", "UPPER", "a//b", "a:", "a:b:c", "a@sha256:12", "-a", "a/b/../c", "http://a/b", "a b", "x" * 256, "reg:0/a", "reg:99999/a"):
        r = pull(reference)
        assert r.status in (400, 422) and r["error_code"] in ("VALIDATION_ERROR", "UNPROCESSABLE_ENTITY"), (reference, r)
    assert api.post("/api/oci/images/pull", {"reference": "a", "platform": "x"}).status == 400
    assert api.post("/api/oci/images/pull", {}).status == 422


def test_a_pull_is_cancelled(stack, api, evil, pull):
    image = Image([busybox_layer(), tar(member("second", os.urandom(5000)))])
    reference = evil.serve("tests/cut", "1", image)
    before, beside, first = layers(stack) | blobs(stack), on_the_way(stack), []

    def hangs(handler):
        first.append(1)
        evil.released.wait(60)

    evil.routes[f"/v2/tests/cut/blobs/{image.layers[1]['digest']}"] = hangs
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(api.post("/api/oci/images/pull", {"reference": reference})))
    waiting.start()
    wait_for(lambda: first, what="the pull is under way")
    op = next(o for o in api.get("/api/operations?status=running")["operations"] if o["target_resource_id"] == reference)
    assert api.delete(f"/api/operations/{op['operation_id']}").status == 202
    waiting.join(60)
    assert answers[0].status == 409 and answers[0]["error_code"] == "CONFLICT", answers
    assert api.get(f"/api/operations/{op['operation_id']}")["status"] == "cancelled"
    nothing_is_left(stack, before, beside)


def test_a_pull_outlives_redis_for_longer_than_its_lease(stack, api, evil, pull):
    """It needs no Redis to fetch. When that is back, its agent finds an operation that nobody has any more, and it is its own."""
    image = Image([tar(member("held", os.urandom(3000)))], packing="")
    reference = evil.serve("tests/lease", "1", image)
    held, before = Held(evil, image, "tests/lease", 0.5), on_the_way(stack)
    receipt = api.post("/api/oci/images/pull?execution=async", {"reference": reference})
    wait_for(lambda: held.began, what="the pull is under way")
    stack.stop("redis")
    over = time.monotonic() + 9  # a lease is 8 s, and there is nothing that could renew it
    wait_for(lambda: time.monotonic() > over, what="the lease is over")
    stack.start("redis")
    # What comes next is taken after what nobody has.
    assert api.operation(api.post("/api/oci/images/pull?execution=async", {"reference": "127.0.0.1:1/nothing:1"}))["status"] == "failed"
    assert stack.redis("HGET", f"quilt:{{{api.tenant_id}}}:op:{receipt['operation_id']}", "attempts") == "1"
    assert held.began == 1
    held.go.release()
    op = api.operation(receipt)
    assert op["status"] == "succeeded" and op["result"]["image"]["reference"] == reference, op
    wait_for(lambda: not on_the_way(stack) - before, what="its directory is gone")
    assert pull(reference).status == 200  # deleted after the test


def test_a_pull_in_other_hands_is_let_go(stack, api, evil, pull):
    """Its executor ends when it hears that a newer claim counts, and leaves the directory to that; when there is none, it takes it away."""
    image = Image([tar(member("held", os.urandom(3000)))], packing="")
    reference = evil.serve("tests/hands", "1", image)
    held = Held(evil, image, "tests/hands", 0.5)

    def let_go(*command):
        began = held.began
        receipt = api.post("/api/oci/images/pull?execution=async", {"reference": reference})
        key = f"quilt:{{{api.tenant_id}}}:op:{receipt['operation_id']}"
        wait_for(lambda: held.began > began, what="the pull is under way")
        stack.redis(command[0], key, *command[1:])
        wait_for(lambda: f"{receipt['operation_id']} is put off" in stack.log_text("agent"), what="the executor has heard")
        return receipt, key

    receipt, _ = let_go("DEL")
    assert receipt["operation_id"] not in on_the_way(stack)
    receipt, key = let_go("HINCRBY", "token", "1")
    assert receipt["operation_id"] in on_the_way(stack)
    wait_for(lambda: held.began == 3, what="it is taken up when the lease is over")
    held.go.release()
    assert api.operation(receipt)["status"] == "succeeded"
    assert stack.redis("HGET", key, "attempts") == "2"
    wait_for(lambda: receipt["operation_id"] not in on_the_way(stack), what="its directory is gone")
    assert pull(reference).status == 200  # deleted after the test


def test_credentials_go_with_a_pull_that_nobody_began(stack, api):
    """By whoever ends it; where that was somebody else, or a worker that died behind it, by the agent when it comes."""
    secrets, body = f"{stack.run}/secrets", {"reference": "127.0.0.1:1/nothing:1", "registry_username": "quilt", "registry_password": "s3cret"}
    stack.stop("agent")
    try:
        ops = [api.post("/api/oci/images/pull?execution=async", body) for _ in range(2)]
        assert {r.status for r in ops} == {202}, ops
        names = [f"{api.tenant_id}.{r['operation_id']}" for r in ops]
        assert sorted(os.listdir(secrets)) == sorted(names)
        r = api.delete(ops[0]["status_url"])
        assert r.status == 200 and r["status"] == "cancelled", r
        assert os.listdir(secrets) == names[1:]
        stack.redis("HSET", f"quilt:{{{api.tenant_id}}}:op:{ops[1]['operation_id']}", "status", "timed_out")
    finally:
        stack.start("agent")
    wait_for(lambda: not os.listdir(secrets), what="the agent has swept")


def test_a_pull_outlives_the_agent(orphan):
    api, reference, receipt = orphan
    op = api.operation(receipt)
    assert op["status"] == "succeeded" and op["result"]["image"]["reference"] == reference, op
    assert api.delete(f"/api/oci/images?reference={reference}").status == 200


def test_a_fetcher_without_its_agent_fetches_nothing(stack, evil, tmp_path):
    """The agent died before the fetcher was tied to its life: the next one has the directory by now."""
    reference = evil.serve("tests/alone", "1", Image([busybox_layer()]))
    request = {"reference": reference, "platform": "linux/amd64", "allow": f"http://{evil.host}", "max_bytes": 1 << 30, "stall_s": 10, "have": []}

    def fetch(stdout):
        return subprocess.run(f"{stack.prefix}/libexec/quilt/quilt-pull", input=json.dumps(request).encode(), stdout=stdout, cwd=tmp_path, check=False)

    out, nobody = os.pipe()
    os.close(out)
    assert fetch(nobody).returncode == 1
    os.close(nobody)
    assert evil.seen == [] and os.listdir(tmp_path) == []
    assert fetch(subprocess.PIPE).returncode == 0  # that is all that was wrong
    assert "manifest" in os.listdir(tmp_path)


def test_quota(stack, make_tenant, registry):
    client = make_tenant("image-quota")
    assert stack.ctl("tenant", "quota", client.tenant_id, "--set", "images=1").returncode == 0
    one, two = (registry.push("tests/quota", tag, Image([tar(member(tag, b"x"))])) for tag in ("one", "two"))
    assert client.post("/api/oci/images/pull", {"reference": one}).status == 200
    r = client.post("/api/oci/images/pull", {"reference": two})
    assert r.status == 429 and r["error_code"] == "QUOTA_EXCEEDED" and r["details"]["quota"] == "images", r
    assert client.delete(f"/api/oci/images?reference={one}").status == 200
    assert client.post("/api/oci/images/pull", {"reference": two}).status == 200
