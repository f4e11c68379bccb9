"""Rows of windows, samples of them, and the hours of their week."""

from datetime import UTC, datetime

import msgspec
import numpy as np

from exporters.columns import window_of
from exporters.windows import Measured, hour_of_week, in_sample, rank_of, take, with_sample_bits
from storage.features import FEATURE_VERSION
from storage.terms import TextFeatures
from storage.trace import Understood
from tests.exporters.calls import measured_of


def hashes(*numbers: int) -> bytes:
    return np.array(numbers, dtype="<u4").tobytes()


def measured(number: int, *, year: int = 2023, bits: int | None = 0) -> Measured:
    """Make a call whose terms are its number, and all calls'."""
    row = measured_of(Understood(request_model=f"model-{number % 3}"), f"{number:032x}")
    features = msgspec.structs.replace(row.features, prompt_years=f"[{year},{year + number}]")
    text = None
    if bits is not None and in_sample(row.call_id, bits):
        terms = hashes(number, 10**9)
        text = TextFeatures(FEATURE_VERSION, bits, "en", "de", terms, terms[4:], b"")
    return msgspec.structs.replace(row, features=features, started_at=number, text=text)


def test_some_rows_of_a_window_are_a_window_of_those_calls() -> None:
    rows = [measured(number) for number in range(1, 30)]
    chosen = [3, 17, 5]
    part = take(window_of(rows, "all"), chosen, "some")
    alone = window_of([rows[each] for each in chosen], "some")
    assert (part.call_ids, part.group_ids, part.label) == (alone.call_ids, alone.group_ids, "some")
    assert part.call_count == 3
    assert part.numbers["prompt_chars"].tolist() == alone.numbers["prompt_chars"].tolist()
    for each in (part, alone):
        models, years, terms = (
            each.categories["request_model"],
            each.sets["prompt_years"],
            each.terms["prompt_terms"],
        )
        assert [models.values[code] for code in models.codes] == ["model-1", "model-0", "model-0"]
        assert [years.values[code] for code in years.codes[years.starts[1] : years.starts[2]]] == [
            "2023",
            "2029",
        ]
        assert terms.rows.tolist() == [0, 1, 2]
        assert terms.starts.tolist() == [0, 2, 4, 6]
        assert terms.hashes.tolist() == [4, 10**9, 6, 10**9, 18, 10**9]


def test_a_sample_of_more_bits_is_part_of_one_of_fewer() -> None:
    rows = [measured(number) for number in range(1, 200)]
    cut = with_sample_bits(window_of(rows, ""), 3)
    alone = window_of([measured(number, bits=3) for number in range(1, 200)], "")
    assert 0 < len(alone.terms["prompt_terms"].rows) < 60
    for name in ("prompt_terms", "answer_terms", "answer_fields"):
        assert cut.terms[name].rows.tolist() == alone.terms[name].rows.tolist()
        assert cut.terms[name].hashes.tolist() == alone.terms[name].hashes.tolist()
    assert len(cut) == 199
    languages = [cut.categories["prompt_language"], alone.categories["prompt_language"]]
    assert languages[0].codes.tolist() == languages[1].codes.tolist()
    assert with_sample_bits(cut, 2) is cut


def test_a_rank_is_the_beginning_of_a_sha_256() -> None:
    assert rank_of("abc") == 0xBA7816BF8F01CFEA  # FIPS 180-2, appendix B.1
    assert in_sample("abc", 0)
    assert not in_sample("abc", 1)


def test_the_hours_of_a_week_begin_on_monday() -> None:
    times = [
        (datetime(2026, 11, 23, 0, 59, tzinfo=UTC), 0),
        (datetime(2026, 11, 23, 1, tzinfo=UTC), 1),
        (datetime(2026, 11, 29, 23, tzinfo=UTC), 167),
        (datetime(1970, 1, 1, tzinfo=UTC), 72),
    ]
    rows = [
        msgspec.structs.replace(measured(number), started_at=int(time.timestamp()) * 10**6)
        for number, (time, _) in enumerate(times)
    ]
    assert hour_of_week(window_of(rows, "")).tolist() == [hour for _, hour in times]
