"""Images built from Dockerfiles: contexts, instructions, stages, the cache, and what goes wrong."""
import base64
import gzip
import os
import re
import shutil
import tarfile

import pytest

from harness.census import IMAGES_KEEP
from harness.fixtures import fresh_name
from harness.oci import Image, Registry, busybox_layer, directory, member, symlink, tar
from harness.stack import image_conf
from harness.wait import wait_for

APPLETS = ("sh", "cat", "ls", "id", "env", "sleep", "echo", "pwd", "stat", "test", "mkdir", "rm", "dd", "chown", "touch", "find", "sort", "tail", "true", "printf")


@pytest.fixture(scope="module")
def base(stack, make_tenant):
    """(client, reference): a tenant of these tests, and an image in a registry that it has not pulled."""
    r = Registry()
    layer = busybox_layer(member("etc/passwd", b"root:x:0:0::/:/bin/sh\nweb:x:33:44::/srv:/bin/sh\n"), member("etc/group", b"root:x:0:\nweb:x:44:\nstaff:x:50:\n"),
                          directory("usr/lib"), symlink("lib", "usr/lib"), applets=APPLETS)
    reference = r.push("tests/base", "1", Image([layer], config={"Env": ["PATH=/bin", "FROM_BASE=yes"], "Cmd": ["sh"]}))
    yield make_tenant("builder"), reference
    r.close()


# Two containers at the death: the stage's, and that of an image to copy from.
DEATHS = ("FROM {base}\nRUN echo {unique} > /first\nCOPY --from={base} /etc/group /copied\nRUN echo it is {unique}; sleep 1; cat /first\n"
          "COPY file /\nRUN cat /file /copied\n")


def begin(api, dockerfile, *files):
    """A build that is under way: its receipt."""
    context = upload(api, tar(member("Dockerfile", dockerfile.encode()), *files))["context_id"]
    return api.post("/api/oci/images/build", {"context_id": context, "image_reference": f"example.org/died/{fresh_name('i')}:1", "memory_limit_mb": 64})


@pytest.fixture(scope="module", autouse=True)
def orphan(stack, base, make_tenant):
    """A build whose agent dies in the middle. The next one takes it up when the lease is over; the last test looks."""
    client, unique = make_tenant("orphan-build"), fresh_name()
    r = begin(client, DEATHS.format(base=base[1], unique=unique), member("file", b"from the context\n"))
    waits(client, r, f"it is {unique}\n")
    stack.kill("agent")
    return client, r


@pytest.fixture
def build(base):
    """build(dockerfile, files, …) -> the final record of the operation. What was built is deleted after the test."""
    api, reference = base
    made = []

    def do(dockerfile, files=(), name=None, wait=True, context=None, **more):
        name = name or f"example.org/built/{fresh_name('i')}:1"
        data = context if context is not None else gzip.compress(tar(member("Dockerfile", dockerfile.replace("BASE", reference).encode()), *files), 1)
        r = upload(api, data)
        made.append(name)
        r = api.post("/api/oci/images/build", {"context_id": r["context_id"], "image_reference": name, "memory_limit_mb": 64, **more})
        assert r.status == 202, r
        return api.operation(r) if wait else r

    yield do
    for name in made:
        wait_for(lambda: api.delete(f"/api/oci/images?reference={name}").status in (200, 404), what=f"{name} is deleted")


def upload(api, data):
    r = api.post("/api/build-contexts", {"content": base64.b64encode(data).decode()})
    assert r.status == 201 and r["size_bytes"] == len(data), r
    return r


def logs(api, operation):
    """All of it, read in small pieces."""
    text, after = [], ""
    while True:
        r = api.get(f"/api/operations/{operation}/logs?limit=3" + (f"&after={after}" if after else ""))
        assert r.status == 200, r
        if not r["logs"]:
            return r, "".join(x["message"] for x in text)
        text += r["logs"]
        after = r["next"]


def run(api, make_container, op, script, **more):
    c = make_container(client=api, image=op["result"]["image"]["reference"], oci=True, **more)
    return api.exec(c["container_id"], "/bin/sh", "-c", script)["stdout"]


def built(op):
    assert op["status"] == "succeeded", op
    return op["result"]["image"]


DEATH = re.compile(r"^file .*/run/pids/")  # counted by the keeper


