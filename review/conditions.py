"""A filter as the conditions it joins by AND: to show them one by one, add one, take one out.

Works on the text, so that what a person typed stays as they typed it. A filter that cannot be
read, or joins by OR, is one condition.
"""

from collections.abc import Sequence

from sqlglot import Dialect
from sqlglot.errors import TokenError
from sqlglot.tokenizer_core import Token, TokenType

from storage.filter_syntax import FilterError, parse

_DIALECT = Dialect.get_or_raise(None)
_OPENING = {TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.CASE}
_CLOSING = {TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.END}


class Conditions:
    """The conditions that a filter joins by AND; parsed once, for the many links of a page."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.parts = _split(where)
        self._alone = [f"({each})" if _has_or(each) else each for each in self.parts]

    def added(self, condition: str, *, replacing: str = "") -> str:
        """Write the filter with one condition more, for those that begin with `replacing`."""
        kept = [
            alone
            for part, alone in zip(self.parts, self._alone, strict=True)
            if part != condition and not (replacing and part.startswith(replacing))
        ]
        return " and ".join([*kept, condition])

    def without(self, condition: str) -> str:
        """Write the filter without one of its conditions."""
        kept = [part for part in self.parts if part != condition]
        if len(kept) == 1:
            return kept[0]
        return " and ".join(
            alone for part, alone in zip(self.parts, self._alone, strict=True) if part != condition
        )


def equals(name: str, value: str) -> str:
    """Write the condition that a column, or `tags['key']`, is a text."""
    return f"{name} = {quoted(value)}"


def tag_name(key: str) -> str:
    """Write the name a tag has in a filter."""
    return f"tags[{quoted(key)}]"


def quoted(text: str) -> str:
    """Write a text as a literal of the filter language."""
    return "'" + text.replace("'", "''") + "'"


def _split(where: str) -> Sequence[str]:
    if not where.strip():
        return ()
    try:
        parse(where)
    except FilterError:
        return (where.strip(),)
    found: list[str] = []
    start = depth = 0
    between = False
    for token in _tokens(where):
        kind = token.token_type
        depth += (kind in _OPENING) - (kind in _CLOSING)
        if depth > 0:
            continue
        if kind is TokenType.OR:
            return (where.strip(),)
        if kind is TokenType.AND and not between:
            found.append(where[start : token.start].strip())
            start = token.end + 1
        if kind in (TokenType.AND, TokenType.BETWEEN):  # whose AND is its own
            between = kind is TokenType.BETWEEN
    return (*found, where[start:].strip())


def _has_or(condition: str) -> bool:
    """Whether a condition holds an OR outside of parentheses: then it is one for that alone."""
    depth = 0
    for token in _tokens(condition):
        depth += (token.token_type in _OPENING) - (token.token_type in _CLOSING)
        if depth == 0 and token.token_type is TokenType.OR:
            return True
    return False


def _tokens(text: str) -> Sequence[Token]:
    try:
        return list(_DIALECT.tokenize(text))
    except TokenError:
        return ()
