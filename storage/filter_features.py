"""What a filter says of the features of calls, in SQL: `prompt_words`, `has(prompt_years, '2024')`.

A call of which nothing was measured has NULL; so has one without a language, which is known of a
sample of the newest calls alone (storage.terms). A list is JSON text without white space
(storage.features), and is searched as such: an entry stands between two of its marks, since no
entry holds a quote that is not escaped. Terms and fields are hashes of four bytes each, found as
bytes: by chance, or across two others, in fewer than one of 100,000 calls.

Most are columns of `call`. Tools, languages, terms and fields take a look-up by primary key, of
`tool_set` or `text_feature`, for each call that is looked at: a microsecond or two.
"""

import json
from typing import Any, Final

from sqlalchemy import ColumnElement, Integer, LargeBinary, case, literal, or_, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from storage.schema import call, text_feature, tool_set
from storage.words import pair_hash, word_hash, words_of

_OF_NUMBERS: Final = frozenset({"prompt_years", "answer_years", "answer_new_years"})
_HASHED: Final = frozenset({"prompt_terms", "answer_terms", "answer_fields"})
_OF_SAMPLE: Final = frozenset({"prompt_language", "answer_language"}) | _HASHED
_TOOLS: Final = "tools_offered"


def measured(name: str) -> ColumnElement[Any]:
    """Read a feature of a call by the name that a filter has for it."""
    return _looked_up(name, _column(name))


def has(name: str, value: str) -> ColumnElement[bool]:
    """Say whether a list that is a feature of a call holds a value; of numbers, written out.

    Of terms a word, or two that follow one another; of fields all of what is one.
    """
    if name in _HASHED:
        return _looked_up(name, case((_holds(name, value), 1), else_=0)) == 1
    is_number = name in _OF_NUMBERS and value.isdecimal()
    entry = value if is_number else json.dumps(value)
    entries = _column(name)
    is_entry = or_(
        entries == f"[{entry}]",
        entries.startswith(f"[{entry},", autoescape=True),
        entries.endswith(f",{entry}]", autoescape=True),
        entries.contains(f",{entry},", autoescape=True),
    )
    if name == _TOOLS:
        return _looked_up(name, case((is_entry, 1), else_=0)) == 1
    return is_entry


class _PositionOf(FunctionElement[int]):
    """Where in bytes others are, from 1; 0 where they are not. Each database has a word for it."""

    type = Integer()
    inherit_cache = True


@compiles(_PositionOf, "sqlite")
def _in_sqlite(element: _PositionOf, compiler: SQLCompiler, **options: Any) -> str:
    return f"instr({compiler.process(element.clauses, **options)})"


@compiles(_PositionOf, "postgresql")
def _in_postgresql(element: _PositionOf, compiler: SQLCompiler, **options: Any) -> str:
    whole, part = (compiler.process(each, **options) for each in element.clauses)
    return f"position({part} in {whole})"


def _holds(name: str, value: str) -> ColumnElement[bool]:
    words = words_of(value)
    if name == "answer_fields":
        wanted = word_hash(value)
    elif len(words) == 2:
        wanted = pair_hash(*map(word_hash, words))
    else:
        wanted = word_hash(value.casefold())  # what is no word is in no list
    part = literal(wanted.to_bytes(4, "little"), LargeBinary())
    return _PositionOf(text_feature.c[name], part) > 0


def _column(name: str) -> ColumnElement[Any]:
    if name == _TOOLS:
        return tool_set.c.tools
    return (text_feature if name in _OF_SAMPLE else call).c[name]


def _looked_up(name: str, value: ColumnElement[Any]) -> ColumnElement[Any]:
    """Look up what is said of a feature that has no column in `call`; NULL where it has no row."""
    if name == _TOOLS:
        query = select(value).where(tool_set.c.tools_hash == call.c.tools_hash)
    elif name in _OF_SAMPLE:
        query = select(value).where(text_feature.c.call_id == call.c.id)
    else:
        return value
    return query.correlate(call).scalar_subquery()