def nothing_is_left(stack, census, before):
    """But contexts, and what the cache has of steps that were done: no container, and nothing half made."""
    def left():
        now = census()
        return [k for k in (now - before) if not IMAGES_KEEP.match(k) and not DEATH.match(k)] + [n for n in os.listdir(f"{stack.pool}/layers") if "." in n] + \
            [n for n in os.listdir(f"{stack.state}/spool") if ".op_" in n]

    try:
        wait_for(lambda: not left(), what="nothing of the build is left")
    except AssertionError:
        raise AssertionError(f"left of the build: {left()}") from None


def test_end_to_end(base, build, make_container):
    api, _ = base
    op = build("""# a comment
FROM BASE
ENV GREETING="hello  there" LANG=C
WORKDIR /srv/app
COPY a.txt sub/ ./
RUN cat a.txt b.txt > both && echo made $GREETING && echo on stderr >&2
CMD ["sh", "-c", "echo started; exec sleep 1000"]
""", [member("a.txt", b"A\n"), directory("sub"), member("sub/b.txt", b"B\n", mode=0o755)])
    i = built(op)
    assert op["operation_type"] == "image.build" and op["target_resource_id"] == i["reference"] and op["result"]["cached_steps"] == 0, op
    assert i["working_dir"] == "/srv/app" and "GREETING=hello  there" in i["env"] and "FROM_BASE=yes" in i["env"]
    assert run(api, make_container, op, "pwd; cat both; stat -c '%a %u:%g %n' a.txt b.txt; echo $GREETING") == \
        "/srv/app\nA\nB\n644 0:0 a.txt\n755 0:0 b.txt\nhello there\n"
    r, text = logs(api, op["operation_id"])
    assert r["complete"] is True and "made hello there" in text and "on stderr" in text and "RUN cat a.txt" in text, text
    # It is an image as any other, and no container is left, nor was one to be seen.
    assert i["reference"] in [x["reference"] for x in api.get("/api/oci/images")["images"]]
    r = api.get(f"/api/oci/images/inspect?reference={i['reference']}")
    assert len(r["layers"]) == 2 and r["image"]["id"] == i["id"], r
    history = api.get(f"/api/oci/images/history?reference={i['reference']}")["history"]
    assert any("COPY a.txt" in h["created_by"] for h in history) and any("RUN cat" in h["created_by"] for h in history), history


MULTI = """# syntax=docker/dockerfile:1
ARG VERSION=1
FROM BASE AS common
ARG EXTRA
ENV LEVEL=common
RUN mkdir -p /out && echo "v$VERSION extra=$EXTRA" > /out/common

FROM common AS maker
ARG VERSION
ARG EXTRA=default
RUN --FLAGS echo "version $VERSION $EXTRA $LEVEL" > /out/made && ln -s made /out/link && chown 33:44 /out/made
COPY src /src

FROM scratch AS last
COPY --from=maker /out /
COPY --from=maker --chown=5:6 --chmod=600 /src/*.txt /texts/
COPY --from=BASE /bin/busybox /bin/cat
LABEL "a b"="c d" x=y
EXPOSE 80 53/udp
STOPSIGNAL SIGQUIT
ENTRYPOINT ["/bin/cat"]

FROM maker AS never
RUN exit 9
""".replace("--FLAGS ", "")


