"""Scores and labels in filters, on both databases."""

from collections.abc import Iterator

import pytest

from storage.filters import FilterError, compile_filter
from storage.labels import LabelSource, Said, Status
from storage.store import TraceStore
from tests.postgres import KINDS, fresh_url
from tests.storage.calls import at, id_of, new_store, recorded
from tests.storage.saying import label, score, verdict

SAID: list[Said] = [
    *(score(10 + number, number, float(number)) for number in range(6)),
    score(20, 0, 9.0),  # the newest of call 0
    *(score(30 + number, number, number < 2, name="thumbs") for number in range(4)),
    score(40, 1, "formal", name="tone"),
    score(41, 2, "rude", name="tone"),
    label(50, 1),
    label(51, 2, source=LabelSource.MODEL),
    label(52, 3, source=LabelSource.MODEL),
    verdict(53, 3, 52),
    label(54, 4),
    verdict(55, 4, 54, Status.REJECTED),
    label(56, 99),
]


@pytest.fixture(scope="module", params=KINDS)
def filled(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TraceStore]:
    with fresh_url(request, tmp_path_factory.mktemp("scores")) as url:
        store = new_store(url)
        store.insert([recorded(number) for number in range(6)], at(1), said=SAID)
        yield store
        store.close()


@pytest.mark.parametrize(
    ("where", "numbers"),
    [
        ("scores['good'] >= 4", [0, 4, 5]),
        ("scores['good'] = 0", []),
        ("scores['good'] between 1 and 2", [1, 2]),
        ("scores['good'] + 1 > 9", [0]),
        ("not scores['good'] >= 4", [1, 2, 3]),
        ("scores['thumbs'] = true", [0, 1]),
        ("scores['thumbs']", [0, 1]),
        ("not scores['thumbs']", [2, 3]),
        ("scores['thumbs'] = 0", [2, 3]),
        ("scores['thumbs'] is null", [4, 5]),
        ("scores['tone'] = 'rude'", [2]),
        ("scores['tone'] like '%r%'", [1, 2]),
        ("scores['tone'] in ('formal', 'curt')", [1]),
        ("scores['tone'] > 0", []),
        ("scores['good'] = '1'", []),
        ("scores['tone'] is not null", [1, 2]),
        ("scores['Tone'] is not null", []),
        ("coalesce(scores['thumbs'], false) = false", [2, 3, 4, 5]),
        ("scores['good'] > scores['thumbs']", [0, 2, 3]),
        ("case when scores['good'] > 4 then 'high' else scores['tone'] end = 'high'", [0, 5]),
        ("labelled", [1, 3]),
        ("not labelled and scores['good'] < 5", [2, 4]),
        ("labelled = false", [0, 2, 4, 5]),
    ],
)
def test_a_filter_finds_calls_by_what_was_said_of_them(
    filled: TraceStore, where: str, numbers: list[int]
) -> None:
    found = {row.id for row in filled.list("default", where, limit=100)}
    assert found == {id_of(number) for number in numbers}
    assert filled.count("default", where) == len(numbers)


@pytest.mark.parametrize(
    ("where", "problem"),
    [
        ("scores > 4", "name the score: scores['key']"),
        ("scores[quality] > 4", "a score's key is a text in single quotes"),
        ("marks['quality'] > 4", "only tags and scores have values to pick"),
        ("labeled", "did you mean labelled?"),
        ("scores['tone'] = started_at", "this is a score and cannot be compared with a time"),
    ],
)
def test_a_slip_is_told_with_its_remedy(where: str, problem: str) -> None:
    with pytest.raises(FilterError) as raised:
        compile_filter(where)
    assert problem in raised.value.problem
