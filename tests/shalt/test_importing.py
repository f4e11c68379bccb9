"""`shalt import`, over the files of the corpus and whole data sets."""

import gzip
import json
import os
import shutil
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from shalt import importing
from shalt.importing import FormatUnknown, ImportStopped, TimeUnreadable, Wanted
from shalt.intake import Intake
from shalt.places import Places
from shalt.recording import open_store
from shalt.settings import Settings
from storage.capture import SystemClock
from storage.ledger import read_ledger
from storage.rows import CallRow
from storage.segments import writers
from tests.importers.reading import CORPUS, read
from tests.serving import running_shalt
from tests.upstream import running_upstream

Printed = pytest.CaptureFixture[bytes]
DATA_SETS = Path(__file__).parents[3] / "shared" / "data" / "datasets"


@pytest.fixture(name="settings")
def _settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data")


def run(
    settings: Settings,
    *names: str | Path,
    form: str | None = None,
    tags: dict[str, str] | None = None,
    at: str | None = None,
    synthetic: bool = False,
    strict: bool = False,
) -> int:
    wanted = Wanted(form, tags or {}, at, synthetic, strict)
    paths = [CORPUS / name for name in names]
    return importing.import_files(settings, paths, wanted, as_json=True)


def rows(settings: Settings) -> list[CallRow]:
    with closing(open_store(settings)) as store:
        return list(store.list(settings.project, limit=10_000))


def summary(printed: Printed) -> dict[str, object]:
    said: dict[str, object] = json.loads(printed.readouterr().out.splitlines()[-1])
    return said


