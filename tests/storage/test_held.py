"""Tests of storage.held; reading it is tested in test_replay, using it in test_feed."""

import resource
from pathlib import Path

import pytest

from storage.held import HEADER, held_numbers, held_path, hold


def test_what_is_held_replaces_what_was_held(tmp_path: Path) -> None:
    hold(tmp_path, 7, [(12, b"one"), (40, b"two")])
    hold(tmp_path, 7, [(40, b"two")])
    hold(tmp_path, 3, [(12, b"three")])
    assert held_numbers(tmp_path) == [3, 7]
    assert held_path(tmp_path, 7).read_bytes() == HEADER + (40).to_bytes(8, "little") + b"two"


def test_a_disk_that_refuses_leaves_what_was_held(tmp_path: Path) -> None:
    hold(tmp_path, 7, [(12, b"one")])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            hold(tmp_path, 7, [(12, b"x" * 5000)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert held_path(tmp_path, 7).read_bytes().endswith(b"one")
    assert [path.name for path in tmp_path.iterdir()] == ["00000007.held"]