def test_stages_args_and_cache(base, build, make_container):
    api, _ = base
    files = [directory("src"), member("src/one.txt", b"1"), member("src/two.txt", b"22"), member("src/not.me", b"x"), member("src/three.txt", b"3"),
             member(".dockerignore", b"# what stays out\n**/*.txt\n!src/*.txt\nsrc/three*\n")]
    op = build(MULTI, files, target_stage="last", build_args={"VERSION": "7", "NOBODY": "x"})
    i = built(op)
    assert i["entrypoint"] == ["/bin/cat"] and i["default_cmd"] == [] and i["env"] == [], i
    assert any("NOBODY" in w for w in op["warnings"]), op
    c = make_container(client=api, image=i["reference"], oci=True, command=["/made"])
    cat = lambda *paths: api.exec(c["container_id"], "/bin/cat", *paths)["stdout"]
    assert cat("/made", "/common", "/link") == "version 7 default common\nv extra=\nversion 7 default common\n"
    assert cat("/texts/one.txt", "/texts/two.txt") == "122"
    assert api.exec(c["container_id"], "/bin/cat", "/texts/three.txt")["exit_code"] == 1, "what .dockerignore leaves out"
    config = api.get(f"/api/oci/images/inspect?reference={i['reference']}").json["config_json"]
    assert '"a b":"c d"' in config and '"53/udp"' in config and "SIGQUIT" in config, config

    # The same again: nothing is executed, though the times of the files are others.
    for m, _ in files:
        m.mtime = 1234567
    op = build(MULTI, files, target_stage="last", build_args={"VERSION": "7"})
    built(op)
    text = logs(api, op["operation_id"])[1]
    assert op["result"]["cached_steps"] == 6 and text.count("cached\n") == 6, (op, text)
    # Another argument, and another file: what depends on them is done anew, and nothing else.
    assert build(MULTI, files, target_stage="last", build_args={"VERSION": "8"})["result"]["cached_steps"] == 1
    files[1] = member("src/one.txt", b"one")
    op = build(MULTI, files, target_stage="last", build_args={"VERSION": "7"})
    assert op["result"]["cached_steps"] == 3, logs(api, op["operation_id"])[1]
    # Another target, by its number; the last one is the default, and fails.
    assert build(MULTI, files, target_stage="0")["status"] == "succeeded"
    assert build(MULTI, files)["result"]["exit_code"] == 9


def test_more_of_copy_and_add(base, build, make_container):
    archive = gzip.compress(tar(directory("deep"), member("deep/file", b"out of the archive\n", uid=7, gid=8, mode=0o640), symlink("abs", "/etc/passwd")), 1)
    op = build("""FROM BASE
COPY --chown=web dir /srv/dir
COPY --chown=web:staff one /srv/renamed
COPY one lib/
COPY ["one", "/srv/with space"]
ADD pack.tgz /srv/unpacked/
ADD one /srv/added
WORKDIR /srv
WORKDIR made/of
COPY --chmod=0700 link .
USER web
RUN <<EOF
id > /tmp/who
cat > /tmp/here <<END
text
END
EOF
SHELL ["/bin/sh", "-e", "-c"]
RUN true; false || true
ONBUILD RUN echo by onbuild > /tmp/onbuild
""", [
        directory("dir"), member("dir/a", b"a", mode=0o4755), directory("dir/sub", mode=0o700), member("dir/sub/ünï", b"u"), symlink("dir/l", "sub"),
        member("one", b"1\n"), member("pack.tgz", archive), symlink("link", "one")])
    built(op)
    api, _ = base
    out = run(api, make_container, op, """stat -c '%n %a %u:%g %F' /srv/dir /srv/dir/a /srv/dir/sub /srv/dir/sub/* /srv/dir/l /srv/renamed /usr/lib/one /srv/with* /srv/unpacked/deep/file \
/srv/unpacked/abs /srv/added /srv/made/of /srv/made/of/link | sort; cat /tmp/who /tmp/here""")
    assert out.splitlines() == sorted([
        "/srv/dir 755 0:0 directory", "/srv/dir/a 755 33:44 regular file", "/srv/dir/sub 700 33:44 directory", "/srv/dir/sub/ünï 644 33:44 regular file",
        "/srv/dir/l 777 33:44 symbolic link", "/srv/renamed 644 33:50 regular file", "/usr/lib/one 644 0:0 regular file", "/srv/with space 644 0:0 regular file",
        "/srv/unpacked/deep/file 640 7:8 regular file", "/srv/unpacked/abs 777 0:0 symbolic link", "/srv/added 644 0:0 regular file",
        "/srv/made/of 755 0:0 directory", "/srv/made/of/link 700 0:0 regular file"]) + ["uid=33(web) gid=44(web)", "text"], out
    # What it has by ONBUILD is done in the next build, and only there.
    child = build(f"FROM {op['result']['image']['reference']}\nRUN cat /tmp/onbuild")
    i = built(child)
    assert "by onbuild\n" in logs(api, child["operation_id"])[1] and "OnBuild" not in api.get(f"/api/oci/images/inspect?reference={i['reference']}").json["config_json"]


def config_of(api, image):
    return api.get(f"/api/oci/images/inspect?reference={image['reference']}").json["config_json"]


