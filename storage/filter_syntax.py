"""The text of a filter to a syntax tree, by sqlglot, and errors that point into the text.

Only what may be a condition is parsed: a statement is not even read. Limits are checked on the
tokens, before the parser's recursion sees them.
"""

from collections.abc import Mapping, Sequence, Set
from typing import Final

from sqlglot import Dialect, exp
from sqlglot.errors import ParseError, TokenError
from sqlglot.tokenizer_core import Token, TokenType

from storage.filter_columns import FUNCTIONS

TEXT_CHARS_MAX = 10_000
NESTING_MAX = 16  # parentheses, brackets and CASE; the parser takes 20 stack frames for each
SHOWN_CHARS = 70  # of the filter, on either side of the place an error points at
EXAMPLE = "outcome = 'complete'"

# What each node may hold. Anything else that the parser has put there is not understood here.
_COMPARING = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE)
_CALCULATING = (exp.Add, exp.Sub, exp.Mul, exp.Div)
ARGUMENTS: Final[Mapping[type[exp.Expr], Set[str]]] = {
    exp.Column: {"this"},
    exp.Literal: {"this", "is_string"},
    exp.Boolean: {"this"},
    exp.Null: set(),
    exp.Paren: {"this"},
    exp.Bracket: {"this", "expressions"},
    exp.Not: {"this"},
    exp.Neg: {"this"},
    exp.And: {"this", "expression"},
    exp.Or: {"this", "expression"},
    exp.Is: {"this", "expression"},
    exp.Like: {"this", "expression", "negate"},
    exp.ILike: {"this", "expression", "negate"},
    exp.DPipe: {"this", "expression", "safe"},
    exp.In: {"this", "expressions"},
    exp.Between: {"this", "low", "high"},
    exp.Case: {"this", "ifs", "default"},
    exp.Substring: {"this", "start", "length"},
    exp.Lower: {"this"},
    exp.Upper: {"this"},
    exp.Length: {"this"},
    exp.Abs: {"this"},
    exp.Round: {"this", "decimals"},
    exp.Coalesce: {"this", "expressions"},
    exp.Anonymous: {"this", "expressions"},  # a function that only this language has
    **{kind: {"this", "expression"} for kind in _COMPARING},
    **{kind: {"this", "expression", "typed", "safe"} for kind in _CALCULATING},
}

_DIALECT = Dialect.get_or_raise(None)
_OPENING = {TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE, TokenType.CASE}
_CLOSING = {TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE, TokenType.END}


class FilterError(ValueError):
    """A filter that cannot be used. The message shows the filter, the place and the remedy.

    `start` and `end` are indices of characters; the column in the message counts from 1.
    """

    def __init__(self, problem: str, text: str, start: int, end: int) -> None:
        first = max(start - SHOWN_CHARS, 0)
        shown = text[first : start + SHOWN_CHARS]
        shown = "".join(char if char.isprintable() else " " for char in shown)
        carets = "^" * max(min(end - start, SHOWN_CHARS), 1)
        super().__init__(
            f"filter, column {start + 1}: {problem}\n  {shown}\n  {' ' * (start - first)}{carets}"
        )
        self.problem = problem
        self.start = start
        self.end = end


def parse(text: str) -> exp.Expr:
    """Parse a filter; raise FilterError where it is no expression or exceeds a limit."""
    if len(text) > TEXT_CHARS_MAX:
        problem = f"it has {len(text)} characters, at most {TEXT_CHARS_MAX} are read"
        raise FilterError(problem, text, TEXT_CHARS_MAX, len(text))
    for place, char in enumerate(text):
        if char == "\0" or "\ud800" <= char <= "\udfff":
            raise FilterError("no database can store this character", text, place, place + 1)
    tokens = _tokens(text)
    try:
        trees = _DIALECT.parser().parse_into(exp.Condition, tokens, text)
    except ParseError as error:
        raise _explained(error, text, tokens) from None
    except RecursionError:  # the caller's own stack was nearly full
        raise FilterError("it is nested too deeply", text, 0, len(text)) from None
    if len(trees) != 1 or trees[0] is None:  # a sign or a keyword alone is no expression
        raise FilterError("something is missing around this", text, 0, len(text))
    return trees[0]


def is_known(node: exp.Expr) -> bool:
    """Tell whether the language has such a node, with what the parser has put into it."""
    known = ARGUMENTS.get(type(node))
    if known is None or any(given and name not in known for name, given in node.args.items()):
        return False
    return not isinstance(node, exp.Anonymous) or node.name.lower() == "has"


def extent(node: exp.Expr, text: str) -> tuple[int, int]:
    """Say from where to where in the text a node reaches: of itself, or else of its parts."""
    starts = []
    ends = []
    for part in node.walk():
        if "start" in part.meta:
            starts.append(int(part.meta["start"]))
            ends.append(int(part.meta["end"]) + 1)
    return (min(starts), max(ends)) if starts else (0, len(text))


def _tokens(text: str) -> list[Token]:
    try:
        tokens = list(_DIALECT.tokenize(text))
    except TokenError:
        quote = max(text.rfind("'"), text.rfind('"'), 0)
        raise FilterError("a quote or a comment is not closed", text, quote, quote + 1) from None
    if not tokens:
        raise FilterError(f"it is empty; write a condition such as {EXAMPLE}", text, 0, 1)
    nesting = 0
    for token in tokens:
        start, end = token.start, token.end + 1
        if token.comments:
            raise FilterError("after this comes a comment; leave it out", text, start, end)
        if token.token_type is TokenType.SEMICOLON:
            raise FilterError("a filter is one condition; join two by AND", text, start, end)
        if token.token_type.name.endswith("ARROW"):
            # JSON paths: sqlglot parses those too, and logs what it does not like of them.
            raise FilterError("there is nothing to look into here", text, start, end)
        nesting += (token.token_type in _OPENING) - (token.token_type in _CLOSING)
        if nesting > NESTING_MAX:
            problem = f"more than {NESTING_MAX} parentheses within each other"
            raise FilterError(problem, text, start, end)
    return tokens


def _explained(error: ParseError, text: str, tokens: Sequence[Token]) -> FilterError:
    """Turn the parser's complaint into one for somebody who writes a filter."""
    detail = error.errors[0] if error.errors else {}
    place = (detail.get("line"), detail.get("col"))
    token = next((token for token in tokens if (token.line, token.col) == place), tokens[-1])
    description = str(detail.get("description", ""))
    if description.startswith("Required keyword"):
        problem = "something is missing after this"
    elif description.startswith("Expect"):
        problem = f"{description[0].lower()}{description[1:]} after this"
    elif description.startswith("The number of provided arguments"):
        problem = "too many arguments"
    else:
        problem = f"this does not belong in a condition such as {EXAMPLE}"
    return FilterError(problem, text, token.start, token.end + 1)


def refusal(node: exp.Expr) -> str:
    """Say why a node is not part of the language, and what would be right."""
    if isinstance(node, exp.Subquery | exp.Select | exp.Exists | exp.Any | exp.All):
        return "a filter has no subquery"
    if isinstance(node, exp.In):
        return "IN takes a list of values: IN ('a', 'b')"
    if isinstance(node, exp.Column):
        if node.table.lower() == "tags":
            return f"write tags['{node.name}']"
        return "no table stands before a column; there is only one"
    if isinstance(node, exp.Cast):
        return "there are no types to convert to; a time is written as a text"
    if isinstance(node, exp.Func):
        names = ", ".join(name.partition("(")[0] for name in FUNCTIONS)
        return f"there is no such function here; there are {names}"
    return f"this is not part of a filter; write a condition such as {EXAMPLE}"
