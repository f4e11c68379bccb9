"""An honest export holds; whatever was done to one afterwards, or instead, is found."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from exporters.checks import Check, State
from exporters.dataset import export
from exporters.manifest_reading import MANIFEST_FILE
from exporters.request import ExportRequest
from exporters.row_lines import IDS_FILE
from exporters.verify import Verification, verify
from exporters.verifying_files import NotAnExport
from storage.capture import SystemClock
from storage.targeted import create_test_set
from tests.exporters.calls import record
from tests.exporters.conftest import make_store
from tests.exporters.forged import (
    Rows,
    copied,
    exported,
    forge,
    honest_export,
    moved_to,
    rehash,
    rows_of,
    traffic,
)

GROUPS = 800
CHECKS = (
    *("files", "rows", "sides", "groups", "calls", "counts"),
    *("format", "content", "reference", "draw", "fairness"),
)

Forgery = Callable[[Rows], Rows]


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of conversations of one to three turns."""
    return honest_export(tmp_path_factory.mktemp("honest"), GROUPS)


def failed(found: Verification) -> list[str]:
    return [check.name for check in found.checks if check.state is State.FAILED]


def named(found: Verification, name: str) -> Check:
    (check,) = [check for check in found.checks if check.name == name]
    return check


def forged(honest: Path, tmp_path: Path, forgery: Forgery) -> Verification:
    directory = copied(honest, tmp_path / "forged")
    forge(directory, forgery(rows_of(directory)))
    return verify(directory)


def test_an_honest_export_holds(honest: Path) -> None:
    found = verify(honest)
    assert found.holds
    assert tuple(check.name for check in found.checks) == CHECKS
    assert all(check.state is State.OK for check in found.checks)


def test_tokens_are_counted_for_each_file(honest: Path) -> None:
    found = verify(honest)
    assert {tokens.file for tokens in found.tokens} == {"train.jsonl", "val.jsonl", "test.jsonl"}
    for tokens in found.tokens:
        assert tokens.total > tokens.longest > 20
        assert tokens.longest <= max(
            len(line) for line in (honest / tokens.file).read_bytes().splitlines()
        )


def test_progress_reaches_the_end(honest: Path) -> None:
    seen: list[tuple[int, int]] = []
    verify(honest, lambda done, total: seen.append((done, total)))
    assert seen[-1][0] > 0.7 * seen[-1][1]
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


@pytest.mark.parametrize("change", ["a byte", "a row more", "a file gone", "a file more"])
def test_a_file_that_was_changed_is_named(honest: Path, tmp_path: Path, change: str) -> None:
    directory = copied(honest, tmp_path / "changed")
    train = directory / "train.jsonl"
    data = train.read_bytes()
    if change == "a byte":
        train.write_bytes(data.replace(b"a", b"b", 1))
    elif change == "a row more":
        train.write_bytes(data + data.splitlines()[0] + b"\n")
    elif change == "a file gone":
        train.unlink()
    else:
        (directory / "more.jsonl").write_bytes(b"{}\n")
    found = verify(directory)
    check = named(found, "files")
    assert check.state is State.FAILED
    assert ("more.jsonl" if change == "a file more" else "train.jsonl") in check.problems[0]


def test_rows_drawn_without_regard_to_conversations_are_rejected(
    honest: Path, tmp_path: Path
) -> None:
    def row_split(rows: Rows) -> Rows:
        """Twice the rows, as of turns, every tenth of them for test."""
        every = [pair for pair in rows for _ in range(2)]
        return [
            (moved_to(origin, "train.jsonl" if number % 10 else "test.jsonl"), row)
            for number, (origin, row) in enumerate(every)
        ]

    found = forged(honest, tmp_path, row_split)
    assert {"groups", "calls", "sides", "content"} <= set(failed(found))


