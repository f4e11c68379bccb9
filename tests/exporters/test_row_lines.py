"""A line says what is out of the ordinary about its row, and no more; it is quick to load."""

import subprocess
import sys
from pathlib import Path

import msgspec

from exporters.row_lines import IdLine

ROOT = Path(__file__).parents[2]


def test_a_line_of_an_ordinary_row_is_short_and_reads_back() -> None:
    line = IdLine("train.jsonl", 7, "call", "group")
    data = msgspec.json.encode(line)
    assert data == b'{"file":"train.jsonl","row":7,"call":"call","group":"group"}'
    assert msgspec.json.decode(data, type=IdLine) == line


def test_the_processes_of_an_export_load_no_statistics() -> None:
    code = "import sys, exporters.pool; print('scipy' in sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "False"
