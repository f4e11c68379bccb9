"""`shalt db rederive` and `shalt db reprice`: what they print."""

import json
from contextlib import closing
from pathlib import Path

import pytest

from shalt import rederiving
from shalt.recording import open_store
from shalt.settings import Settings
from tests.storage.calls import at, id_of
from tests.storage.test_rederive import misunderstood
from tests.stores import laid

Printed = pytest.CaptureFixture[bytes]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings(data_dir=tmp_path)
    with closing(open_store(laid(made))) as store:
        store.upgrade()
        store.insert([misunderstood(1), misunderstood(2)], at(1))
    return made


def test_it_says_how_many_calls_each_column_has_changed_for(
    settings: Settings, capsysbinary: Printed
) -> None:
    rederiving.rederive(settings, where=None, dry_run=False, as_json=False)
    lines = capsysbinary.readouterr().out.decode().splitlines()
    assert lines[0] == "2 calls read, 2 changed"
    assert lines[lines.index("  note                            2 calls") + 1] == (
        f"    {id_of(1)}  'not understood' → ''"
    )


def test_a_dry_run_says_what_would_change(settings: Settings, capsysbinary: Printed) -> None:
    for _ in range(2):
        rederiving.rederive(settings, where=None, dry_run=True, as_json=False)
        assert capsysbinary.readouterr().out.startswith(b"2 calls read, 2 would change")


def test_json_holds_the_whole_report(settings: Settings, capsysbinary: Printed) -> None:
    rederiving.rederive(settings, where=f"id = '{id_of(2)}'", dry_run=False, as_json=True)
    report = json.loads(capsysbinary.readouterr().out)
    assert (report["dry_run"], report["calls"], report["without_body"]) == (False, 1, 0)
    assert report["columns"]["response_model"] == {
        "calls": 1,
        "examples": [{"call_id": id_of(2), "before": "", "after": "gpt-4o"}],
    }


def test_reprice_prints_the_same_kind_of_report(settings: Settings, capsysbinary: Printed) -> None:
    rederiving.reprice(settings, where=None, dry_run=False, as_json=False)
    assert capsysbinary.readouterr().out == b"2 calls read, 0 changed\n"
