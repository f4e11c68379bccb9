"""Tests of storage.poison; how calls come there and go is tested in test_recorder."""

from pathlib import Path

import msgspec
import pytest

from storage.database import StoreUnavailable
from storage.feed import Undigested
from storage.poison import PoisonDirectory, undigested
from storage.spool import FrameKind, Part
from tests.storage.calls import StillClock, capture_of, id_of


def test_a_call_comes_back_with_its_reason(tmp_path: Path) -> None:
    poison = PoisonDirectory(tmp_path / "poison")
    poison.put(undigested(capture_of(1), ValueError("too strange")), "f" * 32, StillClock())
    (known,) = poison.list()
    assert known == poison.find(id_of(1))
    assert (known.call_id, known.writer) == (id_of(1), "f" * 32)
    assert known.reason == "ValueError: too strange"
    assert known.at.year == 2026
    assert poison.read(id_of(1)) == capture_of(1)


def test_a_removed_call_leaves_nothing(tmp_path: Path) -> None:
    poison = PoisonDirectory(tmp_path)
    poison.put(undigested(capture_of(1), ValueError()), "f" * 32, StillClock())
    poison.remove(id_of(1))
    poison.remove(id_of(1))
    assert (list(tmp_path.iterdir()), poison.list(), poison.find(id_of(1))) == ([], [], None)


def test_frames_of_a_long_call_are_put_together_again(tmp_path: Path) -> None:
    poison = PoisonDirectory(tmp_path)
    frames = [
        (FrameKind.BEGIN, msgspec.msgpack.encode(capture_of(1))),
        (FrameKind.PART, msgspec.msgpack.encode(Part(id_of(1), 5, True, b" more"))),
    ]
    poison.put(Undigested(id_of(1), frames, "it was interrupted"), "f" * 32, StillClock())
    capture = poison.read(id_of(1))
    assert capture is not None
    assert capture.response_body.data == capture_of(1).response_body.data + b" more"


def test_what_is_still_not_understood_stays_as_it_is(tmp_path: Path) -> None:
    poison = PoisonDirectory(tmp_path)
    poison.put(Undigested("", [(FrameKind.CALL, b"\xc1")], "damage"), "f" * 32, StillClock())
    (known,) = poison.list()
    assert known.call_id.startswith("unknown-")
    assert poison.read(known.call_id) is None


def test_beyond_its_limit_nothing_is_kept(tmp_path: Path) -> None:
    poison = PoisonDirectory(tmp_path, bytes_max=1000)
    for number in (1, 2, 3, 4):
        poison.put(undigested(capture_of(number), ValueError()), "f" * 32, StillClock())
    assert 0 < len(poison.list()) < 4
    assert poison.byte_count() <= 1100


def test_a_disk_that_refuses_is_worth_another_try(tmp_path: Path) -> None:
    (tmp_path / "poison").write_text("no directory")
    with pytest.raises(StoreUnavailable, match="cannot write to"):
        PoisonDirectory(tmp_path / "poison").put(
            undigested(capture_of(1), ValueError()), "f" * 32, StillClock()
        )
