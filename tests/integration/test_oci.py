"""Images out of registries: pull, list, inspect, history, delete, and containers of them."""
import json
import os
import tarfile

import pytest

from harness.fixtures import fresh_name
from harness.oci import OCI, Evil, Image, Registry, busybox_layer, directory, index, member, sha, symlink, tar
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


def sh(api, c, script):
    return api.exec(c["container_id"], "/bin/sh", "-c", script)


def layers(stack):
    return set(os.listdir(f"{stack.pool}/layers"))


def nothing_is_left(stack, before):
    """Of a pull that failed: no layer, no tree, no file on its way."""
    def clean():
        return layers(stack) == before and not os.listdir(f"{stack.state}/agent/pull") and not os.listdir(f"{stack.run}/secrets")

    wait_for(clean, what="nothing of the pull is left")


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
