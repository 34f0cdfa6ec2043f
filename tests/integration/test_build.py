"""Images built from Dockerfiles: contexts, instructions, stages, the cache, and what goes wrong."""
import base64
import gzip
import os
import tarfile

import pytest

from harness.fixtures import fresh_name
from harness.oci import Image, Registry, busybox_layer, directory, member, symlink, tar
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


def test_end_to_end(base, build, make_container, census):
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
