"""Notes of datasets: whole or not there, read in the order in which they were written."""

import os
from pathlib import Path

from shalt.dataset_notes import DatasetNotes, Note, State


def test_notes_are_read_again_in_their_order(tmp_path: Path) -> None:
    notes = DatasetNotes(tmp_path / "datasets")
    assert notes.read() == []
    late, early = (Note(name, {}, State.WAITING) for name in ("a", "b"))
    for note, time in ((early, 1), (late, 2)):
        notes.write(note)
        os.utime(tmp_path / "datasets" / f".{note.name}.job", (time, time))
    assert notes.read() == [early, late]


def test_a_note_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    notes = DatasetNotes(tmp_path)
    notes.write(Note("a", {"turns": "last"}, State.RUNNING))
    notes.write(Note("a", {"turns": "last"}, State.FAILED, "why"))
    assert notes.read() == [Note("a", {"turns": "last"}, State.FAILED, "why")]
    notes.forget("a")
    notes.forget("a")
    assert notes.read() == []


def test_what_a_kill_left_of_a_note_goes(tmp_path: Path) -> None:
    (tmp_path / ".a.new").write_bytes(b'{"na')
    assert DatasetNotes(tmp_path).read() == []
    assert list(tmp_path.iterdir()) == []
