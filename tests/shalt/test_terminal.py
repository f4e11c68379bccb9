"""What commands print, and what they never let through to a terminal."""

import json
from datetime import UTC, datetime

import pytest

from shalt.terminal import (
    CELL_CHARS_MAX,
    counting_bar,
    print_bytes,
    print_json,
    print_line,
    print_table,
)


def test_what_is_not_seen_is_shown_and_does_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    print_line("\x1b[2J Grüße\n\tund \u202e \U000e0041")
    print_table(["a"], [["zero\u200bwidth"]])
    shown = "\\x1b[2J Grüße\n\tund \\u202e \\U000e0041\na\nzero\\u200bwidth\n"
    assert capsys.readouterr().out == shown


def test_a_pipe_gets_values_separated_by_tabs(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["a", "b"], [["1", "two\nlines\tand a tab"], ["[bold]", "x" * 999]])
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["a\tb", "1\ttwo lines and a tab"]
    assert lines[2] == "[bold]\t" + "x" * (CELL_CHARS_MAX - 1) + "…"


def test_markup_of_a_text_is_only_text(capsys: pytest.CaptureFixture[str]) -> None:
    print_line("[red]not red[/red]", style="bold")
    assert capsys.readouterr().out == "[red]not red[/red]\n"


def test_json_is_one_object_a_line(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    print_json({"at": datetime(2026, 10, 1, tzinfo=UTC), "text": "a\nü"})
    assert (
        capsysbinary.readouterr().out == '{"at":"2026-10-01T00:00:00Z","text":"a\\nü"}\n'.encode()
    )


def test_json_acts_on_no_terminal_and_says_the_same(
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    print_json({"model": "\x9b31m \u202e é \U000e0041"})
    line = capsysbinary.readouterr().out
    assert line == b'{"model":"\\u009b31m \\u202e \xc3\xa9 \\udb40\\udc41"}\n'
    assert json.loads(line) == {"model": "\x9b31m \u202e é \U000e0041"}


def test_bytes_are_written_as_they_are_and_in_order(
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    print_line("first")
    print_bytes(b"\x00\xff\r\n")
    assert capsysbinary.readouterr().out == b"first\n\x00\xff\r\n"


def test_a_counting_bar_is_silent_where_nobody_looks_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with counting_bar("calls") as bar:
        bar.update(bar.add_task("", total=2), completed=1)
    assert capsys.readouterr() == ("", "")