def test_a_managed_base(stack, base, build, make_container, census, orphan):
    """Its layer is shared, its configuration is the base's; and what was built is an image as any other."""
    api, _ = base
    orphan[0].operation(orphan[1], deadline=120)  # whose image would be counted
    before, layers = census(), set(os.listdir(f"{stack.pool}/layers"))
    text, files = 'FROM busybox\nRUN echo "$PATH" > /made && rm /usr/bin/vi\nCOPY file /etc/copied\n', [member("file", b"a file\n")]
    op = build(text, files)
    i = built(op)
    assert op["result"]["cached_steps"] == 0 and i["default_cmd"] == ["/bin/sh"] and i["env"] == ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], op
    managed = dict(image_conf(stack.pool, "busybox"))
    assert f"the managed image busybox, {managed['digest']}\n" in logs(api, op["operation_id"])[1]
    r = api.get(f"/api/oci/images/inspect?reference={i['reference']}")
    assert [x["digest"] for x in r["layers"]][:1] == [f"sha256:{managed['layer']}"] and len(r["layers"]) == 2, r
    assert "io.quilt.image" not in r["config_json"]
    history = api.get(f"/api/oci/images/history?reference={i['reference']}")["history"]
    assert [h["created_by"].split(" ")[0] for h in history] == ["quiltctl", "RUN", "COPY"], history
    assert all(n.startswith("0000") for n in set(os.listdir(f"{stack.pool}/layers")) - layers), "nothing but what the steps made"
    c = make_container(client=api, image=i["reference"], oci=True, command=["/bin/sleep", "600"])["container_id"]
    assert api.exec(c, "/bin/sh", "-c", "cat /made /etc/copied; test -e /usr/bin/vi || echo gone")["stdout"] == i["env"][0][5:] + "\na file\ngone\n"
    assert api.get(f"/api/containers/{c}/ready")["checks"]["managed_image_valid"] is True
    again = build(text, files)
    assert built(again)["size_bytes"] == i["size_bytes"] and again["result"]["cached_steps"] == 2, again
    assert api.delete(f"/api/containers/{c}?timeout_ms=0").status == 200
    for x in (i, built(again)):
        assert api.delete(f"/api/oci/images?reference={x['reference']}").status == 200
    nothing_is_left(stack, census, before)
    assert os.path.exists(f"{stack.image_root('busybox')}/usr/bin/vi")


def test_stages_on_managed_images(base, build, make_container):
    """As a stage, by a variable, and as what is copied from."""
    api, _ = base
    op = build("""ARG WHICH=busybox
FROM $WHICH AS maker
RUN echo made > /out
FROM scratch AS last
COPY --from=maker /out /out
FROM maker
COPY --from=busybox /etc/group /copied
COPY --from=last /out /twice
ENTRYPOINT ["/bin/cat"]
""")
    i = built(op)
    assert i["entrypoint"] == ["/bin/cat"] and i["default_cmd"] == [], i
    assert run(api, make_container, op, "cat /out /twice; cmp /copied /etc/group && echo same", command=["/bin/sleep", "600"]) == "made\nmade\nsame\n"


def test_bare_names(stack, base, build):
    """A bare name that is no managed image, and any name with a registry or a tag, is a registry's: here, what the tenant has under it already."""
    api, _ = base
    own = fresh_name("own")
    for name in ("busybox:latest", own):
        built(build("FROM scratch\nLABEL mine=yes", name=name))
    for name, ours in (("busybox", False), ("busybox:latest", True), ("library/busybox", True), ("docker.io/library/busybox", True), (own, True)):
        op = build(f"FROM {name}")
        assert ('"mine":"yes"' in config_of(api, built(op))) == ours, (name, op)
        assert ("the managed image busybox" in logs(api, op["operation_id"])[1]) == (not ours)
    # A stage's name goes before both.
    assert '"mine":"yes"' in config_of(api, built(build(f"FROM {own} AS busybox\nFROM busybox")))


def test_a_managed_image_of_an_older_quiltd(stack, base, build):
    """A directory with the root file system in it, and no OCI image."""
    name = fresh_name("older")
    image = f"{stack.pool}/images/{name}"
    os.makedirs(f"{image}/rootfs")
    try:
        with open(f"{image}/image.conf", "w", encoding="ascii") as f:
            f.write(f"name = {name}\nversion = 1\nkind = managed\ndigest = sha256:{'0' * 64}\n")
        failed(build(f"FROM {name}\nRUN true"), "IMAGE_REFUSED", f"line 1: FROM: the image {name}", "older quiltd", "quiltctl image build")
        failed(build(f"FROM scratch\nCOPY --from={name} /x /"), "IMAGE_REFUSED", "line 2: COPY", "older quiltd")
    finally:
        shutil.rmtree(image)


