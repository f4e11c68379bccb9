"""A filter means what SQL means, in bound parameters, or it is a FilterError."""

import re
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import make_url, select

from storage.filters import COLUMNS, DEPTH_MAX, FilterError, compile_filter
from storage.schema import call
from storage.store import TraceStore
from tests.postgres import KINDS, fresh_url
from tests.storage.calls import at, new_store, recorded

DIALECTS = [make_url(f"{name}://").get_dialect()() for name in ("sqlite", "postgresql")]


@pytest.fixture(scope="module", params=KINDS)
def filled(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TraceStore]:
    with fresh_url(request, tmp_path_factory.mktemp("filters")) as url:
        store = new_store(url)
        store.insert(
            [recorded(number, tags={"task": "intent", "n": str(number)}) for number in range(32)],
            at(1),
        )
        yield store
        store.close()


@pytest.mark.parametrize(
    ("text", "count"),
    [  # of 32 calls, numbered 0 to 31, a second apart from 2026-09-21T14:13:20Z on
        ("substr(id,32,1)<'8'", 16),
        ("substr(id, 31) = '1f'", 1),
        ("outcome = 'complete' and request_model like 'small%'", 32),
        ("request_model like 'SMALL%'", 0),
        ("request_model ilike 'SMALL%'", 32),
        ("request_model not like 'small%'", 0),
        ("tags['task'] = 'intent'", 32),
        ("tags['N'] = '7'", 1),
        ("tags['n'] in ('7', '8', '99')", 2),
        ("tags['missing'] is null", 32),
        ("tags['missing'] is not null", 0),
        ("not tags['missing'] = 'x'", 0),
        ("coalesce(tags['missing'], 'none') = 'none'", 32),
        ("started_at >= '2026-09-21' and started_at < '2026-09-22'", 32),
        ("started_at < '2026-09-21T14:13:22Z'", 2),
        ("started_at < '2026-09-21 16:13:22+02:00'", 2),
        ("'2026-09-21T14:13:22' > started_at", 2),
        ("started_at between '2026-09-21T14:13:21' and '2026-09-21T14:13:23'", 3),
        ("started_at in ('2026-09-21T14:13:21', '2027-01-01')", 1),
        ("not streamed", 32),
        ("streamed", 0),
        ("streamed = true or redacted", 0),
        ("(streamed = true) = (redacted = true)", 32),
        ("true", 32),
        ("not true", 0),
        ("status_code between 200 and 299", 32),
        ("status_code not between 200 and 299", 0),
        ("status_code in (200, 201)", 32),
        ("input_tokens / 2 = 3.5", 32),
        ("input_tokens / 0 is null", 32),
        ("-input_tokens < -6.5", 32),
        ("abs(output_tokens - input_tokens) = 4", 32),
        ("1 - 2 - 3 = -4 and 1 - (2 - 3) = 2 and 8 / (4 / 2) = 4 and 2 + 3 * 4 = 14", 32),
        ("9223372036854775807 + 1 > 0", 32),
        ("round(duration_ms) = 13 and round(duration_ms, 1) = 12.5", 32),
        ("round(0.5) = 1 and round(1.5) = 2 and round(2.5) = 3 and round(-2.5) = -3", 32),
        ("round(2.675, 2) = 2.68 and round(1.005, 2) = 1.01 and round(8 / 3, 3) = 2.667", 32),
        ("case when streamed then 'a' else 'b' end = 'b'", 32),
        ("case status_code when 200 then 'ok' end = 'ok'", 32),
        ("case when streamed then 1 else null end is null", 32),
        ("request_model || '!' = upper('SMALL-1!')", 0),
        ("lower('ÄB') || length(id) = 'x'", None),
        ("length(request_model || '!') = 8", 32),
        ("case when streamed then 'b' else 'B' end < 'a'", 32),
        ("'a' > 'B' and not 'Ä' ilike 'ä' and lower('ÄB') = 'Äb' and 'ä' > 'z'", 32),
        ("'50%' like '50\\%' and not '501' like '50\\%'", 32),
        ("request_model = 'it''s' or \"id\" = 'x'", 0),
        ("'Robert''); DROP TABLE call; --' = id", 0),
        ("ID > '0' AND NOT (Outcome <> 'complete')", 32),
    ],
)
def test_a_filter_finds_what_sql_would(filled: TraceStore, text: str, count: int | None) -> None:
    if count is None:
        with pytest.raises(FilterError, match="a text is wanted here"):
            compile_filter(text)
    else:
        assert filled.count("default", text) == count
        assert len(filled.list("default", text, limit=100)) == count


