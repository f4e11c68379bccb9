"""The series that shalt exposes, by the table of docs/metrics.md, which is generated."""

import re
from functools import lru_cache
from pathlib import Path

_PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
FOREIGN = {"up"}  # Prometheus' own


@lru_cache
def exposed_names() -> frozenset[str]:
    """Every name of a series; a histogram has three."""
    names: set[str] = set()
    for name, kind in re.findall(r"^\| `(shalt_\w+)` \| (\w+) \|", _PAGE.read_text(), re.MULTILINE):
        if kind == "histogram":
            names |= {f"{name}_bucket", f"{name}_sum", f"{name}_count"}
        else:
            names.add(name)
    return frozenset(names)
