"""What a filter implies of the calls it finds."""

import pytest

from storage.filter_bounds import TAGS_MAX, bounds_of
from storage.filter_syntax import FilterError
from storage.id_range import ALL_IDS, NO_IDS, IdRange, ids_between

OCTOBER, NOVEMBER = 1_790_812_800_000_000, 1_793_491_200_000_000  # microseconds: 2026-10-01, -11-01


@pytest.mark.parametrize(
    "text",
    [
        "started_at >= '2026-10-01' and started_at < '2026-11-01'",
        "('2026-10-01T00:00:00Z' <= started_at) AND streamed and (started_at < '2026-11-01')",
        "started_at between '2026-10-01' and '2026-11-01'",
        "started_at > '2026-09-01' and '2026-10-01' < started_at and started_at <= '2026-11-01'",
    ],
)
def test_times_at_the_top_bound_the_ids(text: str) -> None:
    assert bounds_of(text).ids == ids_between(OCTOBER, NOVEMBER)


def test_an_exact_time_bounds_both_ends() -> None:
    assert bounds_of("started_at = '2026-10-01'").ids == ids_between(OCTOBER, OCTOBER)


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("id = '01a'", IdRange("01a", "01a0")),
        ("'01a' = id and streamed", IdRange("01a", "01a0")),
        ("id > '01a'", IdRange("01a0", None)),
        ("id >= '01a'", IdRange("01a", None)),
        ("id < '01a'", IdRange(None, "01a")),
        ("id <= '01a'", IdRange(None, "01a0")),
        ("'01a' >= id", IdRange(None, "01a0")),
        ("'01a' < id", IdRange("01a0", None)),
        ("id between '01a' and '01b'", IdRange("01a", "01b0")),
        ("id in ('01c', '01a')", IdRange("01a", "01c0")),
        ("id <> '01a' and id > session_id and id in ('01a', user_id)", ALL_IDS),
        ("id > '01a' or streamed", ALL_IDS),
    ],
)
def test_an_id_that_is_compared_bounds_the_ids(text: str, ids: IdRange) -> None:
    assert bounds_of(text).ids == ids


@pytest.mark.parametrize(
    "text",
    [
        "started_at >= '2026-10-01' or streamed",
        "not started_at >= '2026-10-01'",
        "started_at <> '2026-10-01'",
        "not (started_at between '2026-10-01' and '2026-11-01')",
        "started_at in ('2026-10-01')",
        "started_at >= coalesce('2026-10-01', '2026-11-01')",
        "case when started_at >= '2026-10-01' then streamed else streamed end",
        "(started_at > '2026-10-01') = streamed",
    ],
)
def test_anything_else_bounds_nothing(text: str) -> None:
    assert bounds_of(text).ids == ALL_IDS


def test_tags_that_are_wanted_are_known() -> None:
    text = "tags['App'] = 'chat' and 'x' = tags['b'] and tags['c'] <> 'y' and tags['d'] like 'z'"
    assert bounds_of(text).tags == (("app", "chat"), ("b", "x"))


def test_no_call_has_two_values_of_a_tag() -> None:
    assert bounds_of("tags['a'] = 'x' and tags['A'] = 'y'").ids == NO_IDS
    assert bounds_of("tags['a'] = 'x' and tags['a'] = 'x'").ids == ALL_IDS
    assert bounds_of("tags['a'] = 'x' and tags['b'] = 'y'").ids == ALL_IDS


def test_only_so_many_tags_are_looked_at() -> None:
    text = " and ".join(f"tags['{number}'] = 'x'" for number in range(TAGS_MAX + 3))
    assert len(bounds_of(text).tags) == TAGS_MAX


def test_a_tag_that_need_not_be_there_is_not_wanted() -> None:
    assert bounds_of("tags['a'] = 'x' or tags['b'] = 'y'").tags == ()
    assert bounds_of("not tags['a'] = 'x'").tags == ()


@pytest.mark.parametrize(
    ("text", "failed"),
    [
        ("outcome <> 'complete'", True),
        ("'complete' <> outcome and streamed", True),
        ("outcome = 'client_gone'", True),
        ("outcome in ('refused', 'client_gone')", True),
        ("outcome = 'complete'", False),
        ("outcome <> 'refused'", False),
        ("outcome in ('refused', 'complete')", False),
        ("outcome in ('refused', lower('COMPLETE'))", False),
        ("not outcome in ('refused')", False),
        ("outcome <> 'complete' or streamed", False),
        ("endpoint <> 'responses'", False),
    ],
)
def test_a_filter_that_leaves_out_complete_calls_is_known(text: str, failed: bool) -> None:
    assert bounds_of(text).failed is failed


def test_what_is_no_expression_is_an_error() -> None:
    with pytest.raises(FilterError):
        bounds_of("outcome = ")


@pytest.mark.parametrize(
    ("text", "narrow"),
    [
        ("session_id = 'x' and streamed", True),
        ("'chatcmpl-1' = provider_id", True),
        ("session_id = ''", False),
        ("session_id <> 'x'", False),
        ("session_id = user_id", False),
        ("user_id = 'x'", False),
    ],
)
def test_a_value_that_few_calls_share_is_known(text: str, narrow: bool) -> None:
    assert bool(bounds_of(text).narrow) is narrow
