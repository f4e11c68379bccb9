"""`shalt split`, `shalt split top-up` and `shalt testset`, over the demo's traffic."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from shalt import splitting
from shalt.recording import open_store
from shalt.settings import Settings
from storage.reservation import PolicyError
from storage.rows import DatasetItem
from storage.trace import Side
from tests.storage.calls import at, recorded

Printed = pytest.CaptureFixture[bytes]


@pytest.fixture(name="own")
def _own(own_settings: Settings) -> Settings:
    return own_settings


def shown(printed: Printed) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(printed.readouterr().out)
    return values


def test_split_shows_and_changes_the_ratios(own: Settings, capsysbinary: Printed) -> None:
    splitting.split(own, test_ratio=None, val_ratio=None, as_json=False)
    text = capsysbinary.readouterr().out
    assert b"policy 1: test 0.1, val 0.05" in text
    assert b"groups shows, of two models, " in text
    splitting.split(own, test_ratio=0.2, val_ratio=None, as_json=True)
    fields = shown(capsysbinary)
    assert (fields["policy_version"], fields["test_ratio"], fields["val_ratio"]) == (2, 0.2, 0.05)
    assert fields["changes"] == {"ratio_raised": fields["moved"]["test"]["groups"]}
    assert len(fields["salt"]) == 32


def test_split_says_beforehand_and_afterwards_what_moves(
    own: Settings, capsysbinary: Printed
) -> None:
    with closing(open_store(own)) as store:
        rows = store.list("default", "side = 'train'", limit=10_000)
        items = [DatasetItem(row.id, row.group_id, Side.TRAIN) for row in rows]
        store.record_dataset("default", "/tmp/d", "0" * 64, items)
    splitting.split(own, test_ratio=0.5, val_ratio=None, as_json=False)
    lines = capsysbinary.readouterr().out.decode().splitlines()
    assert lines[0].startswith("to move from train to test: 0 groups, 0 calls; ")
    assert "left in train or val files" in lines[0]
    assert lines[2].startswith("moved from train to test: 0 groups")


def test_split_of_a_new_project_shows_what_it_would_get(
    own: Settings, capsysbinary: Printed
) -> None:
    settings = own.model_copy(update={"project": "new", "test_ratio": 0.3})
    splitting.split(settings, test_ratio=None, val_ratio=None, as_json=True)
    fields = shown(capsysbinary)
    assert (fields["policy_version"], fields["test_ratio"], fields["salt"]) == (0, 0.3, "")


def test_a_top_up_prints_what_it_took_and_what_the_set_shows(
    own: Settings, capsysbinary: Printed
) -> None:
    splitting.split(own, test_ratio=None, val_ratio=None, as_json=True)
    before = shown(capsysbinary)["sides"]["test"]["groups"]
    splitting.split_top_up(own, groups=before + 2, yes=False, as_json=True)
    fields = shown(capsysbinary)
    assert (fields["before"], fields["after"], len(fields["taken"])) == (before, before + 2, 2)
    assert fields["detectable_after"]["0.4"] < (fields["detectable_before"]["0.4"] or 1)
    splitting.split_top_up(own, groups=before + 2, yes=False, as_json=False)
    text = capsysbinary.readouterr().out.decode()
    assert "0 taken from train" in text
    assert "after:  test of" in text
    splitting.split_top_up(own, groups=None, yes=False, as_json=False)
    assert "give --groups" in capsysbinary.readouterr().out.decode()


def test_a_top_up_that_takes_most_of_train_asks_for_a_yes(
    own: Settings, capsysbinary: Printed
) -> None:
    with pytest.raises(splitting.LargeTestSet, match="for ever: ask for fewer, or say --yes"):
        splitting.split_top_up(own, groups=10_000, yes=False, as_json=False)
    splitting.split_top_up(own, groups=10_000, yes=True, as_json=False)
    text = capsysbinary.readouterr().out.decode()
    assert "wanted were 10,000: train has no other group that has not left in a file" in text


def test_ratios_that_leave_no_train_are_refused_before_a_plan_is_shown(
    own: Settings, capsysbinary: Printed
) -> None:
    with pytest.raises(PolicyError, match="whose sum is below 1"):
        splitting.split(own, test_ratio=0.7, val_ratio=0.7, as_json=False)
    assert capsysbinary.readouterr().out == b""


def test_a_targeted_set_is_made_listed_shown_and_removed(
    own: Settings, capsysbinary: Printed
) -> None:
    where = "side = 'train' and streamed"
    splitting.make_test_set(own, "streams", where=where, note="mine", yes=True, as_json=True)
    made = shown(capsysbinary)
    assert (made["name"], made["random"], made["where"]) == ("streams", False, where)
    splitting.list_sets(own, as_json=True)
    assert shown(capsysbinary)["calls"] == made["calls"]
    splitting.show_set(own, "streams", as_json=True)
    assert len(shown(capsysbinary)["ids"]) == made["calls"]
    splitting.split(own, test_ratio=None, val_ratio=None, as_json=False)
    assert "targeted, random: false" in capsysbinary.readouterr().out.decode()
    splitting.remove_set(own, "streams")
    assert "stay out of train and val for ever" in capsysbinary.readouterr().out.decode()
    splitting.list_sets(own, as_json=False)
    assert capsysbinary.readouterr().out == b""
    splitting.show_set(own, "streams", as_json=False)
    assert "removed" in capsysbinary.readouterr().out.decode()
    with pytest.raises(splitting.NoTestSet, match="nobody"):
        splitting.show_set(own, "nobody", as_json=False)


def test_a_set_that_takes_most_of_train_asks_for_a_yes(
    own: Settings, capsysbinary: Printed
) -> None:
    with pytest.raises(splitting.LargeTestSet, match="for ever: narrow it, or say --yes"):
        splitting.make_test_set(own, "all", where="1 = 1", note="", yes=False, as_json=False)
    splitting.list_sets(own, as_json=False)
    assert capsysbinary.readouterr().out == b""


def test_calls_that_were_trained_on_are_listed_and_not_taken(
    own: Settings, capsysbinary: Printed
) -> None:
    with closing(open_store(own)) as store:
        (row,) = store.list("default", "side = 'train'", limit=1)
        item = DatasetItem(row.id, row.group_id, Side.TRAIN)
        store.record_dataset("default", "/tmp/d", "0" * 64, [item])
    splitting.make_test_set(own, "all", where="side = 'train'", note="", yes=True, as_json=False)
    text = capsysbinary.readouterr().out.decode()
    assert "not taken: " in text
    assert row.id in text


def test_a_group_of_one_call_is_not_told_as_large(tmp_path: Path, capsysbinary: Printed) -> None:
    settings = Settings(data_dir=tmp_path)
    with closing(open_store(settings)) as store:
        store.upgrade()
        store.insert([recorded(1)], at(1))
    splitting.split(settings, test_ratio=None, val_ratio=None, as_json=False)
    assert " holds " not in capsysbinary.readouterr().out.decode()


def test_largest_groups_and_groups_of_two_sources_are_told_with_advice(
    own: Settings, capsysbinary: Printed
) -> None:
    with closing(open_store(own)) as store, store.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE call SET group_id = 'alike', group_source = 'user' WHERE id < "
            "(SELECT id FROM call ORDER BY id LIMIT 1 OFFSET 100)"
        )
    splitting.split(own, test_ratio=None, val_ratio=None, as_json=False)
    text = capsysbinary.readouterr().out.decode()
    assert "groups made in different ways" in text
    assert "under one user" in text
    assert "tag:<key>" in text