def failed(op, code, *said):
    assert op["status"] == "failed" and op["reason_code"] == code and all(s in op["error"] for s in said), op


def test_what_fails(stack, base, build, census):
    api, reference = base
    built(build("FROM BASE"))
    before = census()
    op = build("FROM BASE\nRUN echo before; exit 7\nRUN echo never")
    failed(op, "BUILD_FAILED", "line 2: RUN", "exited with code 7")
    assert (op["result"]["exit_code"], op["result"]["line"]) == (7, 2)
    text = logs(api, op["operation_id"])[1]
    assert "before\n" in text and "never\n" not in text and "failed: line 2" in text, text
    op = build("FROM BASE\nRUN dd if=/dev/zero of=/dev/null bs=100000000 count=1 && echo never", memory_limit_mb=32)
    failed(op, "BUILD_FAILED", "memory limit of 32 MiB")
    for text, code, said in (
            ("RUN x", "DOCKERFILE_INVALID", "before the first FROM"), ("FROM BASE\nRUN --mount=type=bind,target=/x true", "BUILD_UNSUPPORTED", "--mount"),
            ("FROM BASE\nCOPY ../../etc/passwd /x", "BUILD_FAILED", "etc/passwd"), ("FROM BASE\nADD https://example.org/x /x", "BUILD_UNSUPPORTED", "URL"),
            ("FROM BASE\nCOPY --from=no_such:a:b a b", "BUILD_FAILED", "line 2"), ("FROM $NOTHING", "DOCKERFILE_INVALID", "line 1"),
            ("FROM --platform=linux/s390x BASE", "BUILD_UNSUPPORTED", "linux/"), ("FROM BASE\nUSER nobody-there\nRUN true", "BUILD_FAILED", "line 3"),
            ("FROM BASE\nRUN [\"/no/such/program\"]", "BUILD_FAILED", "127")):
        failed(build(text), code, said)
    op = build("FROM BASE", dockerfile_path="other/Dockerfile")
    failed(op, "DOCKERFILE_INVALID", "other/Dockerfile")
    op = build("FROM 127.0.0.1:1/nothing:1")
    assert op["status"] == "failed" and op["reason_code"] in ("REGISTRY_ERROR", "REGISTRY_DENIED"), op
    nothing_is_left(stack, census, before)


@pytest.mark.parametrize("members, said", [
    ([symlink("out", "/etc")], "leads out"), ([symlink("out", "../..")], "leads out"), ([member("../up", b"x")], '\\"..\\"'.replace("\\", "")), ([member("/abs", b"x")], "absolute"),
    ([member("dev", kind=tarfile.BLKTYPE, devmajor=8)], "device"), ([symlink("a", "b"), member("a/x", b"x")], "below a link"),
    ([member("hard", kind=tarfile.LNKTYPE, link="../../etc/passwd")], '".."')])
def test_contexts_that_attack(base, build, members, said):
    op = build("FROM BASE\nCOPY . /x", members)
    failed(op, "ARCHIVE_REFUSED", said)


def test_refusals(base, other_api):
    api, reference = base
    r = api.post("/api/build-contexts", {"content": base64.b64encode(b"no archive").decode()})
    assert r.status == 400 and r["error_code"] == "ARCHIVE_REFUSED", r
    context = upload(api, tar(member("Dockerfile", b"FROM scratch")))["context_id"]
    body = {"context_id": context, "image_reference": "example.org/x:1"}
    for change, status, code in (({"context_id": "0" * 36}, 404, "BUILD_CONTEXT_NOT_FOUND"), ({"context_id": "../../x"}, 404, "BUILD_CONTEXT_NOT_FOUND"),
                                 ({"image_reference": "UPPER"}, 400, "VALIDATION_ERROR"), ({"image_reference": "a@sha256:" + "0" * 64}, 400, "VALIDATION_ERROR"),
                                 ({"dockerfile_path": "../x"}, 400, "VALIDATION_ERROR"), ({"build_args": {"A=B": "x"}}, 400, "VALIDATION_ERROR"),
                                 ({"build_args": ["A"]}, 422, "UNPROCESSABLE_ENTITY"), ({"memory_limit_mb": 1}, 400, "VALIDATION_ERROR"),
                                 ({"image_reference": None}, 422, "UNPROCESSABLE_ENTITY")):
        r = api.post("/api/oci/images/build", {**body, **change})
        assert r.status == status and r["error_code"] == code, (change, r)
    r = other_api.post("/api/oci/images/build", body)
    assert r.status == 404 and r["error_code"] == "BUILD_CONTEXT_NOT_FOUND", r
    op = api.post("/api/oci/images/build", body)
    assert other_api.get(f"/api/operations/{op['operation_id']}/logs").status == 404
    assert api.operation(op)["status"] == "succeeded"
    assert api.get(f"/api/operations/{op['operation_id']}/logs?after=x").status == 400
    assert api.delete("/api/oci/images?reference=example.org/x:1").status == 200


