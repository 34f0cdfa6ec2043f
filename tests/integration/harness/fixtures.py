"""pytest fixtures; tests/conftest.py makes them known everywhere."""
import itertools
import os
import re
import secrets

import pytest

from .census import Census
from .client import Api
from .recorder import Recorder
from .stack import Stack
from .wait import wait_for

_counter = itertools.count(1)
SANITIZER = re.compile(r"ERROR: (Address|Leak)Sanitizer|runtime error:")


def fresh_name(prefix="t"):
    return f"{prefix}-{next(_counter)}-{secrets.token_hex(3)}"


@pytest.fixture(scope="session")
def stack(request):
    """One stack for the whole run. It has a larger image only if a selected test is marked with it."""
    more = [image for marker, image in (("prod", "prod"), ("gui", "prod-gui")) if any(item.get_closest_marker(marker) for item in request.session.items)]
    s = Stack(images=("busybox", *more))
    try:
        s.up()
        yield s
    finally:
        s.down()
    # What the sanitizers have to say, they say at the end, too.
    findings = [line for p in ("runtime", "agent", "dns", "api", "stream") for line in s.log_text(p).splitlines() if SANITIZER.search(line)]
    assert not findings, f"the sanitizers found something: {findings[:5]}\n{s.logs(80)}"
    s.remove()


@pytest.fixture(scope="session")
def recorder(stack):
    """Every answer that a client of the run got, as JSON lines; $QUILT_RECORD keeps the file."""
    return Recorder(os.environ.get("QUILT_RECORD") or f"{stack.dir}/answers.jsonl")


class Tenants:
    """Makes tenants and keys with quiltctl, and clients for them."""

    def __init__(self, stack, recorder):
        self.stack, self.recorder = stack, recorder

    def key(self, tenant_id, name="test"):
        return self.stack.ctl("key", "create", "--tenant", tenant_id, "--name", name).stdout.strip()

    def __call__(self, name=None, plan=None):
        """A new tenant with one key: a client for it."""
        args = ["tenant", "create", name or fresh_name("tenant")] + (["--plan", plan] if plan else [])
        tenant_id = self.stack.ctl(*args).stdout.split()[0]
        return self.client(self.key(tenant_id), tenant_id)

    def client(self, key, tenant_id=None):
        return Api(self.stack, key, tenant_id, self.recorder)


@pytest.fixture(scope="session")
def make_tenant(stack, recorder):
    return Tenants(stack, recorder)


@pytest.fixture(scope="session")
def api(make_tenant):
    """The run's ordinary client."""
    return make_tenant("main")


@pytest.fixture(scope="session")
def other_api(make_tenant):
    """A client of another tenant."""
    return make_tenant("other")


@pytest.fixture
def anonymous(stack, recorder):
    """A client without a credential."""
    return Api(stack, record=recorder)


@pytest.fixture
def make_container(api):
    """make_container(**fields of the create body, client=other client) -> the 201 answer's JSON. Deleted after the test."""
    made = []

    def make(client=None, **fields):
        client = client or api
        body = {"name": fresh_name(), "image": "busybox", **fields}
        r = client.post("/api/containers", body)
        assert r.status == 201, r
        made.append((client, r.json["container_id"]))
        return r.json

    yield make
    for client, container in made:
        def gone():
            return client.delete(f"/api/containers/{container}?timeout_ms=0").status in (200, 404)

        wait_for(gone, what=f"{container} is deleted")


@pytest.fixture
def container(make_container):
    """A running busybox container."""
    return make_container()


@pytest.fixture
def census(stack):
    """census() -> what the machine holds of the stack now; census.same_as(before) waits until it is so again, else tells."""
    return Census(stack)
