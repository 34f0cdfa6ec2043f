"""The fixtures of every test that talks to a real stack: see integration/harness."""
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "integration"))

from harness.fixtures import *  # noqa: E402,F401,F403  (fixtures, found by name)
from harness.wait import wait_for  # noqa: E402


# It builds and installs with the quick start's own options: the sanitized half has others.
collect_ignore = ["integration/test_quickstart.py"] if os.environ.get("QT_VARIANT") == "sanitized" else []


def pytest_collection_modifyitems(config, items):
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_teardown(item, nextitem):
    """No container outlives its file of tests: whoever counts what the machine holds in the next one would see it change. A hook, since a fixture of
    the module may go before the module's others do."""
    outcome = yield
    stack = item.funcargs.get("stack")

    def none_is_left():
        assert not stack.journal(), stack.journal()
        return True

    if outcome.excinfo is None and stack is not None and nextitem is not None and nextitem.path != item.path:
        wait_for(none_is_left, what=f"no container of {item.path.name} is left")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test's report ends with what the programs wrote."""
    report = (yield).get_result()
    stack = item.funcargs.get("stack") if hasattr(item, "funcargs") else None
    if report.failed and stack is not None:
        report.sections.append(("the stack's logs", stack.logs(12)))
