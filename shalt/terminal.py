"""What every command prints with: a table, JSON lines, text, raw bytes.

A terminal gets colour and the width it has; a pipe gets tab-separated values, which `cut` and
`awk` take apart, or with `--json` one object a line. Text of a call is never taken for markup or
for control of the terminal: what a model says must not move the cursor of who reads it, and what
is not seen is shown (storage.invisible).
"""

import json
import sys
from collections.abc import Iterable, Sequence

import orjson
from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from storage.invisible import INVISIBLE, made_visible

CELL_CHARS_MAX = 200
ELASTIC_CHARS_MIN = 10


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, elastic: Sequence[str] = ()
) -> None:
    """Print rows of cells under their columns; without a terminal, separated by tabs.

    On a narrow terminal the `elastic` columns are cut, down to ELASTIC_CHARS_MIN; then it wraps.
    """
    if not sys.stdout.isatty():
        for row in (columns, *rows):
            print_line("\t".join(map(_cell, row)))
        return
    lines = [[_cell(cell) for cell in row] for row in rows]
    wanted = [max(cell_len(line[at]) for line in [columns, *lines]) for at in range(len(columns))]
    # What the others leave over, the elastic columns share; the last may use what is not needed.
    left = Console().width - sum(wanted) - 2 * len(columns)
    left += sum(width for width, name in zip(wanted, columns, strict=True) if name in elastic)
    table = Table(box=None, header_style="bold", pad_edge=False)
    sharing = len(elastic)
    for name, width in zip(columns, wanted, strict=True):
        if name in elastic:
            width = min(width, max(ELASTIC_CHARS_MIN, left // sharing))
            left, sharing = left - width, sharing - 1
        table.add_column(name, overflow="ellipsis", no_wrap=True, width=width)
    for line in lines:
        table.add_row(*map(Text, line))
    Console(highlight=False, width=sum(wanted) + 2 * len(columns)).print(table)


def print_line(text: str = "", style: str = "") -> None:
    """Print text as it is, invisible characters made visible; `style` only on a terminal."""
    if style and sys.stdout.isatty():
        Console(highlight=False, soft_wrap=True).print(Text(made_visible(text), style=style))
    else:
        sys.stdout.write(made_visible(text) + "\n")


def print_note(text: str) -> None:
    """Print a line for whoever looks on, on standard error: it is no part of the result."""
    sys.stderr.write(made_visible(text) + "\n")


def one_line(text: str) -> str:
    """Make line feeds visible too, where a text stands within a line of ours."""
    return text.replace("\n", "\\n")


def print_json(value: object) -> None:
    """Print one JSON object as one line, what is not seen escaped: it says the same."""
    text = orjson.dumps(value, option=orjson.OPT_UTC_Z).decode()
    escaped = INVISIBLE.sub(lambda found: json.dumps(found[0])[1:-1], text)
    print_bytes(escaped.encode() + b"\n")


def print_bytes(data: bytes) -> None:
    """Write bytes to standard output, exactly."""
    sys.stdout.flush()
    sys.stdout.buffer.write(data)


def _cell(text: str) -> str:
    """Keep a cell on one line."""
    line = made_visible(" ".join(text.split()))
    return line if len(line) <= CELL_CHARS_MAX else line[: CELL_CHARS_MAX - 1] + "…"


def counting_bar(label: str) -> Progress:
    """Make a progress bar that counts, on standard error; it is silent where nobody looks on."""
    return _bar(label)


def stage_bar() -> Progress:
    """Make a progress bar with a line for each stage of a run, for its tasks are added by name."""
    return _bar("{task.description:<14}")


def _bar(first: str) -> Progress:
    return Progress(
        TextColumn(first),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
