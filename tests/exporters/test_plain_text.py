"""Lines of a report fit a terminal, and bars say as much as they can."""

import subprocess
import sys

from exporters.plain_text import BAR_WIDTH, bar, wrapped


def test_a_bar_is_as_wide_whatever_it_shows() -> None:
    assert {len(bar(share / 100)) for share in range(101)} == {BAR_WIDTH}


def test_a_bar_of_little_shows_something_and_one_of_nothing_nothing() -> None:
    assert bar(0.0001).startswith("▏")
    assert bar(0.0) == "·" * BAR_WIDTH
    assert bar(1.0) == "█" * BAR_WIDTH


def test_what_follows_the_first_line_is_indented_like_it() -> None:
    assert wrapped("  one two three", 9) == ["  one two", "  three"]


def test_a_word_that_is_too_long_stays_whole() -> None:
    assert wrapped("a-very-long-word", 5) == ["a-very-long-word"]


def test_an_export_loads_nothing_of_drift() -> None:
    code = "import sys, exporters.dataset; print('exporters.drift' in sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    assert loaded.stdout == b"False\n"
