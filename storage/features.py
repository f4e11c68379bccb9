"""What is measured of a call for drift, when it is recorded; versioned.

A feature is a number or a short text that says something of a call without its content, so it
may stay when the bodies are gone. Rows of different `FEATURE_VERSION` are never compared;
change what a feature means and the version goes up.

The prompt is the last user message (the last message of all, where no user speaks). Not the
whole request: the history before it is the same conversation measured again at every turn, and
would make long conversations count many times; `turn_count` and `message_count` measure it.
The system message is not in it either: it is the application's own text, the same for every
call, and `template_hash` notices when it changes. The answer is the first choice.

Limits: words and years are read in the first 4,000 and the last 2,000 characters of a text, so
a call costs the same whatever its size and `prompt_words` stops growing at about 6,000
characters; `prompt_chars` does not. Words are what white space separates: one for a sentence of
Chinese. No text feature of any language is here yet. Pure, and total: whatever was derived can be
measured. Without tools 20 microseconds for a call of 1 KB, 60 for one of 30 KB; 5 more a tool.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence, Set
from functools import lru_cache
from typing import Any

import msgspec

from storage.grouping import MASKED_CACHE_CHARS_MAX, MASKED_CACHE_SIZE, masked
from storage.trace import Json, Message, Span, Tool

FEATURE_VERSION = 1

# The same tools are offered call after call; finding their one way of writing takes 10 us a tool.
CACHED_TOOL_SETS = 256
CACHED_BYTES_MAX = 64 * 1024

HEAD_CHARS = 4_000  # the task stands at the beginning of a long prompt …
TAIL_CHARS = 2_000  # … or at its end, after the document
HASH_CHARS = 32  # 128 bits of SHA-256 in hex: no two tool sets of a project will meet

# For ASCII: white space as str.split() sees it, and digits, each as one mark, all else as another.
_SPACES = bytes(32 if chr(each).isspace() else 120 for each in range(256))
_DIGITS = bytes(48 if 48 <= each < 58 else 120 for each in range(256))
# The digit before is looked for only where a century stands: four times faster than looking first.
_YEAR = re.compile(r"(?:19|20)(?<![0-9]..)[0-9][0-9](?![0-9])")
_NO_YEARS: Set[int] = frozenset()

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Any]).decode


class Features(msgspec.Struct, frozen=True):
    """The columns of table `feature` but for the call's id. Hashes are empty where there is
    nothing to hash; lists are JSON text, sorted, without repeats."""

    feature_version: int
    prompt_chars: int
    prompt_words: int
    answer_chars: int
    answer_words: int
    turn_count: int  # user messages in the request
    message_count: int  # messages in the request, of any role
    tool_count: int  # tools offered
    tool_call_count: int  # tools called by the answer
    tools_hash: str  # of the tools offered, in whatever order
    template_hash: str  # of the system and developer messages, numbers, dates and ids masked
    tools_called: str  # names
    prompt_years: str  # whole numbers 1900 to 2099
    answer_years: str
    prompt_sentences: int = 0
    prompt_lines: int = 0
    prompt_word_length: int = 0  # hundredths of a character, the mean of all words
    prompt_digits_permille: int = 0  # of the characters that are read, as the next three
    prompt_punctuation_permille: int = 0
    prompt_uppercase_permille: int = 0
    prompt_non_ascii_permille: int = 0
    prompt_unique_words_permille: int = 0  # of the words that are read
    answer_sentences: int = 0
    answer_lines: int = 0
    answer_word_length: int = 0
    answer_digits_permille: int = 0
    answer_punctuation_permille: int = 0
    answer_uppercase_permille: int = 0
    answer_non_ascii_permille: int = 0
    answer_unique_words_permille: int = 0
    refusal: int = 0  # 1: the answer reads like one
    prompt_dates: str = ""  # names of date formats
    prompt_scripts: str = ""
    prompt_marks: str = ""  # code, heading, link, list, table
    prompt_json: str = ""  # array, broken, object; else empty
    answer_dates: str = ""
    answer_scripts: str = ""
    answer_marks: str = ""
    answer_json: str = ""
    answer_new_years: str = ""  # years that the answer names and nothing in the request
    answer_keys: str = ""  # hash of the keys of an answer that is a JSON object
    roles: str = ""  # who speaks in the request: assistant,system,user
    system_hash: str = ""  # of the system and developer messages as they are
    system_fingerprint: str = ""
    parameters: str = ""  # JSON object of what the request sets of sampling


def features_of(span: Span) -> Features:
    """Measure a call. A call that was not understood measures zero."""
    understood = span.understood
    prompt = _prompt(understood.messages)
    answer = understood.choices[0].message if understood.choices else None
    answer_text = answer.text if answer else ""
    tool_calls = answer.tool_calls if answer else ()
    prompt_read, answer_read = _read(prompt), _read(answer_text)
    return Features(
        feature_version=FEATURE_VERSION,
        prompt_chars=len(prompt),
        prompt_words=_word_count(prompt_read),
        answer_chars=len(answer_text),
        answer_words=_word_count(answer_read),
        turn_count=sum(message.role == "user" for message in understood.messages),
        message_count=len(understood.messages),
        tool_count=len(understood.tools),
        tool_call_count=len(tool_calls),
        tools_hash=_tools_hash(understood.tools),
        template_hash=_template_hash(understood.messages),
        tools_called=_json_list({call.name for call in tool_calls}),
        prompt_years=_json_list(_years(prompt_read)),
        answer_years=_json_list(_years(answer_read)),
    )


def _prompt(messages: Sequence[Message]) -> str:
    for message in reversed(messages):
        if message.role == "user":
            return message.text
    return messages[-1].text if messages else ""


def _read(text: str) -> str:
    """Take the part of a text that is read; the cut is a line's end, so no word spans it."""
    if len(text) <= HEAD_CHARS + TAIL_CHARS:
        return text
    return f"{text[:HEAD_CHARS]}\n{text[-TAIL_CHARS:]}"


