"""How much CPU something takes, as little as may be of it somebody else's."""

import time
from collections.abc import Callable


def least_seconds(work: Callable[[], object]) -> float:
    """Do it three times and return the least CPU seconds of this process that it took.

    Another thread may have worked at that time, or the collector have gone through all objects of
    a process that has run thousands of tests: half a second. That does not fall into each of three.
    """
    return min(_seconds(work) for _ in range(3))


def _seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began
