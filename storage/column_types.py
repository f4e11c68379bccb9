"""What the tables of the schema are made with: their metadata, the types of their columns.

The id of a call is text of 32 hexadecimal digits for everybody outside: `CALL_ID` makes of it the
16 bytes of a `uuid` in PostgreSQL, whose order is the same, and half of each index. A condition may
compare an id with any text, such as the beginning of one: `least_id` turns that into whole ids, in
both databases. Where a call need not be known, the empty text stands for it (CALL_ID_OR_EMPTY); in
PostgreSQL that is NO_ID.
"""

import re
from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import ColumnElement, Index, MetaData, String, Text, false, text, true
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.operators import OperatorType, eq, ge, gt, in_op, le, lt, ne, not_in_op
from sqlalchemy.types import TypeEngine, UserDefinedType

ID_DIGITS: Final = 32
NO_ID: Final = "f" * ID_DIGITS  # no call has it: the first twelve are a time, of the year 10889
# Of an answer's id in its index; with the length of such a text, eight bytes in PostgreSQL. Ids end
# in random digits: of 28 bits or more.
ANSWER_END_CHARS: Final = 7
_HEX: Final = re.compile("[0-9a-f]*")

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    }
)

_BYTEWISE = postgresql.TEXT(collation="C")
TEXT: TypeEngine[str] = Text().with_variant(_BYTEWISE, "postgresql")
ID: TypeEngine[str] = String(32).with_variant(_BYTEWISE, "postgresql")
HASH: TypeEngine[str] = String(64).with_variant(_BYTEWISE, "postgresql")


def partial_index(name: str, condition: str, *columns: str | ColumnElement[Any]) -> Index:
    """Make an index of few rows. A query uses it where the condition stands in it literally."""
    where = text(condition)
    return Index(name, *columns, sqlite_where=where, postgresql_where=where)


def is_id(given: str) -> bool:
    """Tell whether a text is a whole id."""
    return len(given) == ID_DIGITS and _HEX.fullmatch(given) is not None


def least_id(given: str) -> str | None:
    """Return the least id that is not below a text, None where all ids are.

    least_id("01a0") == "01a0" + 28 * "0"; least_id("01a0g") == "01a1" + 28 * "0"
    """
    found = _HEX.match(given)
    assert found is not None, "it may match nothing"
    digits = found[0][:ID_DIGITS]
    rest = given[len(digits) :]
    if len(digits) < ID_DIGITS and rest:
        if rest[0] < "0":
            rest = ""
        elif rest[0] < "a":  # above the figures and below the letters
            digits, rest = f"{digits}a", ""
    least = int(digits.ljust(ID_DIGITS, "0"), 16)
    if rest:
        least += 16 ** (ID_DIGITS - len(digits))
    return None if least == 16**ID_DIGITS else f"{least:0{ID_DIGITS}x}"


class CallId(String):
    """The type of a column of call ids; of some that `may_be_empty`."""

    # By position: SQLAlchemy looks for what a type is made of among such parameters.
    def __init__(self, may_be_empty: bool = False) -> None:
        super().__init__(ID_DIGITS)
        self.may_be_empty = may_be_empty

    class Comparator(String.Comparator[str]):
        """Compares ids with texts that need not be whole ids, as the texts would be compared."""

        def operate(self, op: OperatorType, *other: Any, **options: Any) -> ColumnElement[Any]:
            """Put whole ids in the place of a text."""
            given = other[0] if other else None
            if isinstance(given, str):
                return self._compared(op, given)
            if op in (in_op, not_in_op) and isinstance(given, list | tuple):
                other = (list(filter(self._may_be, given)),)
            return super().operate(op, *other, **options)

        def _compared(self, op: OperatorType, given: str) -> ColumnElement[Any]:
            if op in (eq, ne):
                if self._may_be(given):
                    return super().operate(op, given)
                return false() if op is eq else true()
            is_below = op in (lt, le)
            assert is_below or op in (gt, ge), f"ids are not compared by {op}"
            if not is_id(given):
                least = least_id(given)
                if least is None:
                    return true() if is_below else false()
                op, given = lt if is_below else ge, least
            return super().operate(op, given)

        def _may_be(self, given: str) -> bool:
            assert isinstance(self.type, CallId)
            return is_id(given) or given == "" and self.type.may_be_empty

    comparator_factory = Comparator


class _Uuid(UserDefinedType[str]):
    """A `uuid` of PostgreSQL, which storage.postgres reads as text without dashes."""

    cache_ok = True

    def get_col_spec(self, **_options: Any) -> str:
        return "UUID"


class _UuidOrEmpty(_Uuid):
    """A `uuid` of PostgreSQL that is NO_ID for the empty text."""

    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Callable[[str | None], str | None]:
        return lambda given: NO_ID if given == "" else given

    def result_processor(
        self, dialect: Dialect, coltype: object
    ) -> Callable[[str | None], str | None]:
        return lambda found: "" if found == NO_ID else found


CALL_ID: TypeEngine[str] = CallId().with_variant(_Uuid(), "postgresql")
CALL_ID_OR_EMPTY: TypeEngine[str] = CallId(may_be_empty=True).with_variant(
    _UuidOrEmpty(), "postgresql"
)


class id_text(FunctionElement[str]):
    """An id of a column as text in SQL: to be compared with what is no id, cut, or aggregated."""

    name = "id_text"
    type = TEXT
    inherit_cache = True


@compiles(id_text)
def _as_it_is(element: id_text, compiler: SQLCompiler, **options: Any) -> str:
    return str(compiler.process(element.clauses, **options))


@compiles(id_text, "postgresql")
def _as_digits(element: id_text, compiler: SQLCompiler, **options: Any) -> str:
    id = compiler.process(element.clauses, **options)
    return f"(encode(uuid_send({id}), 'hex') COLLATE \"C\")"


class answer_end(FunctionElement[str]):
    """The last characters of an answer's id, which differ: a whole one takes twice the index."""

    name = "answer_end"
    type = TEXT
    inherit_cache = True


def answer_end_of(provider_id: str) -> str:
    """Do what `answer_end` does."""
    return provider_id[-ANSWER_END_CHARS:]


@compiles(answer_end)
def _end_in_sqlite(element: answer_end, compiler: SQLCompiler, **options: Any) -> str:
    text = compiler.process(element.clauses, **options)
    return f"substr({text}, -{ANSWER_END_CHARS})"


@compiles(answer_end, "postgresql")
def _end_in_postgres(element: answer_end, compiler: SQLCompiler, **options: Any) -> str:
    text = compiler.process(element.clauses, **options)
    return f'"right"({text}, {ANSWER_END_CHARS})'
