"""Tests of shalt.monitors: what may be asked for."""

import pytest
from pydantic import ValidationError

from shalt.monitors import Monitor, check_name, duration_seconds


def test_a_monitor_needs_a_reference_and_nothing_else() -> None:
    monitor = Monitor(reference="exports/a")
    assert (monitor.windows, monitor.alpha, monitor.every) == (("1h", "1d", "7d"), 0.001, "1h")
    assert monitor.every_seconds == 3600


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("1h", 3600), ("7d", 604_800), ("1w", 604_800)]
)
def test_a_duration_is_a_number_and_a_unit(text: str, seconds: float) -> None:
    assert duration_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "1", "h", "0h", "-1h", "1.5h", "1 h", "1y", "100000h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        duration_seconds(text)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"reference": ""}, "at least 1 character"),
        ({"reference": "a", "windows": ()}, "at least 1 item"),
        ({"reference": "a", "windows": ("1h", "2h", "3h", "4h", "5h")}, "at most 4 items"),
        ({"reference": "a", "windows": ("90s",)}, "'90s' is no window"),
        ({"reference": "a", "windows": ("",)}, "'' is no window"),
        ({"reference": "a", "windows": ("1h", "1h")}, "named twice"),
        ({"reference": "a", "alpha": 0}, "greater than 0"),
        ({"reference": "a", "every": "1s"}, "between 10s and 7d"),
        ({"reference": "a", "every": "8d"}, "between 10s and 7d"),
        ({"reference": "a", "project": "a b"}, "match pattern"),
        ({"reference": "a", "evry": "1h"}, "not permitted"),
    ],
)
def test_what_cannot_be_watched_is_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Monitor.model_validate(given)


@pytest.mark.parametrize("name", ["", "A", "a b", "ä", "a" * 33, "../a"])
def test_a_name_that_is_no_label_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="monitor name"):
        check_name(name)
