"""Managed images: made by `quiltctl image build`, compared with what was made by `quiltctl image verify`; their versions, and the store that pulled images share."""
import json
import os
import re
import shutil
import struct
import subprocess

import pytest

from harness.fixtures import fresh_name
from harness.oci import OCI, Registry, member, tar
from harness.stack import TOP, image_conf, image_root
from harness.wait import wait_for
from test_build import built, logs, upload


@pytest.fixture
def quiltctl(stack, tmp_path):
    """quiltctl with a pool and a cache of this test's own: the stack's images are everybody's."""
    pool, conf = tmp_path / "pool", tmp_path / "quilt.conf"
    pool.mkdir()
    conf.write_text(f"pool_dir = {pool}\n")

    def run(*args, cache="cache"):
        return subprocess.run([f"{stack.prefix}/bin/quiltctl", "-c", str(conf), "image", *args], env={**os.environ, "QUILT_IMAGE_CACHE": str(tmp_path / cache)},
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    run.pool = pool
    return run


def conf_of(pool):
    return dict(image_conf(pool, "busybox"))


def version(pool, name="busybox"):
    return os.readlink(f"{pool}/images/{name}")


def test_equal_packages_give_equal_images(quiltctl, stack):
    """Twice from nothing, and once more over what is there: to the byte the same; and the same as the stack's, which was made some other day."""
    assert quiltctl("build", "busybox").returncode == 0
    first = image_conf(quiltctl.pool, "busybox")
    assert quiltctl("build", "--fresh", "busybox", cache="another").returncode == 0
    assert sorted(os.listdir(quiltctl.pool / "images")) == ["busybox", version(quiltctl.pool)]  # nothing moved aside: it is the same
    assert len(os.listdir(quiltctl.pool / "oci/blobs/sha256")) == 3 and len(os.listdir(quiltctl.pool / "layers")) == 1
    for what in ("images", "layers", "oci"):
        shutil.rmtree(quiltctl.pool / what)
    assert quiltctl("build", "busybox", cache="another").returncode == 0
    assert image_conf(quiltctl.pool, "busybox") == first
    assert version(quiltctl.pool) == version(stack.pool) == "busybox@" + dict(first)["digest"].split(":")[1]
    assert [v for k, v in first if k == "require"] == ["/bin/sh", "/bin/cat", "/bin/base64", "/usr/bin/env"]


def test_others_read_the_layout(quiltctl, tmp_path):
    """skopeo, which checks each digest when it copies; and what it unpacks is what lies in the pool."""
    assert quiltctl("build", "busybox").returncode == 0
    conf, layout = conf_of(quiltctl.pool), f"oci:{quiltctl.pool}/oci:busybox"
    seen = json.loads(subprocess.run(["skopeo", "inspect", layout], check=True, capture_output=True).stdout)
    assert seen["Digest"] == conf["digest"] and seen["Layers"] == ["sha256:" + conf["layer"]] and seen["Os"] == "linux", seen
    assert f"version = {conf['version']}\n" in seen["Labels"]["io.quilt.image"] and "require = /bin/sh\n" in seen["Labels"]["io.quilt.image"]
    subprocess.run(["skopeo", "copy", "-q", layout, f"dir:{tmp_path}/copy"], check=True, capture_output=True)
    (tmp_path / "fs").mkdir()
    subprocess.run(["tar", "-C", f"{tmp_path}/fs", "--zstd", "-xpf", f"{tmp_path}/copy/{conf['layer']}"], check=True)
    subprocess.run(["diff", "-r", "--no-dereference", f"{tmp_path}/fs", image_root(quiltctl.pool, "busybox")], check=True)


def test_verify_names_what_is_not_as_it_was_made(quiltctl):
    assert quiltctl("build", "busybox").returncode == 0
    root, conf = image_root(quiltctl.pool, "busybox"), conf_of(quiltctl.pool)
    r = quiltctl("verify")
    assert r.returncode == 0 and r.stdout == f"busybox: {conf['version']}, {conf['digest']}, whole\n", r
    with open(f"{root}/etc/hosts", "r+", encoding="ascii") as f:  # as long as before, and as old
        f.write("6")
    os.utime(f"{root}/etc/hosts", (1735689600, 1735689600))
    os.chmod(f"{root}/etc/group", 0o666)
    os.unlink(f"{root}/usr/bin/vi")
    with open(f"{root}/srv/n\new", "w", encoding="ascii"):
        pass
    r = quiltctl("verify", "busybox")
    said = {tuple(line.split()) for line in r.stdout.splitlines()}
    assert r.returncode == 1 and said == {("busybox:", what, path) for what, path in (
        ("changed", "/etc/hosts"), ("changed", "/etc/group"), ("missing", "/usr/bin/vi"), ("changed", "/usr/bin"), ("added", "/srv/n?ew"), ("changed", "/srv"))}, r
    # Made anew, it is whole; the spoilt tree moved aside, for who stands on it.
    assert quiltctl("build", "--fresh", "busybox").returncode == 0 and quiltctl("verify").returncode == 0
    assert sorted(n.split(".")[:3] for n in os.listdir(quiltctl.pool / "images")) == [["", "old", "busybox"], ["busybox"], [version(quiltctl.pool)]]


@pytest.mark.parametrize("what, said", [
    ("layers/{layer}/list", "its list of files is not the one of its digest"),
    ("oci/blobs/sha256/{layer}", "its packed layer is not the one of its manifest"),
    ("oci/blobs/sha256/{config}", "its configuration is not the one of its manifest"),
    ("oci/blobs/sha256/{manifest}", "its manifest is not the one of its digest"),
    ("images/busybox/image.conf", "image.conf is not what its configuration says"),
])
def test_verify_believes_nothing_but_the_digest(quiltctl, what, said):
    """Each of its parts, spoilt: it is told, and made whole again by a build."""
    assert quiltctl("build", "busybox").returncode == 0
    conf = conf_of(quiltctl.pool)
    path = quiltctl.pool / what.format(manifest=conf["digest"].split(":")[1], **conf)
    with open(path, "ab") as f:
        f.write(b"./x\t\0")
    r = quiltctl("verify", "busybox")
    assert r.returncode == 1 and said in r.stderr, r
    assert quiltctl("build", "--fresh", "busybox").returncode == 0
    assert quiltctl("verify").returncode == 0


def test_a_cache_that_lies(quiltctl, tmp_path):
    assert quiltctl("build", "busybox").returncode == 0
    conf = conf_of(quiltctl.pool)
    for what in ("images", "layers", "oci"):
        shutil.rmtree(quiltctl.pool / what)
    layout = next((tmp_path / "cache").glob("busybox-*"))
    with open(layout / "blobs" / "sha256" / conf["layer"], "r+b") as f:
        f.seek(1000)
        f.write(b"x")
    r = quiltctl("build", "busybox")
    assert r.returncode == 1 and "is not what it says" in r.stderr, r
    assert os.listdir(quiltctl.pool / "images") == [] and os.listdir(quiltctl.pool / "layers") == []


def test_what_is_not_there(quiltctl):
    for args, status, said in (
            (("verify",), 1, "no managed images"), (("verify", "nothing"), 1, "no such image"), (("build", "nothing"), 1, "There are: busybox prod"),
            (("build", "../stack"), 1, "no image"), (("build", "--", "--help"), 1, "no image"), (("build",), 2, "NAME..."), (("build", "--pool", "/"), 2, "no option")):
        r = quiltctl(*args)
        assert r.returncode == status and said in r.stderr, (args, r)
    assert os.listdir(quiltctl.pool) == []


# --- in the stack's pool ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def recipe(stack, tmp_path):
    """recipe(CONTENT) -> (re)makes an image of this test's own, busybox with a file /which, in the stack's pool; its version. In the end it is gone."""
    name = fresh_name("own")
    shutil.copytree(f"{TOP}/scripts", tmp_path / "scripts")
    before = {d: set(os.listdir(f"{stack.pool}/{d}")) for d in ("images", "layers", "oci/blobs/sha256")}

    def make(content):
        with open(tmp_path / "scripts/images/busybox", encoding="ascii") as f:
            text = f.read().replace("build() {", "build() { echo " + content + ' >"$1/which";')
        (tmp_path / "scripts/images" / name).write_text(text)
        subprocess.run([tmp_path / "scripts/image-build", "--fresh", name, "--pool", stack.pool], env={**os.environ, "QUILT_IMAGE_CACHE": str(tmp_path / "cache")},
                       check=True, capture_output=True)
        return version(stack.pool, name)

    make.name = name
    yield make
    os.unlink(f"{stack.pool}/images/{name}")
    stack.restart("runtime")
    assert {d: set(os.listdir(f"{stack.pool}/{d}")) for d in before} == before


def parts(stack, which):
    """What of a version is there."""
    conf = {}
    try:
        conf = dict(image_conf(stack.pool, which))
    except FileNotFoundError:
        return set()
    assert os.listdir(f"{stack.pool}/layers/{conf['layer']}/fs")
    paths = {f"images/{which}", f"layers/{conf['layer']}"} | {f"oci/blobs/sha256/{h}" for h in (conf["layer"], conf["config"], which.split("@")[1])}
    assert all(os.path.exists(f"{stack.pool}/{p}") for p in paths)
    return paths


def test_the_list(stack):
    conf = conf_of(stack.pool)
    assert [conf[k] for k in ("name", "version", "digest", "kind", "size_bytes")] in [line.split() for line in stack.ctl("image", "list").stdout.splitlines()]


def test_versions_stay_while_something_stands_on_them(api, stack, recipe):
    """A container, its snapshot and their copies keep the version that the container was made of; the last one takes it along, and nothing that another needs."""
    def which(c):
        return api.exec(c, "cat", "/which")["stdout"]

    def create():
        r = api.post("/api/containers", {"name": fresh_name(), "image": recipe.name})
        assert r.status == 201, r
        return r["container_id"]

    def copied(r):
        assert api.operation(r)["status"] == "succeeded"
        return r["container_id"]

    def delete(c):
        assert api.delete(f"/api/containers/{c}?timeout_ms=0").status == 200

    one = recipe("one")
    first = create()
    snapshot = api.post(f"/api/containers/{first}/snapshot")
    assert api.operation(snapshot)["status"] == "succeeded"
    files = parts(stack, one)
    two = recipe("two")
    assert two != one and parts(stack, one) == files
    second = create()
    fork = copied(api.post(f"/api/containers/{first}/fork", {"resume_policy": "immediate"}))
    clone = copied(api.post(f"/api/snapshots/{snapshot['snapshot_id']}/clone", {"resume_policy": "immediate"}))
    assert [which(c) for c in (first, second, fork, clone)] == ["one\n", "two\n", "one\n", "one\n"]
    # Also when it starts again, and after its runtime did.
    stack.restart("runtime")
    assert api.post(f"/api/containers/{first}/stop", {"timeout_seconds": 0}).status == 200
    assert api.operation(api.post(f"/api/containers/{first}/start"))["status"] == "succeeded"
    assert which(first) == "one\n" and api.get(f"/api/containers/{first}/ready")["checks"]["managed_image_valid"] is True
    for c in (first, fork, clone):
        delete(c)
    assert parts(stack, one) == files  # which the snapshot stands on
    assert api.delete(f"/api/snapshots/{snapshot['snapshot_id']}").status == 200
    wait_for(lambda: not parts(stack, one), what="the version that nothing stands on is gone")
    assert not [p for p in files - parts(stack, two) if os.path.exists(f"{stack.pool}/{p}")]
    assert which(second) == "two\n"
    delete(second)
    assert parts(stack, two)  # which the tag means


def test_a_version_that_is_put_there_is_not_swept(api, stack, recipe):
    """The runtime waits for whoever has the lock, and sweeps then."""
    one = recipe("one")
    c = api.post("/api/containers", {"name": fresh_name(), "image": recipe.name})["container_id"]
    recipe("two")
    with subprocess.Popen(["flock", f"{stack.pool}/images", "sh", "-c", "echo locked; read -r _"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as lock:
        assert lock.stdout.readline() == "locked\n"
        assert api.delete(f"/api/containers/{c}?timeout_ms=0").status == 200
        os.mkdir(f"{stack.pool}/layers/.new.test")
        assert parts(stack, one)
        lock.communicate("\n")
    wait_for(lambda: not parts(stack, one) and not os.path.exists(f"{stack.pool}/layers/.new.test"), what="what nobody needs is gone")


@pytest.fixture
def builder(api, stack, recipe):
    """builder(DOCKERFILE) -> the receipt of a build. builder.gone(): the images, and what the cache has of them, as if nobody had used it for long; in the end, too."""
    objects, names = f"{stack.state}/objects", []
    before = set(os.listdir(objects))

    def build(dockerfile):
        names.append(f"example.org/{fresh_name('on')}:1")
        context = upload(api, tar(member("Dockerfile", dockerfile.encode())))["context_id"]
        return api.post("/api/oci/images/build", {"context_id": context, "image_reference": names[-1], "memory_limit_mb": 64})

    def gone():
        for name in names:
            assert api.delete(f"/api/oci/images?reference={name}").status in (200, 404)
        stack.stop("runtime")
        for name in set(os.listdir(objects)) - before:
            with open(f"{objects}/{name}", "r+b") as f:
                head, body = f.read(8), re.sub(rb'"used_ms":\d{13}', b'"used_ms":1000000000000', f.read()[8:])
                sums = 0xcbf29ce484222325  # as keep.c has it
                for byte in body:
                    sums = (sums ^ byte) * 0x100000001b3 & 0xffffffffffffffff
                f.seek(0)
                f.write(head + struct.pack("<Q", sums) + body)
        stack.start("runtime")
        wait_for(lambda: set(os.listdir(objects)) <= before, what="steps that nobody uses are gone")

    build.gone = gone
    yield build
    gone()


def test_what_was_built_keeps_its_layer(api, stack, recipe, builder):
    """A built image stands on the version that was there when it was built, and on nothing that goes with the version."""
    def says(op, expected):
        c = api.post("/api/containers", {"name": fresh_name(), "image": built(op)["reference"], "oci": True, "command": ["/bin/sleep", "600"]})
        assert c.status == 201 and api.exec(c["container_id"], "cat", "/which", "/seen")["stdout"] == expected, c
        assert api.delete(f"/api/containers/{c['container_id']}?timeout_ms=0").status == 200

    text = f"FROM {recipe.name}\nRUN cat /which >/seen\n"
    one = recipe("one")
    conf, files = dict(image_conf(stack.pool, one)), parts(stack, one)
    first = api.operation(builder(text))
    says(first, "one\none\n")
    two = recipe("two")
    stack.restart("runtime")  # it sweeps
    left = {p for p in files - parts(stack, two) if os.path.exists(f"{stack.pool}/{p}")}
    assert left == {f"layers/{conf['layer']}"} | {f"oci/blobs/sha256/{h}" for h in (conf["config"], one.split("@")[1])}, "the version is gone, and its packed layer"
    says(first, "one\none\n")
    second = api.operation(builder(text))
    assert second["result"]["cached_steps"] == 0
    says(second, "two\ntwo\n")
    says(first, "one\none\n")
    assert api.delete(f"/api/oci/images?reference={built(first)['reference']}").status == 200
    assert os.path.exists(f"{stack.pool}/layers/{conf['layer']}")  # which the cache stands on
    builder.gone()
    wait_for(lambda: not [p for p in left if os.path.exists(f"{stack.pool}/{p}")], what="what nobody stands on is gone")
    assert parts(stack, two)


def test_a_version_that_goes_before_the_build_has_it(api, stack, recipe, builder, tmp_path):
    """What was listed is not whole any more when it is named: the build looks again."""
    recipe("one")
    config = f"{stack.pool}/oci/blobs/sha256/{dict(image_conf(stack.pool, recipe.name))['config']}"
    shutil.move(config, tmp_path / "config")
    r = builder(f"FROM {recipe.name}\nRUN cat /which\n")
    wait_for(lambda: logs(api, r["operation_id"])[1].count("the managed image") > 1, what="the build has begun anew")
    shutil.move(tmp_path / "config", config)
    assert built(api.operation(r)) and "one\n" in logs(api, r["operation_id"])[1]


class Copied:
    """An image of the pool, as it lies in its layout."""

    def __init__(self, pool, name):
        blobs, conf = f"{pool}/oci/blobs/sha256", dict(image_conf(pool, name))
        self.media = OCI + "manifest.v1+json"
        self.blobs = {}
        for digest in (conf["config"], conf["layer"]):
            with open(f"{blobs}/{digest}", "rb") as f:
                self.blobs["sha256:" + digest] = f.read()
        with open(f"{blobs}/{conf['digest'].split(':')[1]}", "rb") as f:
            self.text = f.read()


def test_one_store_for_managed_and_pulled_images(api, stack):
    """busybox, pushed to a registry and pulled from there: its layer is there once, and stays when the pulled image goes."""
    registry = Registry()
    try:
        reference = registry.push("tests/busybox", "1", Copied(stack.pool, "busybox"))
        before = set(os.listdir(f"{stack.pool}/layers"))
        r = api.post("/api/oci/images/pull", {"reference": reference})
        assert r.status == 200 and r["image"]["manifest_digest"] == conf_of(stack.pool)["digest"], r
        assert set(os.listdir(f"{stack.pool}/layers")) == before
        c = api.post("/api/containers", {"name": fresh_name(), "image": reference, "oci": True, "command": ["/bin/sleep", "600"]})
        assert c.status == 201 and api.exec(c["container_id"], "cat", "/etc/group")["stdout"].startswith("root:"), c
        assert api.delete(f"/api/containers/{c['container_id']}?timeout_ms=0").status == 200
        assert api.delete(f"/api/oci/images?reference={reference}").status == 200
        assert set(os.listdir(f"{stack.pool}/layers")) == before
    finally:
        registry.close()


def test_images_of_an_older_quiltd(quiltctl):
    """They were directories with rootfs in them: a build puts a version in their place, and keeps them for who runs on them."""
    old = quiltctl.pool / "images" / "busybox"
    (old / "rootfs").mkdir(parents=True)
    (old / "image.conf").write_text("name = busybox\nversion = 1\nkind = managed\n")
    r = quiltctl("verify", "busybox")
    assert r.returncode == 1 and "older" in r.stderr, r
    assert quiltctl("build", "busybox").returncode == 0 and quiltctl("verify").returncode == 0
    assert sorted(n.split(".")[:3] for n in os.listdir(quiltctl.pool / "images")) == [["", "old", "busybox"], ["busybox"], [version(quiltctl.pool)]]


@pytest.mark.prod
def test_prod_knows_whom_to_trust(make_container, api):
    """ca-certificates, to the programs that ask."""
    c = make_container(image="prod", memory_limit_mb=128)["container_id"]
    known = api.exec(c, "python3", "-c", "import ssl; print(len(ssl.create_default_context().get_ca_certs()))")
    assert int(known["stdout"]) > 100, known
    assert api.exec(c, "curl", "-sS", "--cacert", "/etc/ssl/certs/ca-certificates.crt", "https://127.0.0.1:1/")["exit_code"] == 7  # refused, and not 77: no such file
