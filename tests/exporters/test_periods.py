"""How a window is written."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from exporters.manifest_reading import MANIFEST_FILE
from exporters.periods import (
    Between,
    Exported,
    Matching,
    Previous,
    WindowSpec,
    before,
    parse_window,
    range_filter,
    range_text,
)
from exporters.windows import WindowError
from storage.capture import Clock


def at(*date: int) -> datetime:
    return datetime(*date, tzinfo=UTC)  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("2026-10-01..2026-11-01", Between(at(2026, 10, 1), at(2026, 11, 1))),
        ("2026-10-01T06:30:00Z..", Between(at(2026, 10, 1, 6, 30), None)),
        ("..2026-10-01T02:00:00+02:00", Between(None, at(2026, 10, 1))),
        ("36h", Between(at(2026, 10, 1), at(2026, 10, 2, 12))),
        ("7d", Between(at(2026, 9, 25, 12), at(2026, 10, 2, 12))),
        ("2w", Between(at(2026, 9, 18, 12), at(2026, 10, 2, 12))),
        ("previous", Previous()),
        ("where:outcome = 'complete'", Matching("outcome = 'complete'")),
    ],
)
def test_a_window_is_written_in_one_of_five_ways(text: str, spec: object, clock: Clock) -> None:
    assert parse_window(text, clock) == spec


def test_a_directory_with_a_manifest_is_a_window(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / MANIFEST_FILE).write_text("{}")
    assert parse_window(str(tmp_path), clock) == Exported(tmp_path)
    crooked = f"{tmp_path}/../{tmp_path.name}"
    assert parse_window(crooked, clock) == Exported(Path(crooked))


@pytest.mark.parametrize(
    "text", ["", "..", "yesterday", "7m", "0d", "2026-13-01..", "no/such/directory", "1d..2d"]
)
def test_anything_else_is_refused_with_the_five_ways(text: str, clock: Clock) -> None:
    with pytest.raises(WindowError, match=r"FROM\.\.TO .* 7d.* where:SQL"):
        parse_window(text, clock)


def test_a_range_that_ends_before_it_begins_is_refused(clock: Clock) -> None:
    with pytest.raises(WindowError, match="ends before it begins"):
        parse_window("2026-11-01..2026-10-01", clock)


def test_the_time_before_a_window_is_as_long_as_it() -> None:
    window = Between(at(2026, 10, 8), at(2026, 10, 15))
    assert before(window) == Between(at(2026, 10, 1), at(2026, 10, 8))


@pytest.mark.parametrize(
    "current", [Matching("id > ''"), Between(at(2026, 10, 1), None), Previous(), Exported(Path())]
)
def test_nothing_is_before_a_window_that_is_no_range_of_time(current: WindowSpec) -> None:
    with pytest.raises(WindowError, match="a beginning and an end"):
        before(current)


def test_a_range_is_written_as_it_is_read(clock: Clock) -> None:
    for text in ("2026-10-01T00:00:00Z..", "..2026-10-01T00:00:00Z"):
        window = parse_window(text, clock)
        assert isinstance(window, Between)
        assert range_text(window) == text
    assert range_filter(Between(at(2026, 10, 1), at(2026, 10, 2))) == (
        "started_at >= '2026-10-01T00:00:00Z' and started_at < '2026-10-02T00:00:00Z'"
    )
    assert range_filter(Between(None, None)) is None


def test_a_directory_without_an_export_is_said_to_be_one(tmp_path: Path, clock: Clock) -> None:
    with pytest.raises(WindowError, match="holds no export: it has no manifest.json"):
        parse_window(str(tmp_path), clock)