@pytest.mark.parametrize(
    ("text", "column", "problem"),
    [
        ("outcom = 'complete'", 1, "did you mean outcome?"),
        ("status_code = 200 and request_modle = 'x'", 23, "did you mean request_model"),
        ("zzzzzz = 1", 1, "there are id, started_at, project"),
        ('outcome = "complete"', 11, "a text has single quotes"),
        ("outcome = 'complte'", 11, "no call has the outcome 'complte'; did you mean complete?"),
        ("'Test' <> side", 1, "no call has the side 'Test'; did you mean test?"),
        ("endpoint in ('responses', 'chat')", 27, "it may be chat_completions, responses"),
        ("foo(1) = 1", 1, "there are substr, lower, upper, length, abs, round, coalesce"),
        ("count(*) > 1", 1, "there is no such function here"),
        ("status_code = '200'", 15, "this is a text and cannot be compared with a number"),
        ("started_at > 5", 14, "cannot be compared with a time"),
        ("started_at > 'yesterday'", 14, "write '2026-10-01'"),
        ("started_at > '0001-01-01T00:00:00+12:00'", 14, "this is no time"),
        ("lower(status_code) = 'x'", 7, "a text is wanted here, this is a number"),
        ("tags = 'a'", 1, "tags['key']"),
        ("tags.task = 'a'", 1, "write tags['task']"),
        ("tags[1] = 'a'", 1, "a tag's key is a text in single quotes"),
        ("tags['a']['b'] = 'x'", 1, "only tags and scores have values to pick"),
        ("outcome", 1, "a filter is a condition such as outcome = 'complete'"),
        ("id in (select id from call)", 1, "IN takes a list of values"),
        ("id = (select id)", 14, "a filter has no subquery"),
        ("exists (select 1)", 16, "a filter has no subquery"),
        ("outcome = null", 1, "write IS NULL"),
        ("id not in ('a', null)", 1, "write IS NULL"),
        ("outcome is true", 1, "after IS stands NULL"),
        ("id like outcome", 9, "a pattern is a text in quotes"),
        ("id like 'x\\'", 9, "ends in its escape character"),
        ("1e999 > 1", 1, "this is no number"),
        ("substr(id, -1, 1) = 'x'", 13, "write a whole number from 1"),
        ("substr(id) = 'x'", 1, "it takes where to start"),
        ("round(1, outcome) = 1", 10, "write a whole number from 0 to 15"),
        ("cast(id as int) = 1", 6, "there are no types to convert to"),
        ("body.capture = 'x'", 1, "no table stands before a column"),
        ("id = ?", 1, "this is not part of a filter"),
        ("id = 'x' collate nocase", 6, "there is no such function here"),
        ("id glob 'x'", 1, "this is not part of a filter"),
        ("+".join(["1"] * (DEPTH_MAX + 3)) + " = 1", 1, "operators within each other"),
    ],
)
def test_a_wrong_filter_is_pointed_at(text: str, column: int, problem: str) -> None:
    with pytest.raises(FilterError) as caught:
        compile_filter(text)
    assert problem in str(caught.value)
    assert f"column {column}:" in str(caught.value)


def test_a_long_chain_of_conditions_is_one_operator(filled: TraceStore) -> None:
    chain = " or ".join(f"id = '{number}'" for number in range(300))
    assert filled.count("default", f"({chain}) or outcome = 'complete'") == 32


def test_every_column_can_be_asked_for(filled: TraceStore) -> None:
    for name in COLUMNS:
        assert filled.count("default", f"{name} is null or {name} is not null") == 32


