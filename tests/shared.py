"""Real data that lies beside the checkout, where it does; tests that need it skip where not."""

from pathlib import Path

import pytest

DATA_SETS = Path(__file__).parents[2] / "shared" / "data" / "datasets"


def data_set(name: str) -> Path:
    """Find a data set by its name; skip the test where it is missing."""
    path = DATA_SETS / f"{name}.jsonl"
    if not path.exists():
        pytest.skip(f"the shared data sets are not beside the checkout: {path}")
    return path
