"""What a filter says of the features of calls, in SQL: `prompt_words`, `has(prompt_years, '2024')`.

A call of which nothing was measured has NULL; so has one without a language, which is known of a
sample of the newest calls alone (storage.terms). A list is JSON text without white space
(storage.features), and is searched as such: an entry stands between two of its marks, since no
entry holds a quote that is not escaped.

A look-up by primary key, of `feature`, `tool_set` or `text_feature`, for each call that is looked
at: a microsecond or two.
"""

import json
from typing import Any, Final

from sqlalchemy import ColumnElement, case, or_, select

from storage.schema import call, feature, text_feature, tool_set

_OF_NUMBERS: Final = frozenset({"prompt_years", "answer_years", "answer_new_years"})
_OF_SAMPLE: Final = frozenset({"prompt_language", "answer_language"})
_TOOLS: Final = "tools_offered"


def measured(name: str) -> ColumnElement[Any]:
    """Read a feature of a call by the name that a filter has for it."""
    return _looked_up(name, _column(name))


def has(name: str, value: str) -> ColumnElement[bool]:
    """Say whether a list that is a feature of a call holds a value; of numbers, written out."""
    is_number = name in _OF_NUMBERS and value.isdecimal()
    entry = value if is_number else json.dumps(value)
    entries = _column(name)
    is_entry = or_(
        entries == f"[{entry}]",
        entries.startswith(f"[{entry},", autoescape=True),
        entries.endswith(f",{entry}]", autoescape=True),
        entries.contains(f",{entry},", autoescape=True),
    )
    return _looked_up(name, case((is_entry, 1), else_=0)) == 1


def _column(name: str) -> ColumnElement[Any]:
    if name == _TOOLS:
        return tool_set.c.tools
    return (text_feature if name in _OF_SAMPLE else feature).c[name]


def _looked_up(name: str, value: ColumnElement[Any]) -> ColumnElement[Any]:
    """Look up what is said of a feature of the call; NULL where there is no such row."""
    table = text_feature if name in _OF_SAMPLE else feature
    query = select(value).where(table.c.call_id == call.c.id)
    if name == _TOOLS:
        query = query.where(feature.c.tools_hash == tool_set.c.tools_hash)
    return query.correlate(call).scalar_subquery()
