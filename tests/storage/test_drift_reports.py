"""Kept drift reports, on both databases: bounded, and without what erased calls said."""

from pathlib import Path

import msgspec
import pytest
from sqlalchemy import select

from storage import database, drift_reports
from storage.drift_reports import (
    ERASED,
    REPORT_BYTES_MAX,
    NewReport,
    ReportTooLarge,
    add_drift_report,
    find_drift_report,
    forget_in_reports,
    list_drift_reports,
)
from storage.eraser import Eraser
from storage.erasure import Kind, Selection
from storage.receipts import request
from storage.schema import drift_report
from storage.store import TraceStore
from storage.trace import Json
from tests.storage.calls import START_NS, StillClock, at, id_of, recorded

SECRET = "zebra"


def content(*examples: int, word: str = SECRET) -> bytes:
    """Write a report that found one word in these calls, and another in call 9."""
    found: list[Json] = [
        {
            "feature": "prompt_terms",
            "value": word,
            "sentence": f"10 % say {word}",
            "example_call_ids": [id_of(number) for number in examples],
        },
        {
            "feature": "prompt_years",
            "value": "2024",
            "sentence": "10 % name 2024",
            "example_call_ids": [id_of(9)],
        },
    ]
    bars: Json = {"labels": [word], "edges": [], "reference": [0.0], "current": [0.1]}
    outcomes: list[Json] = [{"feature": "prompt_terms", "distribution": bars}]
    return msgspec.json.encode({"findings": found, "outcomes": outcomes})


def keep(
    store: TraceStore,
    report: bytes = b"{}",
    *,
    at_second: int = 0,
    verdict: str = "quiet",
    monitor: str = "",
    project: str = "default",
) -> str:
    clock = StillClock(START_NS + at_second * 10**9)
    new = NewReport(project, monitor, "7d", verdict, "dataset", report)
    return add_drift_report(store, new, clock=clock)


def test_a_report_is_read_again_by_its_id_or_the_beginning_of_it(store: TraceStore) -> None:
    report_id = keep(store, content(1), verdict="drift", monitor="live")
    found = find_drift_report(store, report_id[:12], "default")
    assert found is not None
    assert found.report == content(1)
    assert found.listed.monitor == "live"
    assert found.listed.created_at.isoformat() == "2026-09-21T14:13:20+00:00"
    assert find_drift_report(store, report_id, "other") is None
    assert find_drift_report(store, "") is None
    assert find_drift_report(store, "f" * 32) is None


def test_reports_are_listed_newest_first_page_by_page(store: TraceStore) -> None:
    ids = [keep(store, at_second=second) for second in range(5)]
    keep(store, project="other")
    keep(store, monitor="live", at_second=9)
    first = list_drift_reports(store, "default", limit=3, monitor="")
    assert [each.id for each in first] == [ids[4], ids[3], ids[2]]
    rest = list_drift_reports(store, "default", limit=3, monitor="", before=first[-1].id)
    assert [each.id for each in rest] == [ids[1], ids[0]]
    assert [each.monitor for each in list_drift_reports(store, "default", limit=1)] == ["live"]
    assert list_drift_reports(store, "default", limit=9, window="1h") == []


def test_the_newest_are_kept_and_of_the_others_those_with_drift_for_some_time(
    store: TraceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drift_reports, "KEPT_MAX", 2)
    day = 86_400
    old_drift = keep(store, at_second=0, verdict="drift")
    keep(store, at_second=1)
    drift = keep(store, at_second=60 * day, verdict="drift")
    other = keep(store, at_second=2, monitor="other")
    kept = [keep(store, at_second=61 * day + number) for number in range(2)]
    listed = {each.id for each in list_drift_reports(store, "default", limit=9)}
    assert listed == {old_drift, drift, other, *kept}
    kept.append(keep(store, at_second=100 * day))
    listed = {each.id for each in list_drift_reports(store, "default", limit=9)}
    assert listed == {drift, other, *kept[1:]}


def test_a_report_beyond_the_limit_is_refused(store: TraceStore) -> None:
    with pytest.raises(ReportTooLarge, match="are kept"):
        keep(store, b" " * (REPORT_BYTES_MAX + 1))


def stored_bytes(store: TraceStore) -> list[bytes]:
    with database.reading(store.engine) as connection:
        packed = connection.scalars(select(drift_report.c.report)).all()
    return [drift_reports._unpacked(each) for each in packed]


def test_words_of_an_erased_call_are_hidden_at_once_and_then_gone(
    store: TraceStore, tmp_path: Path
) -> None:
    store.insert([recorded(number) for number in (1, 2, 9)], at(1))
    report_id = keep(store, content(1, 2))
    untouched = keep(store, content(2, word="fox"), at_second=1)
    clock = StillClock(START_NS + 10**15)
    request(store, "default", Selection(Kind.ID, ids=(id_of(1),)), reason="", clock=clock)

    hidden = find_drift_report(store, report_id)
    assert hidden is not None
    assert SECRET not in hidden.report.decode()
    assert any(SECRET.encode() in each for each in stored_bytes(store))

    for name in ("spool", "poison"):
        (tmp_path / name).mkdir()
    eraser = Eraser(store, spool=tmp_path / "spool", poison=tmp_path / "poison", clock=clock)
    while any(SECRET.encode() in each for each in stored_bytes(store)):
        assert eraser.step()
    eraser.close()
    gone = find_drift_report(store, report_id)
    assert gone is not None
    tree = msgspec.json.decode(gone.report)
    assert tree["findings"][0]["sentence"] == ERASED
    assert tree["findings"][0]["example_call_ids"] == [id_of(2)]
    assert tree["findings"][1]["value"] == "2024"
    assert tree["outcomes"][0]["distribution"] is None
    kept = find_drift_report(store, untouched)
    assert kept is not None
    assert kept.report == content(2, word="fox")


def test_a_report_of_calls_that_were_erased_meanwhile_is_kept_without_their_words(
    store: TraceStore,
) -> None:
    store.insert([recorded(1)], at(1))
    clock = StillClock(START_NS + 10**15)
    request(store, "default", Selection(Kind.ID, ids=(id_of(1),)), reason="", clock=clock)
    keep(store, content(1))
    assert [SECRET.encode() in each for each in stored_bytes(store)] == [False]


def test_words_stay_when_calls_go_by_their_age(store: TraceStore) -> None:
    report_id = keep(store, content(1, 2))  # calls that are not there any more
    assert forget_in_reports(store, "default") == 0
    found = find_drift_report(store, report_id)
    assert found is not None
    assert SECRET in found.report.decode()
