"""How many tokens a text is, by tokenizer files that ship in a package: no network.

With the extra `tokens` (bpe-openai) texts are counted by o200k_base, the vocabulary of OpenAI's
models since gpt-4o; other models' counts differ by some 10 % for English, more for other scripts.
Without it a token is taken for 4 characters, and `name` says so. What a chat template adds to each
message is not counted: 3 to 10 tokens, which depend on the model. 7 MB of text a second. Texts
are counted in pieces, for the package refuses a million characters: each cut may add a token.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

ENCODING = "o200k_base"
CHARS_PER_TOKEN = 4
PIECE_CHARS_MAX = 500_000  # the package refuses 1,000,000


@dataclass(frozen=True)
class Tokenizer:
    """Counts tokens; `name` says by what, `exact` whether it does more than estimate."""

    name: str
    exact: bool
    count: Callable[[str], int]


def find_tokenizer(package: str = "bpe_openai") -> Tokenizer:
    """Return the tokenizer of the package, or the estimate where it is not installed."""
    if find_spec(package) is None:
        return Tokenizer(f"an estimate, {CHARS_PER_TOKEN} characters each", False, _estimate)
    with warnings.catch_warnings():
        # Its way of opening its files is one that Python would rather see replaced.
        warnings.simplefilter("ignore", DeprecationWarning)
        encoding = import_module(package).get_encoding(ENCODING)

    def count(text: str) -> int:
        # A conversation may speak of <|endoftext|>: here that is text like any other.
        return sum(
            len(encoding.encode_ordinary(_encodable(text[start : start + PIECE_CHARS_MAX])))
            for start in range(0, len(text), PIECE_CHARS_MAX)
        )

    return Tokenizer(ENCODING, True, count)


def _estimate(text: str) -> int:
    return -(-len(text) // CHARS_PER_TOKEN)


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
