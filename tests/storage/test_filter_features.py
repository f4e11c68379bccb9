"""Features of calls in filters, on both databases."""

from collections.abc import Iterator

import msgspec
import pytest
from sqlalchemy import insert

from storage import database
from storage.filters import FilterError, compile_filter
from storage.schema import text_feature, tool_set
from storage.store import TraceStore
from storage.trace import Choice, Message, ToolCall
from storage.words import as_bytes, terms_in, word_hash
from tests.postgres import KINDS, fresh_url
from tests.storage.calls import at, id_of, new_store, recorded

TEXTS = ["2024-05-01 and 2023-05-01", "In 2024, again", "one two three", "no year 20240"]


@pytest.fixture(scope="module", params=KINDS)
def filled(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TraceStore]:
    """Calls 0 to 3 say TEXTS; 4 calls three tools, and offers the set `ab12`; 0 and 1 have a
    language."""
    with fresh_url(request, tmp_path_factory.mktemp("features")) as url:
        store = new_store(url)
        calls = tuple(ToolCall(name, "{}", name) for name in ("a", 'quote"', "per%cent_"))
        with_tools = recorded(4, choices=(Choice(Message("assistant", None, calls), "stop"),))
        features = msgspec.structs.replace(with_tools.features, tools_hash="ab12")
        store.insert(
            [
                *(recorded(number, text) for number, text in enumerate(TEXTS)),
                msgspec.structs.replace(with_tools, features=features),
            ],
            at(1),
        )
        with database.writing(store.engine) as connection:
            connection.execute(
                insert(tool_set).values(tools_hash="ab12", tools='["look_up@0f","refund@1e"]')
            )
            connection.execute(
                insert(text_feature),
                [
                    {
                        "call_id": id_of(number),
                        "feature_version": 2,
                        "sample_bits": 0,
                        "prompt_language": language,
                        "answer_language": "",
                        "prompt_terms": terms_in(TEXTS[number]),
                        "answer_terms": b"",
                        "answer_fields": as_bytes([word_hash("a.b=1 %")]),
                    }
                    for number, language in enumerate(("en", "es"))
                ],
            )
        yield store
        store.close()


@pytest.mark.parametrize(
    ("where", "numbers"),
    [
        ("prompt_words = 3", [0, 1, 2, 3]),
        ("prompt_chars > 14 and turn_count = 1", [0]),
        ("tool_call_count between 1 and 5", [4]),
        ("has(prompt_years, '2024')", [0, 1]),
        ("has(prompt_years, '2023')", [0]),
        ("not has(prompt_years, '2024')", [2, 3, 4]),
        ("has(prompt_years, '24')", []),
        ("has(prompt_years, '')", []),
        ("HAS(tools_called, 'a')", [4]),
        ("has(tools_called, 'A')", []),
        ("has(tools_called, 'quote\"')", [4]),
        ("has(tools_called, 'per%cent_')", [4]),
        ("has(tools_called, 'per%')", []),
        ("has(tools_offered, 'refund@1e')", [4]),
        ("has(tools_offered, 'refund')", []),
        ("tools_hash = 'ab12'", [4]),
        ("template_hash = ''", [0, 1, 2, 3, 4]),
        ("prompt_language = 'es'", [1]),
        ("has(prompt_terms, '2024')", [0, 1]),
        ("has(prompt_terms, 'in 2024')", [1]),
        ("has(prompt_terms, 'In 2024')", [1]),
        ("has(prompt_terms, '2024 in')", []),
        ("has(prompt_terms, '')", []),
        ("has(answer_terms, '2024')", []),
        ("has(answer_fields, 'a.b=1 %')", [0, 1]),
        ("has(answer_fields, 'a.b')", []),
        ("prompt_language is null", [2, 3, 4]),
        ("prompt_words > 200 or has(prompt_years, '2024') and prompt_language = 'en'", [0]),
    ],
)
def test_a_filter_picks_by_features(filled: TraceStore, where: str, numbers: list[int]) -> None:
    found = sorted(row.id for row in filled.list("default", where, limit=100))
    assert found == [id_of(number) for number in numbers]


def test_a_filter_over_features_serves_every_read(filled: TraceStore) -> None:
    where = "has(prompt_years, '2024')"
    assert filled.count("default", where) == 2
    assert [call.row.id for call in filled.scan("default", where)] == [id_of(0), id_of(1)]
    pages = filled.features("default", where)
    assert [call.row.id for page in pages for call in page] == [id_of(0), id_of(1)]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("has(prompt_words, '2024')", "no list; there are answer_"),
        ("has(prompt_years, 2024)", "a list and a text"),
        ("has(prompt_years)", "a list and a text"),
        ("prompt_years = '2024'", "cannot be compared"),
        ("prompt_years", "this is a list"),
        ("lower(prompt_years) = ''", "a text is wanted here"),
        ("had(prompt_years, '2024')", "no such function here"),
        ("prompt_wrods > 3", "did you mean prompt_words"),
    ],
)
def test_a_mistake_is_pointed_at(text: str, problem: str) -> None:
    with pytest.raises(FilterError, match=problem):
        compile_filter(text)