@pytest.mark.parametrize(
    ("names", "calls", "troubles"),
    [
        (["openai_chat.jsonl"], 4, 2),
        (["openai_stored.json", "openai_stored_messages.jsonl"], 2, 0),
        (["openai_batch_output.jsonl", "openai_batch_input.jsonl"], 2, 1),
        (["litellm.jsonl"], 4, 1),
        (["litellm.csv"], 3, 0),
        (["langfuse_later.jsonl", "langfuse_observations.jsonl", "langfuse_traces.json"], 5, 0),
        (["otlp.jsonl"], 9, 0),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else str(value),
)
def test_a_format_is_found_out_and_a_second_import_adds_nothing(
    settings: Settings, names: list[str], calls: int, troubles: int, capsysbinary: Printed
) -> None:
    assert run(settings, *names) == (1 if troubles else 0)
    first = summary(capsysbinary)
    assert (first["added"], first["already_there"], first["not_understood"]) == (calls, 0, troubles)
    before = rows(settings)
    assert len(before) == calls
    run(settings, *names)
    again = summary(capsysbinary)
    assert (again["added"], again["already_there"]) == (0, calls)
    assert rows(settings) == before


def test_the_store_keeps_ids_times_and_source(settings: Settings) -> None:
    run(settings, "litellm.jsonl")
    newest_first = rows(settings)
    assert {row.source for row in newest_first} == {"import:litellm"}
    assert newest_first[-1].provider_id == "chatcmpl-l1"
    assert f"{newest_first[-1].started_at:%H:%M:%S.%f}" == "14:13:20.250000"
    started = [row.started_at for row in newest_first]
    assert started == sorted(started, reverse=True)


def test_nothing_is_left_in_the_spool_and_the_ledger_is_true(settings: Settings) -> None:
    run(settings, "otlp.jsonl", "litellm.jsonl")
    run(settings, "otlp.jsonl")
    places = Places(settings.data_dir)
    assert writers(places.spool) == []
    with closing(open_store(settings)) as store:
        ledger = read_ledger(places.spool, store)
    assert (ledger.accepted, ledger.stored, sum(ledger.dropped.values())) == (13, 13, 0)


def test_troubles_are_told_with_file_and_line(settings: Settings, capsysbinary: Printed) -> None:
    run(settings, "openai_chat.jsonl")
    told = capsysbinary.readouterr().err.decode()
    assert f"{CORPUS}/openai_chat.jsonl:4: none of its messages is an assistant's answer\n" in told
    assert f"{CORPUS}/openai_chat.jsonl:5: the record is not JSON\n" in told


def test_strict_stops_at_the_first_trouble_with_all_before_it_stored(settings: Settings) -> None:
    with pytest.raises(ImportStopped, match=r"openai_chat\.jsonl:4: none of its messages"):
        run(settings, "openai_chat.jsonl", strict=True)
    assert len(rows(settings)) == 3


def test_tags_project_and_source_are_as_wanted(settings: Settings) -> None:
    shop = settings.model_copy(update={"project": "shop"})
    run(shop, "openai_chat.jsonl", tags={"set": "gold", "topic": "mine"}, synthetic=True)
    found = rows(shop)
    assert rows(settings) == []
    assert {row.source for row in found} == {"synthetic"}
    assert {row.tags["set"] for row in found} == {"gold"}
    assert {row.tags.get("topic") for row in found} == {"mine"}


def test_records_without_a_time_have_that_of_the_file_or_the_one_given(
    settings: Settings, tmp_path: Path, capsysbinary: Printed
) -> None:
    copy = shutil.copy(CORPUS / "openai_chat.jsonl", tmp_path / "copy.jsonl")
    os.utime(copy, (1_700_000_000, 1_700_000_000))
    run(settings, copy)
    assert summary(capsysbinary)["undated"] == 3
    assert {row.started_at.timestamp() for row in rows(settings)} == {1_700_000_000, 1_790_000_000}
    run(settings, copy, at="2023-11-14T22:13:20Z")
    assert summary(capsysbinary)["added"] == 0


@pytest.mark.parametrize("at", ["soon", "2026-13-01"])
def test_a_time_that_is_none_is_refused(settings: Settings, at: str) -> None:
    with pytest.raises(TimeUnreadable, match=at):
        run(settings, "openai_chat.jsonl", at=at)


def test_a_file_of_no_known_format_is_refused_before_anything_is_imported(
    settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "other.jsonl").write_text('{"question": 1}\n')
    with pytest.raises(FormatUnknown, match="other"):
        run(settings, "openai_chat.jsonl", tmp_path / "other.jsonl")
    assert not settings.data_dir.exists()


def test_a_format_that_is_given_is_believed(settings: Settings, capsysbinary: Printed) -> None:
    assert run(settings, "litellm.jsonl", form="openai-chat") == 1
    assert summary(capsysbinary)["not_understood"] == 5


def test_compressed_files_are_imported_like_others(
    settings: Settings, tmp_path: Path, capsysbinary: Printed
) -> None:
    path = tmp_path / "packed"
    path.write_bytes(gzip.compress((CORPUS / "otlp.jsonl").read_bytes(), mtime=0))
    run(settings, path)
    assert summary(capsysbinary)["added"] == 9
    run(settings, "otlp.jsonl")
    assert summary(capsysbinary)["already_there"] == 9


def test_a_running_shalt_records_what_is_imported(tmp_path: Path, capsysbinary: Printed) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    with running_upstream() as upstream, running_shalt(settings.data_dir, upstream.url) as shalt:
        assert run(settings, "litellm.csv") == 0
        assert summary(capsysbinary)["added"] == 3
        assert shalt.status()["stored"] == 3
        assert shalt.rows("SELECT count(*) FROM call WHERE source = 'import:litellm'") == [(3,)]
        run(settings, "litellm.csv")
        assert summary(capsysbinary)["already_there"] == 3


def test_what_a_killed_import_left_in_the_spool_is_not_taken_twice(
    settings: Settings, capsysbinary: Printed
) -> None:
    run(settings.model_copy(update={"project": "other"}), "litellm.csv")  # makes the store
    left = Settings(data_dir=settings.data_dir)
    captures = [
        msgspec.structs.replace(capture, source="import:otlp")
        for capture in read("otlp", "otlp.jsonl").captures[:4]
    ]
    with closing(open_store(left)) as store:
        intake = Intake(left, store, SystemClock())
        intake.put(captures)
        intake.close()
    capsysbinary.readouterr()
    run(settings, "otlp.jsonl")
    said = summary(capsysbinary)
    assert (said["added"], said["already_there"]) == (5, 4)
    places = Places(settings.data_dir)
    with closing(open_store(settings)) as store:
        ledger = read_ledger(places.spool, store)
    assert (ledger.accepted, ledger.stored, sum(ledger.dropped.values())) == (12, 12, 0)


def test_a_spool_that_is_small_is_waited_for(settings: Settings, capsysbinary: Printed) -> None:
    small = settings.model_copy(update={"spool_bytes_max": 2_000, "spool_segment_bytes": 1_000})
    run(small, "otlp.jsonl")
    assert summary(capsysbinary)["added"] == 9


@pytest.mark.parametrize(
    ("name", "calls"), [("glaive_toolcall_en", 193), ("sgd", 286), ("clinc150", 3_972)]
)
def test_a_data_set_is_imported_whole(
    settings: Settings, name: str, calls: int, capsysbinary: Printed
) -> None:
    path = DATA_SETS / f"{name}.jsonl"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    assert run(settings, path, at="2026-01-01") == 0
    assert summary(capsysbinary)["added"] == calls
    assert len(rows(settings)) == calls
    run(settings, path, at="2026-01-01")
    assert summary(capsysbinary)["added"] == 0


def test_the_summary_is_for_people_too(settings: Settings, capsysbinary: Printed) -> None:
    wanted = Wanted(None, {}, None, False, False)
    importing.import_files(settings, [CORPUS / "openai_chat.jsonl"], wanted, as_json=False)
    text = capsysbinary.readouterr().out.decode()
    assert "4 calls added of 6 records" in text
    assert "not understood         2" in text
