"""The one filter language, checked by sqlglot, compiled to SQL.

A filter is a condition as it stands after WHERE, over the columns of COLUMNS and FEATURES,
`tags['key']`, `scores['name']` and `labelled`:

    outcome = 'complete' and request_model like 'gpt-4%'
    tags['task'] = 'intent' and started_at >= '2026-10-01' and started_at < '2026-11-01'
    scores['quality'] >= 4 or scores['thumbs'] = true or labelled
    prompt_words > 200 and has(prompt_years, '2024')

Allowed: = <> < <= > >=, AND OR NOT, IN (…), BETWEEN, IS [NOT] NULL, LIKE, ILIKE, + - * /, ||,
CASE, parentheses, the functions of FUNCTIONS, and text, number, boolean and NULL literals.
Nothing else is: no subquery, no other table, no comment. It means the same in SQLite and in
PostgreSQL: LIKE minds case and takes \\ as escape, / divides exactly and gives NULL by zero, and
a text is never silently compared with a number. ILIKE, lower and upper fold ASCII in SQLite.

`started_at` compares with ISO 8601 texts, UTC unless they say otherwise: '2026-10-01',
'2026-10-01 12:30', '2026-10-01T12:30:00Z'. `tags['key']` is NULL for a call without that tag.

The result is an expression whose literals are all bound parameters. DEPTH_MAX operators may lie
within each other, a chain of AND or OR counting as one; other limits are in filter_syntax.
"""

import functools
import math
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Float,
    Integer,
    Numeric,
    and_,
    case,
    cast,
    func,
    literal,
    not_,
    null,
    or_,
    select,
)
from sqlglot import exp

from storage import filter_features as measured
from storage import filter_scores as judged
from storage.filter_columns import (
    COLUMNS,
    FEATURES,
    FUNCTIONS,
    LISTS,
    Kind,
    feature_kind,
    kind_of,
    nearest,
    never,
    read_time,
)
from storage.filter_syntax import (
    EXAMPLE,
    TEXT_CHARS_MAX,
    FilterError,
    extent,
    is_known,
    parse,
    refusal,
)
from storage.schema import TEXT, call, tag
from storage.short_columns import read_column

__all__ = ["COLUMNS", "FUNCTIONS", "FilterError", "compile_filter"]

DEPTH_MAX = 50
INTEGER_MAX = 2**63 - 1
ROUND_DIGITS_MAX = 15


@functools.lru_cache(maxsize=64)
def compile_filter(text: str) -> ColumnElement[bool]:
    """Compile a filter to a condition on table `call`; raise FilterError where it is not one."""
    tree = parse(text)
    value = _as(Kind.BOOLEAN, _Compiler(text).value(tree))
    if value.kind is not Kind.BOOLEAN:
        problem = f"a filter is a condition such as {EXAMPLE}; this is a {value.kind}"
        raise FilterError(problem, text, *extent(tree, text))
    # With a column alone, SQLAlchemy writes `= 1` where the database has no boolean.
    return and_(value.sql)


class _Value(NamedTuple):
    sql: ColumnElement[Any]
    kind: Kind
    node: exp.Expr


_Operator = Callable[[Any, Any], ColumnElement[Any]]
_COMPARISONS: dict[type[exp.Expr], _Operator] = {
    exp.EQ: operator.eq,
    exp.NEQ: operator.ne,
    exp.LT: operator.lt,
    exp.LTE: operator.le,
    exp.GT: operator.gt,
    exp.GTE: operator.ge,
}
_ARITHMETIC: dict[type[exp.Expr], _Operator] = {
    exp.Add: operator.add,
    exp.Sub: operator.sub,
    exp.Mul: operator.mul,
    exp.Div: operator.truediv,
}


