"""Tests of storage.counters."""

import subprocess
import sys
from pathlib import Path

import pytest

from storage.capture import DropReason
from storage.counters import Counters, CountersError, is_alive, read_tally


def test_what_is_counted_can_be_read_at_once(tmp_path: Path) -> None:
    counters = Counters(tmp_path)
    counters.add("accepted", 5)
    counters.add("spooled", 2)
    counters.add(DropReason.SPOOL_FULL)
    tally = read_tally(tmp_path)
    assert (tally.accepted, tally.spooled, tally.in_flight) == (5, 2, 2)
    assert tally.dropped[DropReason.SPOOL_FULL] == 1
    counters.close()


def test_a_writer_is_alive_until_it_lets_go(tmp_path: Path) -> None:
    counters = Counters(tmp_path)
    assert is_alive(tmp_path)
    counters.close()
    assert not is_alive(tmp_path)


def test_counts_outlive_a_killed_process(tmp_path: Path) -> None:
    script = (
        "import os, pathlib, sys; from storage.counters import Counters;"
        "Counters(pathlib.Path(sys.argv[1])).add('accepted', 7); os.kill(os.getpid(), 9)"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=root, check=False)
    assert not is_alive(tmp_path)
    assert read_tally(tmp_path).accepted == 7


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "counters").write_bytes(b"something else")
    with pytest.raises(CountersError, match="was not written by this version"):
        read_tally(tmp_path)
