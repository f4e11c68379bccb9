"""Every conversation of the data sets through the trainers' own loaders.

    python -m benchmarks.format_loaders

The tests in tests/loaders do it with a sample; this prints how many conversations fit each format
and why the others do not, then runs the same tests with all of them. Needs the data sets beside the
checkout and requirements-trainers.lock. Takes some minutes.
"""

import sys

import pytest

from exporters.formats import FORMATS
from tests.loaders import conversations


def main() -> int:
    """Print what fits, run the tests, and return pytest's exit code."""
    conversations.EACH = conversations.ENCODED = sys.maxsize
    print(f"{'format':<18}{'rows':>8}  unfit")
    for name, format in FORMATS.items():
        if format.is_preference:
            continue
        rows, reasons = 0, dict[str, int]()
        for data in conversations.DATA_SETS:
            found, unfit = conversations.fitting(name, data)
            rows += len(found)
            for reason, count in unfit.items():
                reasons[reason.value] = reasons.get(reason.value, 0) + count
        listed = ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items()))
        print(f"{name:<18}{rows:>8,}  {listed}")
    return pytest.main(["-q", "-p", "no:cacheprovider", "tests/loaders"])


if __name__ == "__main__":
    sys.exit(main())
