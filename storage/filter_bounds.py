"""What a filter implies of the calls it finds, so that an index can find them.

Ids begin with the millisecond they were minted in, so a time in a filter bounds the ids as well as
an id does: the index (project, id) serves both. Only what stands at the top of a filter, alone or
joined by AND, implies anything; whatever else a filter says is left to the database to check, and
so is this: bounds only narrow where it looks.
"""

import functools
from collections.abc import Iterator
from typing import NamedTuple

from sqlglot import exp

from storage.capture import Outcome
from storage.filter_columns import read_time
from storage.filter_syntax import parse
from storage.id_range import ALL_IDS, NO_IDS, IdRange, after, ids_between

NARROW = ("session_id", "group_id", "provider_id")  # columns with an index of few calls a value
TAGS_MAX = 8  # of a filter that are looked at


class Bounds(NamedTuple):
    """What holds for every call that a filter finds.

    Its id is one of `ids`, it has `tags`, and, if `failed`, its outcome is not `complete`. It has
    the values `narrow`, by column: of some of the columns NARROW, values that few calls share.
    """

    ids: IdRange = ALL_IDS
    tags: tuple[tuple[str, str], ...] = ()
    failed: bool = False
    narrow: tuple[tuple[str, str], ...] = ()


@functools.lru_cache(maxsize=64)
def bounds_of(text: str) -> Bounds:
    """Read from a filter what it implies. Raise FilterError where it is no expression.

    bounds_of("started_at >= '2026-10-01' and tags['app'] = 'chat'").tags == (("app", "chat"),)
    """
    ids = ALL_IDS
    tags: list[tuple[str, str]] = []
    narrow: list[tuple[str, str]] = []
    failed = False
    for node in _conjuncts(parse(text)):
        ids = ids.meeting(ids_between(*_times(node))).meeting(_ids(node))
        if (tag := _tag(node)) is not None and len(tags) < TAGS_MAX:
            tags.append(tag)
        failed = failed or _says_failed(node)
        narrow += _narrow(node)
    if len(dict(tags)) < len(set(tags)):  # a tag has one value: there is no such call
        ids = NO_IDS
    return Bounds(ids, tuple(tags), failed, tuple(narrow))


def _conjuncts(node: exp.Expr) -> Iterator[exp.Expr]:
    """Yield what a filter joins by AND, outermost."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if isinstance(node, exp.Paren):
            waiting.append(node.this)
        elif isinstance(node, exp.And):
            waiting += [node.expression, node.this]
        else:
            yield node


def _times(node: exp.Expr) -> tuple[int | None, int | None]:
    """Say between which times, in microseconds and both included, a condition puts a call."""
    if isinstance(node, exp.Between):
        if _is_column(node.this, "started_at"):
            return _microseconds(node.args["low"]), _microseconds(node.args["high"])
        return None, None
    if not isinstance(node, exp.EQ | exp.GT | exp.GTE | exp.LT | exp.LTE):
        return None, None
    is_first = _is_column(node.this, "started_at")
    if not is_first and not _is_column(node.expression, "started_at"):
        return None, None
    time = _microseconds(node.expression if is_first else node.this)
    if isinstance(node, exp.EQ):
        return time, time
    is_least = isinstance(node, exp.GT | exp.GTE) == is_first
    return (time, None) if is_least else (None, time)


def _ids(node: exp.Expr) -> IdRange:
    """Say among which ids a condition that compares the id with a text puts a call."""
    if isinstance(node, exp.Between):
        low, high = node.args["low"], node.args["high"]
        is_meant = _is_column(node.this, "id") and _is_text(low) and _is_text(high)
        return IdRange(low.name, after(high.name)) if is_meant else ALL_IDS
    if isinstance(node, exp.In):
        texts = [each.name for each in node.expressions if _is_text(each)]
        is_meant = _is_column(node.this, "id") and len(texts) == len(node.expressions) > 0
        return IdRange(min(texts), after(max(texts))) if is_meant else ALL_IDS
    if not isinstance(node, exp.EQ | exp.GT | exp.GTE | exp.LT | exp.LTE):
        return ALL_IDS
    is_first = _is_column(node.this, "id")
    column, given = (node.this, node.expression) if is_first else (node.expression, node.this)
    if not _is_column(column, "id") or not _is_text(given):
        return ALL_IDS
    text = given.name
    if isinstance(node, exp.EQ):
        return IdRange(text, after(text))
    is_least = isinstance(node, exp.GT | exp.GTE) == is_first
    is_strict = isinstance(node, exp.GT | exp.LT)
    end = text if is_least != is_strict else after(text)
    return IdRange(end, None) if is_least else IdRange(None, end)


def _tag(node: exp.Expr) -> tuple[str, str] | None:
    """Return key and value of `tags['key'] = 'value'`."""
    if not isinstance(node, exp.EQ):
        return None
    picked, value = node.this, node.expression
    if isinstance(value, exp.Bracket):
        picked, value = value, picked
    if not isinstance(picked, exp.Bracket) or not _is_text(value):
        return None
    keys = picked.expressions
    if not _is_column(picked.this, "tags") or len(keys) != 1 or not _is_text(keys[0]):
        return None
    return keys[0].name.lower(), value.name


def _says_failed(node: exp.Expr) -> bool:
    """Tell whether a condition leaves out every call that is complete."""
    complete = Outcome.COMPLETE.value
    if isinstance(node, exp.In):
        texts = [each.name for each in node.expressions if _is_text(each)]
        is_whole = len(texts) == len(node.expressions) > 0
        return _is_column(node.this, "outcome") and is_whole and complete not in texts
    if not isinstance(node, exp.EQ | exp.NEQ):
        return False
    column, value = node.this, node.expression
    if _is_text(column):
        column, value = value, column
    if not _is_column(column, "outcome") or not _is_text(value):
        return False
    return bool(value.name == complete) == isinstance(node, exp.NEQ)


def _narrow(node: exp.Expr) -> Iterator[tuple[str, str]]:
    """Yield the one of NARROW that a condition gives a value; many calls have the empty text."""
    if not isinstance(node, exp.EQ):
        return
    column, value = node.this, node.expression
    if _is_text(column):
        column, value = value, column
    if _is_text(value) and value.name != "":
        yield from ((name, value.name) for name in NARROW if _is_column(column, name))


def _is_column(node: exp.Expr, name: str) -> bool:
    return isinstance(node, exp.Column) and node.name.lower() == name


def _is_text(node: exp.Expr) -> bool:
    return isinstance(node, exp.Literal) and bool(node.is_string)


def _microseconds(node: exp.Expr) -> int | None:
    try:
        return read_time(node.name) if _is_text(node) else None
    except (ValueError, OverflowError):  # the compiler says so
        return None
