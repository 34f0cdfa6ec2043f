"""The fixtures of every test that talks to a real stack: see integration/harness."""
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "integration"))

from harness.fixtures import *  # noqa: E402,F401,F403  (fixtures, found by name)


def pytest_collection_modifyitems(config, items):
    if os.environ.get("QT_VARIANT") == "sanitized":
        left_out = [item for item in items if item.get_closest_marker("once")]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test's report ends with what the programs wrote."""
    report = (yield).get_result()
    stack = item.funcargs.get("stack") if hasattr(item, "funcargs") else None
    if report.failed and stack is not None:
        report.sections.append(("the stack's logs", stack.logs(12)))