def test_the_longest_picked_by_hand_are_rejected(honest: Path, tmp_path: Path) -> None:
    def hand_picked(rows: Rows) -> Rows:
        longest = sorted(len(row) for _, row in rows)[-len(rows) // 10]
        return [
            (moved_to(origin, "test.jsonl" if len(row) >= longest else "train.jsonl"), row)
            for origin, row in rows
        ]

    found = forged(honest, tmp_path, hand_picked)
    assert {"sides", "fairness"} <= set(failed(found))


def test_a_test_side_filtered_afterwards_is_rejected(honest: Path, tmp_path: Path) -> None:
    def filtered(rows: Rows) -> Rows:
        return [
            (origin, row)
            for origin, row in rows
            if origin.file != "test.jsonl" or row.count(b'"user"') == 1
        ]

    found = forged(honest, tmp_path, filtered)
    assert failed(found) == ["rows", "counts", "draw", "fairness"]


def test_a_training_side_filtered_behind_the_report_is_rejected(
    honest: Path, tmp_path: Path
) -> None:
    def filtered(rows: Rows) -> Rows:
        return [
            (origin, row)
            for origin, row in rows
            if origin.file != "train.jsonl" or row.count(b'"user"') > 1
        ]

    assert "fairness" in failed(forged(honest, tmp_path, filtered))


def test_a_group_of_another_side_needs_the_ledgers_word(honest: Path, tmp_path: Path) -> None:
    def one_moved(rows: Rows) -> Rows:
        (origin, row), *rest = rows
        assert origin.file == "train.jsonl"
        return [(moved_to(origin, "test.jsonl"), row), *rest]

    check = named(forged(honest, tmp_path, one_moved), "sides")
    assert check.problem_count == 1
    assert "the ledger gives no reason" in check.problems[0]


def test_a_group_that_the_ledger_moved_is_counted(honest: Path, tmp_path: Path) -> None:
    def topped_up(rows: Rows) -> Rows:
        (origin, row), *rest = rows
        moved = msgspec.structs.replace(origin, file="test.jsonl", moved="top_up")
        return [(moved, row), *rest]

    check = named(forged(honest, tmp_path, topped_up), "sides")
    assert check.state is State.OK
    assert "but for 1 row moved, as the ledger says" in check.says


def test_a_copy_of_a_test_row_under_another_group_is_found(honest: Path, tmp_path: Path) -> None:
    def planted(rows: Rows) -> Rows:
        test = [pair for pair in rows if pair[0].file == "test.jsonl"]
        train = [pair for pair in rows if pair[0].file == "train.jsonl"]
        copies = {train[place][0].call: test[place][1] for place in range(3)}
        return [(origin, copies.get(origin.call, row)) for origin, row in rows]

    check = named(forged(honest, tmp_path, planted), "content")
    assert check.problem_count == 3
    assert "gives away test.jsonl row" in check.problems[0]


def test_a_row_that_is_no_row_is_named(honest: Path, tmp_path: Path) -> None:
    def broken(rows: Rows) -> Rows:
        return [(o, row[:-1] if o.file == "val.jsonl" and o.row == 2 else row) for o, row in rows]

    check = named(forged(honest, tmp_path, broken), "format")
    assert check.problem_count == 1
    assert check.problems[0].startswith("val.jsonl row 2: ")


def test_a_row_without_its_line_is_noticed(honest: Path, tmp_path: Path) -> None:
    directory = copied(honest, tmp_path / "changed")
    lines = (directory / IDS_FILE).read_bytes().splitlines(keepends=True)
    (directory / IDS_FILE).write_bytes(b"".join(lines[:5] + lines[6:]))
    rehash(directory)
    assert "rows" in failed(verify(directory))


def test_ids_that_cannot_be_read_fail(honest: Path, tmp_path: Path) -> None:
    directory = copied(honest, tmp_path / "changed")
    (directory / IDS_FILE).write_bytes(b"{\n")
    assert {"files", "rows"} <= set(failed(verify(directory)))


def test_ids_as_deep_as_no_reader_goes_fail(honest: Path, tmp_path: Path) -> None:
    directory = copied(honest, tmp_path / "changed")
    (directory / IDS_FILE).write_bytes(b'{"a":' * 100_000 + b"\n")
    assert {"files", "rows"} <= set(failed(verify(directory)))


@pytest.mark.parametrize(
    "text", ["", "{}", '{"version": 999}', '{"version": 2}', '{"a":' * 100_000]
)
def test_what_is_no_manifest_says_so(tmp_path: Path, text: str) -> None:
    (tmp_path / MANIFEST_FILE).write_text(text)
    with pytest.raises(NotAnExport, match="manifest.json"):
        verify(tmp_path)


def test_a_directory_without_an_export_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotAnExport, match="name the directory of an export"):
        verify(tmp_path)