def waits(api, receipt, text):
    wait_for(lambda: text in logs(api, receipt["operation_id"])[1], what=f"the build says {text}")


def test_cancel(stack, base, build, census, orphan):
    api, _ = base
    built(build("FROM BASE"))
    orphan[0].operation(orphan[1], deadline=120)
    before = census()
    r = build("FROM BASE\nRUN echo it hangs; sleep 1000", wait=False)
    waits(api, r, "it hangs\n")
    assert 0 < api.get(r["status_url"])["progress_pct"] < 100
    assert not [c for c in api.get("/api/containers")["containers"] if "build" in c["name"]]
    assert api.delete(f"/api/operations/{r['operation_id']}").status == 202
    assert api.operation(r)["status"] == "cancelled"
    nothing_is_left(stack, census, before)


def goes_on(stack, api, receipt):
    op = api.operation(receipt, deadline=120)
    i = built(op)
    text = logs(api, receipt["operation_id"])[1]
    assert "cached\n" in text and "from the context\nroot:x:0:\n" in text, text
    assert api.delete(f"/api/oci/images?reference={i['reference']}").status == 200


def test_a_build_outlives_the_runtime(stack, base, census, orphan):
    """In the middle of a step: the build goes on, with what was done; nothing is left of what was not."""
    api, reference = base
    assert api.post("/api/oci/images/pull", {"reference": reference}).status == 200
    orphan[0].operation(orphan[1], deadline=120)  # what it makes is not this one's
    before, unique = census(), fresh_name()
    r = begin(api, DEATHS.format(base=reference, unique=unique), member("file", b"from the context\n"))
    waits(api, r, f"it is {unique}\n")
    stack.kill("runtime")
    goes_on(stack, api, r)
    nothing_is_left(stack, census, before)
    # And when it is away for so long that the build cannot take away what it made: the next try does.
    unique = fresh_name()
    r = begin(api, DEATHS.format(base=reference, unique=unique), member("file", b"from the context\n"))
    waits(api, r, f"it is {unique}\n")
    stack.stop("runtime")
    waits(api, r, "failed: ")
    stack.start("runtime")
    goes_on(stack, api, r)
    nothing_is_left(stack, census, before)


def test_a_build_outlives_the_agent(stack, orphan):
    client, receipt = orphan
    goes_on(stack, client, receipt)
    wait_for(lambda: not [n for n in os.listdir(f"{stack.state}/spool") if client.tenant_id in n and ".op_" in n], what="its archive is gone")


def test_contexts_of_a_node_have_a_bound(stack, make_tenant):
    """128, and 8 of one tenant: whoever has eight loses his oldest, everybody else waits."""
    spool, before = f"{stack.dir}/state/spool", set(os.listdir(f"{stack.dir}/state/spool"))
    data, clients, r = tar(member("Dockerfile", b"FROM scratch\n")), [], None
    try:
        while r is None or r.status == 201:
            assert len(clients) <= 17
            clients.append(make_tenant(fresh_name("contexts")))
            for _ in range(8):
                r = clients[-1].post("/api/build-contexts", data, headers={"Content-Type": "application/x-tar"})
                if r.status != 201:
                    break
        assert r.status == 503 and r["error_code"] == "UNAVAILABLE", r
        assert len([n for n in os.listdir(spool) if ".op_" not in n]) == 128
        assert clients[0].post("/api/build-contexts", data, headers={"Content-Type": "application/x-tar"}).status == 201
        assert len([n for n in os.listdir(spool) if n.startswith(clients[0].tenant_id)]) == 8
    finally:
        for n in set(os.listdir(spool)) - before:
            os.unlink(f"{spool}/{n}")
