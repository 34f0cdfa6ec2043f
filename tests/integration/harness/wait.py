"""Waiting for events, never for time."""
import time


def wait_for(predicate, deadline=60, what=None, every=0.05):
    """Call PREDICATE until what it returns is true, and return that. An exception counts as false, and is shown at the end."""
    end = time.monotonic() + deadline
    last = None
    while True:
        try:
            last = predicate()
            if last:
                return last
        except Exception as e:  # whatever it is, it is told if it does not pass
            last = e
        if time.monotonic() >= end:
            raise AssertionError(f"not within {deadline} s: {what or predicate}; last: {last!r}")
        time.sleep(every)