@pytest.mark.parametrize("name", ["trl", "sharegpt", "parquet", "prompt-completion"])
def test_exports_of_other_formats_hold(tmp_path: Path, name: str) -> None:
    store = make_store(f"sqlite:///{tmp_path / 'store.sqlite'}")
    exported(store, tmp_path / "export", 250, ExportRequest(format=name))
    store.close()
    found = verify(tmp_path / "export")
    assert failed(found) == []


def test_a_filtered_training_side_is_held_against_what_it_was_drawn_from(tmp_path: Path) -> None:
    store = make_store(f"sqlite:///{tmp_path / 'store.sqlite'}")
    request = ExportRequest(where="request_model = 'tiny'", accept_bias="one model")
    exported(store, tmp_path / "export", 400, request)
    store.close()
    found = verify(tmp_path / "export")
    assert failed(found) == []
    assert named(found, "fairness").state is State.OK


def test_subsets_that_are_not_parts_of_train_are_noticed(tmp_path: Path) -> None:
    store = make_store(f"sqlite:///{tmp_path / 'store.sqlite'}")
    exported(store, tmp_path / "export", 200, ExportRequest(subsets=(25.0, 50.0)))
    store.close()
    assert named(verify(tmp_path / "export"), "subsets").state is State.OK
    path = tmp_path / "export" / "train-25.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[1:], lines[0]]))
    rehash(tmp_path / "export")
    assert failed(verify(tmp_path / "export")) == ["subsets"]


def test_a_raised_and_topped_up_split_holds(tmp_path: Path) -> None:
    store = make_store(f"sqlite:///{tmp_path / 'store.sqlite'}")
    exported(store, tmp_path / "first", 300, ExportRequest())
    store.change_policy("default", 0.2, 0.05)
    record(store, traffic(600)[-500:], offset=2)
    export(store, ExportRequest(), tmp_path / "second", processes=1)
    store.close()
    found = verify(tmp_path / "second")
    assert failed(found) == []
    assert "moved, as the ledger says" in named(found, "sides").says


def test_sets_held_out_by_time_and_by_hand_are_no_bias(tmp_path: Path) -> None:
    store = make_store(f"sqlite:///{tmp_path / 'store.sqlite'}")
    record(store, traffic(300))
    request = ExportRequest(time_holdout="1970-01-20..1970-02-10")
    export(store, request, tmp_path / "time", processes=1)
    where = "request_model = 'large' and substr(id, 31, 1) >= '8'"
    create_test_set(store, "default", "large", where, clock=SystemClock())
    export(store, request, tmp_path / "both", processes=1)
    export(store, ExportRequest(), tmp_path / "later", processes=1)
    store.close()
    found = {name: verify(tmp_path / name) for name in ("time", "both", "later")}
    assert [failed(each) for each in found.values()] == [[], [], []]
    assert named(found["time"], "draw").state is State.OK
    assert "targeted-large.jsonl" in {each.file for each in found["both"].tokens}
    later = named(found["later"], "draw")
    assert later.state is State.OK
    assert "groups out by time, in no file here" in later.says
    assert named(found["later"], "fairness").state is State.SKIPPED