def _word_count(text: str) -> int:
    """Count what white space separates; in ASCII, as most texts are, without making the words."""
    if not text.isascii():
        return len(text.split())
    marks = text.encode().translate(_SPACES)
    return marks.count(b" x") + marks.startswith(b"x")


def _years(text: str) -> Set[int]:
    if text.isascii() and b"0000" not in text.encode().translate(_DIGITS):
        return _NO_YEARS
    return set(map(int, _YEAR.findall(text)))


def _template_hash(messages: Sequence[Message]) -> str:
    texts = [message.text for message in messages if message.role in ("system", "developer")]
    if not texts:
        return ""
    recurs = sum(map(len, texts)) <= MASKED_CACHE_CHARS_MAX
    return (_hash_masked_cached if recurs else _hash_masked)(tuple(texts))


def _hash_masked(texts: tuple[str, ...]) -> str:
    return _hash(map(masked, texts))


_hash_masked_cached = lru_cache(maxsize=MASKED_CACHE_SIZE)(_hash_masked)


def _tools_hash(tools: Sequence[Tool]) -> str:
    """Hash what the model is told of each tool; the order they are offered in is chance."""
    if not tools:
        return ""
    told: list[Json] = [_told(tool) for tool in tools]
    try:
        written = _encode(told)
    except (UnicodeEncodeError, OverflowError):
        return _hash_told(told)
    return _hash_written(written) if len(written) <= CACHED_BYTES_MAX else _hash_told(told)


def _told(tool: Tool) -> list[Json]:
    # A tool that is no function (a web search, a computer) is all in what was sent.
    schema = tool.parameters if tool.kind == "function" else tool.raw
    return [tool.kind, tool.name, tool.description, schema]


@lru_cache(maxsize=CACHED_TOOL_SETS)
def _hash_written(written: bytes) -> str:
    return _hash_told(_decode(written))


def _hash_told(told: list[Json]) -> str:
    """Hash each tool written in one way only.

    ASCII, so that what cannot be encoded cannot fail either.
    """
    written = [json.dumps(each, sort_keys=True, separators=(",", ":")) for each in told]
    return _hash(sorted(written))


def _hash(texts: Iterable[str]) -> str:
    """Hash texts in order. Each ends in a byte UTF-8 never has: two texts are not their sum."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode("utf-8", "surrogatepass") + b"\xff")
    return digest.hexdigest()[:HASH_CHARS]


def _json_list(values: Iterable[int] | Iterable[str]) -> str:
    # The escape costs a third of a call's features, and most calls name no year and call no tool.
    return json.dumps(sorted(values), separators=(",", ":")) if values else "[]"
