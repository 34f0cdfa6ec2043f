"""Managed images: made by `quiltctl image build`, compared with what was made by `quiltctl image verify`."""
import os
import shutil
import subprocess

import pytest


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


def conf_of(pool, name="busybox"):
    with open(pool / "images" / name / "image.conf", encoding="ascii") as f:
        return [line.rstrip("\n").split(" = ") for line in f if not line.startswith("#")]


def test_equal_packages_give_equal_images(quiltctl, stack):
    """Twice from nothing, and once more over what is there: to the byte the same; and the same as the stack's, which was made some other day."""
    assert quiltctl("build", "busybox").returncode == 0
    first = conf_of(quiltctl.pool)
    assert quiltctl("build", "--fresh", "busybox", cache="another").returncode == 0
    assert os.listdir(quiltctl.pool / "images") == ["busybox"]  # nothing moved aside: it is the same
    shutil.rmtree(quiltctl.pool / "images" / "busybox")
    assert quiltctl("build", "busybox", cache="another").returncode == 0
    assert conf_of(quiltctl.pool) == first
    with open(f"{stack.pool}/images/busybox/image.conf", encoding="ascii") as f:
        assert f"digest = {dict(first)['digest']}\n" in f.read()
    assert [v for k, v in first if k == "require"] == ["/bin/sh", "/bin/cat", "/bin/base64", "/usr/bin/env"]


def test_verify_names_what_is_not_as_it_was_made(quiltctl):
    assert quiltctl("build", "busybox").returncode == 0
    root = quiltctl.pool / "images" / "busybox" / "rootfs"
    r = quiltctl("verify")
    assert r.returncode == 0 and r.stdout == f"busybox: {dict(conf_of(quiltctl.pool))['version']}, {dict(conf_of(quiltctl.pool))['digest']}, whole\n", r
    with open(root / "etc" / "hosts", "r+", encoding="ascii") as f:  # as long as before, and as old
        f.write("6")
    os.utime(root / "etc" / "hosts", (1735689600, 1735689600))
    os.chmod(root / "etc" / "group", 0o666)
    os.unlink(root / "usr" / "bin" / "vi")
    (root / "srv" / "n\new").write_text("")
    r = quiltctl("verify", "busybox")
    said = {tuple(line.split()) for line in r.stdout.splitlines()}
    assert r.returncode == 1 and said == {("busybox:", what, path) for what, path in (
        ("changed", "/etc/hosts"), ("changed", "/etc/group"), ("missing", "/usr/bin/vi"), ("changed", "/usr/bin"), ("added", "/srv/n?ew"), ("changed", "/srv"))}, r
    # Made anew, it is whole; the spoilt tree moved aside, for who stands on it.
    assert quiltctl("build", "--fresh", "busybox").returncode == 0 and quiltctl("verify").returncode == 0
    assert sorted(n.split(".")[:3] for n in os.listdir(quiltctl.pool / "images")) == [["", "old", "busybox"], ["busybox"]]
    # Nor does another list help.
    with open(quiltctl.pool / "images" / "busybox" / "list", "ab") as f:
        f.write(b"./x\t\0")
    r = quiltctl("verify", "busybox")
    assert r.returncode == 1 and "not the one of its digest" in r.stderr, r


def test_what_is_not_there(quiltctl):
    for args, status, said in (
            (("verify",), 1, "no managed images"), (("verify", "nothing"), 1, "no such image"), (("build", "nothing"), 1, "There are: busybox prod"),
            (("build", "../stack"), 1, "no image"), (("build", "--", "--help"), 1, "no image"), (("build",), 2, "NAME..."), (("build", "--pool", "/"), 2, "no option")):
        r = quiltctl(*args)
        assert r.returncode == status and said in r.stderr, (args, r)
    assert os.listdir(quiltctl.pool) == []

