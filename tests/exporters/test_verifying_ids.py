"""Groups and calls that files share are found by their names; sides and the draw by the salt."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from exporters.checks import State
from exporters.row_lines import IdLine
from exporters.verifying_files import read_manifest
from exporters.verifying_ids import Ids, has_ids, hash64, may_have_moved, part_of
from storage.trace import Side
from tests.exporters.forged import copied, forge, honest_export, moved_to, rows_of


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return honest_export(tmp_path_factory.mktemp("honest"), 200)


def changed(honest: Path, tmp_path: Path, change: Callable[[IdLine], IdLine]) -> Ids:
    directory = copied(honest, tmp_path / "changed")
    forge(directory, [(change(origin), row) for origin, row in rows_of(directory)])
    return Ids(directory, read_manifest(directory))


@pytest.mark.parametrize(
    ("name", "part", "listed"),
    [
        ("train.jsonl", "train", True),
        ("test.parquet", "test", True),
        ("targeted-refunds.jsonl", "targeted-refunds", True),
        ("time_holdout.jsonl", "time_holdout", True),
        ("train-12.5.jsonl", "train-12.5", False),
        ("reference.parquet", "reference", False),
        ("reference_test.parquet", "reference_test", False),
        ("README.md", "README.md", False),
    ],
)
def test_a_files_name_says_what_it_is(name: str, part: str, listed: bool) -> None:
    assert (part_of(name), has_ids(name)) == (part, listed)


def test_an_honest_listing_passes_every_check(honest: Path) -> None:
    ids = Ids(honest, read_manifest(honest))
    checks = (ids.check_rows(), ids.check_sides(), ids.check_groups(), ids.check_calls())
    assert all(check.state is State.OK for check in checks)
    assert len(ids.drawn()) == 200


def test_a_shared_group_is_named_with_its_files(honest: Path, tmp_path: Path) -> None:
    held = next(o for o, _ in rows_of(honest) if o.file == "test.jsonl")

    def share(origin: IdLine) -> IdLine:
        is_first = (origin.file, origin.row) == ("train.jsonl", 0)
        return msgspec.structs.replace(origin, group=held.group) if is_first else origin

    (problem,) = changed(honest, tmp_path, share).check_groups().problems
    assert f"group {held.group} is in" in problem
    assert "train.jsonl" in problem
    assert "test.jsonl" in problem


def test_a_call_inside_another_row_is_shared_too(honest: Path, tmp_path: Path) -> None:
    held = next(o for o, _ in rows_of(honest) if o.file == "test.jsonl")

    def share(origin: IdLine) -> IdLine:
        is_first = (origin.file, origin.row) == ("val.jsonl", 0)
        return msgspec.structs.replace(origin, continued=(held.call,)) if is_first else origin

    ids = changed(honest, tmp_path, share)
    assert ids.check_groups().state is State.OK
    (problem,) = ids.check_calls().problems
    assert f"call {held.call} is in" in problem


def test_what_is_held_out_may_share_groups(honest: Path, tmp_path: Path) -> None:
    directory = copied(honest, tmp_path / "changed")
    rows = rows_of(directory)
    (directory / "targeted-a.jsonl").touch()
    twice = [(moved_to(o, "targeted-a.jsonl"), row) for o, row in rows if o.file == "test.jsonl"]
    path = directory / "ids.jsonl"
    more = b"".join(
        msgspec.json.encode(msgspec.structs.replace(origin, row=number)) + b"\n"
        for number, (origin, _) in enumerate(twice)
    )
    path.write_bytes(path.read_bytes() + more)
    ids = Ids(directory, read_manifest(directory))
    assert ids.check_groups().state is State.OK


def test_rows_that_train_would_not_have_are_not_of_the_draw(honest: Path, tmp_path: Path) -> None:
    def unselected(origin: IdLine) -> IdLine:
        return msgspec.structs.replace(origin, selected=origin.file != "test.jsonl")

    drawn = changed(honest, tmp_path, unselected).drawn()
    assert 150 < len(drawn) < 200
    assert drawn.min() > 0.1


def test_a_group_is_held_against_its_side_in_every_file(honest: Path, tmp_path: Path) -> None:
    directory = copied(honest, tmp_path / "changed")
    rows = [pair for pair in rows_of(directory) for _ in range(2)]
    seen: set[str] = set()
    forged = []
    for origin, row in rows:
        again = origin.call in seen and origin.file == "train.jsonl"
        forged.append((moved_to(origin, "test.jsonl") if again else origin, row))
        seen.add(origin.call)
    forge(directory, forged)
    check = Ids(directory, read_manifest(directory)).check_sides()
    assert check.problem_count == sum(origin.file == "train.jsonl" for origin, _ in rows) // 2


@pytest.mark.parametrize(
    ("reason", "side", "version", "may"),
    [
        ("", Side.TEST, 1, False),
        ("first_call", Side.TEST, 1, False),
        ("top_up", Side.TEST, 1, True),
        ("top_up", Side.VAL, 1, False),
        ("ratio_raised", Side.TEST, 1, False),
        ("ratio_raised", Side.VAL, 2, True),
        ("joined", Side.VAL, 1, True),
        ("joined", Side.TRAIN, 1, False),
        ("quarantine", Side.TRAIN, 1, True),
        ("policy_1", Side.TRAIN, 2, True),
        ("policy_2", Side.TRAIN, 2, False),
        ("policy_", Side.TRAIN, 2, False),
        ("policy_" + "1" * 5_000, Side.TRAIN, 2, False),
    ],
)
def test_a_reason_takes_a_group_only_where_the_ledger_can(
    reason: str, side: Side, version: int, may: bool
) -> None:
    assert may_have_moved(reason, side, version) is may


def test_hashes_of_names_are_64_bits() -> None:
    assert 0 <= hash64("a") < 2**64
    assert hash64("\ud800") != hash64("a")