def check_is_bound(text: str) -> None:
    """A filter compiles to SQL of known words alone, in both dialects, or is a FilterError."""
    try:
        expression = compile_filter(text)
    except FilterError:
        return
    for dialect in DIALECTS:
        sql = str(select(call.c.id).where(expression).compile(dialect=dialect))
        rest = PLACEHOLDERS.sub(" ", sql.replace("ESCAPE '\\'", ""))
        assert set(re.findall(r"\w+", rest)) - KNOWN_WORDS == set(), sql
        assert "'" not in rest, sql


PLACEHOLDERS = re.compile(r'%\(\w+\)s(::[A-Z]+( COLLATE "C")?)?|\?')
KNOWN_WORDS = {*COLUMNS, "call", "tag", "call_id", "key", "value", "substr", "lower", "upper"}
KNOWN_WORDS |= {"length", "abs", "round", "coalesce", "nullif"}
KNOWN_WORDS |= {"0", "1"}  # SQLite has no booleans, and `/ (x + 0.0)` divides exactly
KNOWN_WORDS |= set(
    "SELECT FROM WHERE AND OR NOT IN BETWEEN IS NULL LIKE ILIKE CASE WHEN THEN ELSE END "
    "CAST AS FLOAT NUMERIC BIGINT INTEGER TEXT BOOLEAN true false".split()
)

PIECES = [
    *COLUMNS, "tags", "tags['task']", "tags['zqx']", "'zqx'", "'it''s zqx'", "''", "'2026-10-01'",
    "'%zqx\\%'", "7", "0", "1.5", "1e3", "99999999999999999999999", "true", "false", "null", "and",
    "or", "not", "in", "between", "is", "like", "ilike", "case", "when", "then", "else", "end",
    "=", "<>", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/", "||", "(", ")", ",", "[", "]", ".",
    "substr(", "lower(", "length(", "abs(", "round(", "coalesce(", "nullif(", "cast(", "exists(",
    "select", "from", "call", "body", "union", ";", "--", "/*", "*/", "\"id\"", "`id`", "?", ":a",
    "$1", "@x", "::", "->", "{", "}", "\n", "\t", "\\", "'", "interval", "date", "any(", "escape",
    "over", "distinct", "as", "x'00'", "0x1f", "collate", "similar to", "~", "%", "#", "\0", "é",
]  # fmt: skip


@settings(max_examples=1500)
@given(st.lists(st.sampled_from(PIECES), max_size=14).map(" ".join))
def test_any_words_in_any_order_are_bound_or_refused(text: str) -> None:
    check_is_bound(text)


@settings(max_examples=500)
@given(st.text(max_size=60))
def test_any_text_is_bound_or_refused(text: str) -> None:
    check_is_bound(text)


values = st.sampled_from(["id", "error", "tags['zqx']", "'zqx'", "lower(id)", "substr(id, 1, 2)"])
numbers = st.recursive(
    st.sampled_from(["1", "2.5", "0", "input_tokens", "cost_usd", "length(id)"]),
    lambda inner: st.tuples(inner, st.sampled_from("+-*/"), inner).map(
        lambda parts: f"({' '.join(parts)})"
    ),
    max_leaves=5,
)
conditions = st.recursive(
    st.one_of(
        st.tuples(values, st.sampled_from(["=", "<>", "<", "like"]), st.just("'zqx%'")),
        st.tuples(numbers, st.sampled_from(["=", "<>", "<", ">="]), numbers),
        st.tuples(numbers, st.just("is null")),
        st.tuples(numbers, st.just("between"), numbers, st.just("and"), numbers),
    ).map(" ".join),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from([" and ", " or ", " = "]), inner).map(
            lambda parts: "(({}){}({}))".format(*parts)
        ),
        inner.map(lambda condition: f"not ({condition})"),
        st.tuples(inner, numbers, numbers).map(
            lambda parts: "case when {} then {} else {} end > 0".format(*parts)
        ),
    ),
    max_leaves=6,
)


@settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(conditions)
def test_every_filter_of_the_language_runs(filled: TraceStore, text: str) -> None:
    try:
        expression = compile_filter(text)
    except FilterError as error:
        assert "operators within" in str(error) or "parentheses" in str(error)  # noqa: PT017
        return
    assert "zqx" not in str(expression)
    neither = f"case when {text} then 0 when not ({text}) then 1 end is null"
    assert sum(filled.count("default", part) for part in (text, f"not ({text})", neither)) == 32