class _Compiler:
    """One filter on its way to SQL. `value` walks; a method for each kind of node."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._depth = 0

    def value(self, node: exp.Expr) -> _Value:
        """Compile a node and all below it."""
        if not is_known(node):
            raise self._error(node, refusal(node))
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise self._error(node, f"more than {DEPTH_MAX} operators within each other")
        compiled = self._compile(node)
        self._depth -= 1
        return compiled

    def _compile(self, node: exp.Expr) -> _Value:
        match node:
            case exp.Paren():
                return self.value(node.this)
            case exp.Column():
                return self._column(node)
            case exp.Bracket():
                return self._picked(node)
            case exp.Literal() | exp.Boolean() | exp.Null():
                return self._literal(node)
            case exp.And() | exp.Or():
                conditions = [self._of(Kind.BOOLEAN, part) for part in _chain(node)]
                joined = and_(*conditions) if isinstance(node, exp.And) else or_(*conditions)
                return _Value(joined, Kind.BOOLEAN, node)
            case exp.Not():
                return _Value(not_(self._of(Kind.BOOLEAN, node.this)), Kind.BOOLEAN, node)
            case exp.EQ() | exp.NEQ() | exp.LT() | exp.LTE() | exp.GT() | exp.GTE():
                return self._comparison(node)
            case exp.In() | exp.Between() | exp.Is() | exp.Like() | exp.ILike():
                return self._predicate(node)
            case exp.Add() | exp.Sub() | exp.Mul() | exp.Div() | exp.Neg():
                return self._arithmetic(node)
            case exp.DPipe():
                left = self._of(Kind.TEXT, node.this)
                return _Value(left.concat(self._of(Kind.TEXT, node.expression)), Kind.TEXT, node)
            case exp.Case():
                return self._case(node)
            case _:
                return self._function(node)

    def _column(self, node: exp.Column) -> _Value:
        name = node.name.lower()
        if name in COLUMNS:
            return _Value(read_column(name), kind_of(name), node)
        if name in judged.COLUMNS:
            return _Value(judged.COLUMNS[name](), Kind.BOOLEAN, node)
        if name in FEATURES:
            return _Value(measured.measured(name), feature_kind(name), node)
        if name in ("tags", "scores"):
            raise self._error(node, f"name the {name[:-1]}: {name}['key']")
        if node.this.args.get("quoted"):
            raise self._error(node, f"there is no column {name!r}; a text has single quotes")
        raise self._error(node, f"there is no column {name!r}; {nearest(name)}")

    def _picked(self, node: exp.Bracket) -> _Value:
        keys = node.expressions
        name = node.this.name.lower() if isinstance(node.this, exp.Column) else ""
        if name not in ("tags", "scores") or node.this.args.get("table"):
            raise self._error(node, "only tags and scores have values to pick: tags['key']")
        if len(keys) != 1 or not isinstance(keys[0], exp.Literal) or not keys[0].is_string:
            raise self._error(
                node, f"a {name[:-1]}'s key is a text in single quotes: {name}['key']"
            )
        if name == "scores":
            return _Value(judged.score_kind(keys[0].name), Kind.SCORE, node)
        key = literal(keys[0].name.lower(), TEXT)
        value = select(tag.c.value).where(tag.c.call_id == call.c.id, tag.c.key == key)
        return _Value(value.correlate(call).scalar_subquery(), Kind.TEXT, node)

    def _literal(self, node: exp.Expr) -> _Value:
        if isinstance(node, exp.Null):
            return _Value(null(), Kind.NULL, node)
        if isinstance(node, exp.Boolean):
            return _Value(literal(bool(node.this), Boolean()), Kind.BOOLEAN, node)
        if node.is_string:
            return _Value(literal(node.name, TEXT), Kind.TEXT, node)
        try:
            number = int(node.name) if node.name.isascii() and node.name.isdigit() else None
            if number is not None and number <= INTEGER_MAX:
                return _Value(literal(number, BigInteger()), Kind.NUMBER, node)
            real = float(node.name)
        except ValueError:
            real = math.inf
        if not math.isfinite(real):
            raise self._error(node, "this is no number a database knows")
        return _Value(literal(real, Float()), Kind.NUMBER, node)

    def _comparison(self, node: exp.Expr) -> _Value:
        left, right = self._compared([node.this, node.expression])
        return _Value(_COMPARISONS[type(node)](left.sql, right.sql), Kind.BOOLEAN, node)

    def _predicate(self, node: exp.Expr) -> _Value:
        condition: ColumnElement[bool]
        if isinstance(node, exp.In):
            if not node.expressions:
                raise self._error(node, "IN takes a list of values: IN ('a', 'b')")
            first, *others = self._compared(_operands(node))
            condition = first.sql.in_([other.sql for other in others])
        elif isinstance(node, exp.Between):
            parts = (node.this, node.args["low"], node.args["high"])
            first, low, high = self._alike([self.value(part) for part in parts])
            condition = first.sql.between(low.sql, high.sql)
        elif isinstance(node, exp.Is):
            if not isinstance(node.expression, exp.Null):
                raise self._error(node, "after IS stands NULL or NOT NULL; for others write =")
            condition = self.value(node.this).sql.is_(None)  # of a score, whether there is one
        else:
            condition = self._like(node)
        return _Value(condition, Kind.BOOLEAN, node)

    def _like(self, node: exp.Expr) -> ColumnElement[bool]:
        pattern = node.expression
        if not isinstance(pattern, exp.Literal) or not pattern.is_string:
            raise self._error(pattern, "a pattern is a text in quotes, such as 'gpt-4%'")
        trailing = len(pattern.name) - len(pattern.name.rstrip("\\"))
        if trailing % 2:
            raise self._error(pattern, "the pattern ends in its escape character: write \\\\")
        text = self._of(Kind.TEXT, node.this)
        bound = literal(pattern.name, TEXT)
        like = text.ilike if isinstance(node, exp.ILike) else text.like
        matches = like(bound, escape="\\")
        return not_(matches) if node.args.get("negate") else matches

    def _arithmetic(self, node: exp.Expr) -> _Value:
        # In floating point, because integers overflow: into an error, in PostgreSQL.
        left = cast(self._of(Kind.NUMBER, node.this), Float())
        if isinstance(node, exp.Neg):
            return _Value(-left, Kind.NUMBER, node)
        right: ColumnElement[Any] = cast(self._of(Kind.NUMBER, node.expression), Float())
        if isinstance(node, exp.Div):
            right = func.nullif(right, literal(0.0, Float()))
        return _Value(_ARITHMETIC[type(node)](left, right), Kind.NUMBER, node)

    def _case(self, node: exp.Case) -> _Value:
        conditions = []
        results = []
        for branch in node.args["ifs"]:
            if node.this is None:
                conditions.append(self._of(Kind.BOOLEAN, branch.this))
            else:
                left, right = self._alike([self.value(node.this), self.value(branch.this)])
                conditions.append(left.sql == right.sql)
            results.append(self.value(branch.args["true"]))
        default = node.args.get("default")
        if default is not None:
            results.append(self.value(default))
        results = self._alike(results, null_allowed=True)
        otherwise = null() if default is None else results[-1].sql
        kind = _common(results)
        pairs = [(when, then.sql) for when, then in zip(conditions, results, strict=False)]
        return _Value(case(*pairs, else_=otherwise), kind, node)

    def _function(self, node: exp.Expr) -> _Value:
        if isinstance(node, exp.Anonymous):
            return self._has(node)
        if isinstance(node, exp.Coalesce):
            values = self._alike([self.value(part) for part in _operands(node)], null_allowed=True)
            return _Value(func.coalesce(*(each.sql for each in values)), _common(values), node)
        if isinstance(node, exp.Abs):
            return _Value(
                func.abs(cast(self._of(Kind.NUMBER, node.this), Float())), Kind.NUMBER, node
            )
        if isinstance(node, exp.Round):
            # PostgreSQL rounds to digits only what is NUMERIC.
            number = cast(self._of(Kind.NUMBER, node.this), Numeric())
            digits = self._whole(node.args.get("decimals"), 0, ROUND_DIGITS_MAX, default=0)
            return _Value(func.round(number, digits), Kind.NUMBER, node)
        text = self._of(Kind.TEXT, node.this)
        if isinstance(node, exp.Substring):
            if node.args.get("start") is None:
                raise self._error(node, "it takes where to start: substr(id, 32, 1)")
            arguments = [self._whole(node.args["start"], 1, TEXT_CHARS_MAX)]
            if node.args.get("length") is not None:
                arguments.append(self._whole(node.args["length"], 0, TEXT_CHARS_MAX))
            return _Value(func.substr(text, *arguments), Kind.TEXT, node)
        if isinstance(node, exp.Length):
            return _Value(func.length(text), Kind.NUMBER, node)
        folded = func.lower(text) if isinstance(node, exp.Lower) else func.upper(text)
        return _Value(folded, Kind.TEXT, node)

    def _has(self, node: exp.Anonymous) -> _Value:
        given = node.expressions
        if len(given) != 2 or not isinstance(given[1], exp.Literal) or not given[1].is_string:
            raise self._error(node, "it takes a list and a text: has(prompt_years, '2024')")
        if self.value(given[0]).kind is not Kind.LIST:
            raise self._error(given[0], f"no list; there are {', '.join(sorted(LISTS))}")
        return _Value(measured.has(given[0].name.lower(), given[1].name), Kind.BOOLEAN, node)

    def _of(self, kind: Kind, node: exp.Expr) -> ColumnElement[Any]:
        """Compile a node that must be of a kind."""
        value = _as(kind, self.value(node))
        if value.kind is not kind:
            raise self._error(node, f"a {kind} is wanted here, this is a {value.kind}")
        return value.sql

    def _whole(
        self, node: exp.Expr | None, low: int, high: int, default: int | None = None
    ) -> ColumnElement[int]:
        """Bind a whole number that must be written out: the databases differ on any other."""
        if node is None and default is not None:
            return literal(default, Integer())
        number = node.name if isinstance(node, exp.Literal) and not node.is_string else ""
        if not number.isdecimal() or not number.isascii() or not low <= int(number) <= high:
            assert node is not None
            raise self._error(node, f"write a whole number from {low} to {high} here")
        return literal(int(number), Integer())

    def _compared(self, nodes: Sequence[exp.Expr]) -> list[_Value]:
        """Compile what is compared; refuse a text that the column beside it never holds."""
        values = self._alike([self.value(node) for node in nodes])
        names = [each.node.name.lower() for each in values if isinstance(each.node, exp.Column)]
        for each in values:
            if isinstance(each.node, exp.Literal) and (problem := never(names, each.node.name)):
                raise self._error(each.node, problem)
        return values

    def _alike(self, values: Sequence[_Value], *, null_allowed: bool = False) -> list[_Value]:
        """Make sure that values can be compared; turn texts into times beside a time."""
        if any(value.kind is Kind.TIME for value in values):
            values = [self._as_time(value) for value in values]
        kind = _common(values)
        values = [_as(kind, value) for value in values]
        for value in values:
            if value.kind is Kind.NULL and not null_allowed:
                raise self._error(value.node, "nothing equals NULL: write IS NULL or IS NOT NULL")
            if value.kind not in (kind, Kind.NULL):
                problem = f"this is a {value.kind} and cannot be compared with a {kind}"
                raise self._error(value.node, problem)
        return list(values)

    def _as_time(self, value: _Value) -> _Value:
        node = value.node
        if not isinstance(node, exp.Literal) or not node.is_string:
            return value
        try:
            bound = literal(read_time(node.name), BigInteger())
        except (ValueError, OverflowError):
            problem = "this is no time; write '2026-10-01' or '2026-10-01T12:30:00Z'"
            raise self._error(node, problem) from None
        return _Value(bound, Kind.TIME, node)

    def _error(self, node: exp.Expr, problem: str) -> FilterError:
        return FilterError(problem, self._text, *extent(node, self._text))


def _chain(node: exp.Expr) -> Iterator[exp.Expr]:
    """Yield the operands of a chain of one operator: a AND b AND c is one, not two."""
    operands = []
    while type(node.this) is type(node):
        operands.append(node.expression)
        node = node.this
    yield node.this
    yield node.expression
    yield from reversed(operands)


def _operands(node: exp.Expr) -> list[exp.Expr]:
    return [node.this, *node.expressions]


def _common(values: Sequence[_Value]) -> Kind:
    """Say of which kind values are together; scores alone are numbers."""
    kinds = [value.kind for value in values if value.kind is not Kind.NULL]
    known = [kind for kind in kinds if kind is not Kind.SCORE]
    return next(iter(known), Kind.NUMBER if kinds else Kind.NULL)


def _as(kind: Kind, value: _Value) -> _Value:
    """Read a score as what is wanted beside it."""
    if value.kind is not Kind.SCORE or kind not in judged.READINGS:
        return value
    name = value.node.expressions[0].name
    return _Value(judged.READINGS[kind](name), kind, value.node)
