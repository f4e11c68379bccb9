"""What somebody does who knows the format, and makes every hash and count agree with it."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from exporters.checks import State
from exporters.dataset import export
from exporters.inputs import input_of
from exporters.manifest import Manifest
from exporters.request import ExportRequest
from exporters.row_lines import IdLine
from exporters.row_reading import read_row
from exporters.selection import Reason
from exporters.shingles import folded, word_shingles, words_of
from exporters.templates import TABLE_BITS, TEMPLATES_FILE
from exporters.toolsets import ToolMode
from exporters.verify import Verification, verify
from storage.trace import Json, Side
from tests.exporters.calls import chat, record, said
from tests.exporters.conftest import make_store
from tests.exporters.forged import (
    Rows,
    copied,
    edit,
    forge_well,
    honest_export,
    moved_to,
    rehash,
    rows_of,
    text,
    traffic,
)

changed = msgspec.structs.replace
Forgery = Callable[[Rows], Rows]


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return honest_export(tmp_path_factory.mktemp("honest"), 400)


@pytest.fixture
def directory(honest: Path, tmp_path: Path) -> Path:
    return copied(honest, tmp_path / "forged")


def failed(found: Verification) -> set[str]:
    return {check.name for check in found.checks if check.state is State.FAILED}


def forged(directory: Path, forgery: Forgery) -> set[str]:
    forge_well(directory, forgery(rows_of(directory)))
    return failed(verify(directory))


def of_file(name: str, change: Callable[[IdLine], IdLine], rows: int = 12) -> Forgery:
    """Change the lines of the first rows of a file."""
    return lambda every: [
        (change(origin) if origin.file == name and origin.row < rows else origin, row)
        for origin, row in every
    ]


def test_who_changes_nothing_is_not_found_out(directory: Path) -> None:
    assert forged(directory, lambda rows: rows) == set()


def test_a_test_side_thinned_out_evenly_is_rejected(directory: Path) -> None:
    def thinned(rows: Rows) -> Rows:
        return [(o, row) for o, row in rows if o.file != "test.jsonl" or o.row % 3 == 0]

    assert forged(directory, thinned) == {"draw"}


def test_rows_in_another_order_are_rejected(directory: Path) -> None:
    def shuffled(rows: Rows) -> Rows:
        return random.Random(1).sample(rows, len(rows))

    assert forged(directory, shuffled) == {"rows"}


@pytest.mark.parametrize("name", ["train.jsonl", "test.jsonl"])
def test_rows_written_twice_are_rejected(directory: Path, name: str) -> None:
    def doubled(rows: Rows) -> Rows:
        twice = [((o, row),) * (2 if o.file == name and o.row < 9 else 1) for o, row in rows]
        return [pair for pairs in twice for pair in pairs]

    assert forged(directory, doubled) == {"calls"}


@pytest.mark.parametrize("reason", ["whim", "joined", "top_up", "policy_1", "policy_0", "targeted"])
def test_no_reason_takes_a_test_group_to_train(directory: Path, reason: str) -> None:
    forgery = of_file("test.jsonl", lambda o: changed(moved_to(o, "train.jsonl"), moved=reason))
    assert {"sides", "reference"} <= forged(directory, forgery)


def test_test_rows_said_to_be_made_up_are_rejected(directory: Path) -> None:
    forgery = of_file("test.jsonl", lambda origin: changed(origin, synthetic=True))
    assert forged(directory, forgery) == {"counts"}


def test_test_rows_said_to_be_of_no_filter_there_is_are_rejected(directory: Path) -> None:
    forgery = of_file("test.jsonl", lambda origin: changed(origin, selected=False))
    assert forged(directory, forgery) == {"counts"}


def test_another_salt_is_rejected(directory: Path) -> None:
    edit(directory, lambda manifest: changed(manifest, policy=changed(manifest.policy, salt="f")))
    assert "sides" in failed(verify(directory))


def short_only(rows: Rows) -> Rows:
    """Keep the test rows of one turn."""
    return [(o, r) for o, r in rows if o.file != "test.jsonl" or r.count(b'"user"') == 1]


def many_contaminated(manifest: Manifest) -> Manifest:
    entry = manifest.sides[Side.TRAIN]
    reasons = {**entry.reasons, Reason.CONTAMINATED: 200}
    entry = changed(entry, reasons=reasons, calls=entry.calls + 200)
    sides = {**manifest.sides, Side.TRAIN: entry}
    candidates = {**manifest.guard.candidates, "train.jsonl": entry.rows + 200}
    guard = changed(manifest.guard, candidates=candidates)
    return changed(manifest, sides=sides, guard=guard, calls=manifest.calls + 200)


def many_held_by_time(manifest: Manifest) -> Manifest:
    return changed(manifest, withheld_groups={"time_holdout": 4_000})


@pytest.mark.parametrize("excuse", [many_contaminated, many_held_by_time])
def test_no_rows_said_to_be_dropped_excuse_a_thinner_test_side(
    directory: Path, excuse: Callable[[Manifest], Manifest]
) -> None:
    forge_well(directory, short_only(rows_of(directory)))
    edit(directory, excuse)
    assert failed(verify(directory)) == {"draw"}


def test_near_copies_that_the_templates_excuse_are_found(directory: Path) -> None:
    tests = [row for origin, row in rows_of(directory) if origin.file == "test.jsonl"]

    def near_copy(row: bytes) -> bytes:
        said = json.loads(row)
        said["messages"][1]["content"] += " and so on"
        return json.dumps(said).encode()

    def planted(rows: Rows) -> Rows:
        return [
            (o, near_copy(tests[o.row]) if o.file == "train.jsonl" and o.row < 8 else row)
            for o, row in rows
        ]

    texts = [folded(input_of(read_row(row).messages).text) for row in tests[:8]]
    shingles = np.concatenate([word_shingles(words_of(text).hashes) for text in texts])
    told = json.loads((directory / TEMPLATES_FILE).read_bytes())
    told["places"] = sorted({int(shingle) >> (64 - TABLE_BITS) for shingle in shingles})
    (directory / TEMPLATES_FILE).write_text(json.dumps(told) + "\n")
    assert forged(directory, planted) == {"content"}


def test_a_sample_of_other_groups_is_no_reference(directory: Path) -> None:
    (directory / "reference.parquet").write_bytes(
        (directory / "reference_test.parquet").read_bytes()
    )

    def renamed(manifest: Manifest) -> Manifest:
        test = manifest.reference_test
        entries = {entry.name: entry for entry in manifest.files}
        entries["reference.parquet"] = changed(entries[test.name], name="reference.parquet")
        reference = changed(test, name="reference.parquet")
        return changed(manifest, reference=reference, files=tuple(entries.values()))

    edit(directory, renamed)
    (check,) = [each for each in verify(directory).checks if each.name == "reference"]
    assert "the manifest says other things of reference.parquet" in check.problems[0]
    assert "groups of test.jsonl" in check.problems[1]


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: changed(manifest, calls=manifest.calls + 1),
        lambda manifest: changed(manifest, guard=changed(manifest.guard, held_out={})),
        lambda manifest: changed(
            manifest,
            sides={side: changed(entry, random=True) for side, entry in manifest.sides.items()},
        ),
        lambda manifest: changed(
            manifest,
            sides={side: changed(entry, groups=7) for side, entry in manifest.sides.items()},
        ),
        lambda manifest: changed(
            manifest,
            sides={
                side: changed(entry, labels={"human": 1}) for side, entry in manifest.sides.items()
            },
        ),
    ],
    ids=["calls", "guard", "random", "groups", "labels"],
)
def test_a_manifest_that_contradicts_its_rows_is_rejected(
    directory: Path, change: Callable[[Manifest], Manifest]
) -> None:
    edit(directory, change)
    assert failed(verify(directory)) == {"counts"}


def test_a_changed_sample_is_noticed_though_the_list_of_files_agrees(directory: Path) -> None:
    data = (directory / "reference.parquet").read_bytes()
    (directory / "reference.parquet").write_bytes(data.replace(b"tiny", b"tinx"))
    rehash(directory)
    assert "reference" in failed(verify(directory))


def test_a_filter_that_takes_single_turns_is_no_forgery(tmp_path: Path) -> None:
    store = make_store(f"sqlite:///{tmp_path / 'store.sqlite'}")
    record(store, traffic(400))
    request = ExportRequest(where="substr(id, 32, 1) = '0'", accept_bias="first turns")
    export(store, request, tmp_path / "export", processes=1)
    store.close()
    found = verify(tmp_path / "export")
    assert failed(found) == set()
    (fairness,) = [check for check in found.checks if check.name == "fairness"]
    assert "takes single turns" in fairness.says


def test_rows_dropped_for_their_tools_are_no_forgery(tmp_path: Path) -> None:
    store = make_store(f"sqlite:///{tmp_path / 'store.sqlite'}")
    chance = random.Random(5)
    calls = []
    for number in range(500):
        parameters: Json = {"type": "object", "properties": {"a": {"type": "string"}}}
        name = "find" if number % 2 else "gone"
        function: Json = {"name": name, "parameters": parameters}
        tools: Json = [{"type": "function", "function": function}]
        asked = [said("user", text(chance))]
        calls.append(chat(number, asked, said("assistant", text(chance)), tools=tools))
    record(store, calls)
    current = json.dumps([{"type": "function", "function": function}])
    request = ExportRequest(tools=ToolMode.DROP, current_tools=current)
    export(store, request, tmp_path / "export", processes=1)
    store.close()
    assert failed(verify(tmp_path / "export")) == set()
