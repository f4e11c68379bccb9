"""What is measured of every call for drift, when it is recorded; versioned.

A feature is a number or a short text that says something of a call without its content, so it
may stay when the bodies are gone. Rows of different `FEATURE_VERSION` are never compared;
change what a feature means and the version goes up.

The prompt is the last user message (the last message of all, where no user speaks). Not the
whole request: the history before it is the same conversation measured again at every turn, and
would make long conversations count many times; `turn_count` and `message_count` measure it.
The system message is not in it either: it is the application's own text, the same for every
call, and `template_hash` notices when it changes. The answer is the text of the first choice.

How a text is read and counted: storage.texts, years and dates: storage.years. Hashes are 64 bits of
SHA-256, the same everywhere and for ever. Version 1 had only what stands in the first 14 fields;
its other fields are neutral, its hashes longer. Pure, and total: whatever was derived can be
measured. Some 50 microseconds for a call of 5 KB among many (benchmarks/feature_limits.py), 25 more
for one by itself. What needs more time is measured of a sample: storage.terms.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from typing import Final

import msgspec

from storage.grouping import MASKED_CACHE_CHARS_MAX, MASKED_CACHE_SIZE, masked
from storage.json_texts import keys_hash, read_json
from storage.parameters import parameters_of
from storage.refusals import is_refusal
from storage.texts import ReadText, TextMeasures, measure_all, read_text
from storage.tool_sets import tool_set_of
from storage.trace import Json, Message, Span
from storage.years import dates_of

FEATURE_VERSION: Final = 2

HASH_CHARS: Final = 16  # 64 bits of SHA-256 in hex: a project's few thousand texts will not meet
REQUEST_CHARS_MAX: Final = 2**20  # of a request that is searched for a year of its answer


class Features(msgspec.Struct, frozen=True):
    """Columns of table `call`. Hashes are empty where there is nothing to hash; lists are JSON
    text, sorted, without repeats, empty where there is nothing."""

    feature_version: int
    prompt_chars: int
    prompt_words: int
    answer_chars: int
    answer_words: int
    turn_count: int  # user messages in the request
    message_count: int  # messages in the request, of any role
    tool_count: int  # tools offered
    tool_call_count: int  # tools called by the answer
    tools_hash: str  # of the tools offered, in whatever order: storage.tool_sets
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
    prompt_unique_words_permille: int = 0  # of the words at its beginning
    answer_sentences: int = 0
    answer_lines: int = 0
    answer_word_length: int = 0
    answer_digits_permille: int = 0
    answer_punctuation_permille: int = 0
    answer_uppercase_permille: int = 0
    answer_non_ascii_permille: int = 0
    answer_unique_words_permille: int = 0
    refusal: int = 0  # 1: the answer reads like one (storage.refusals)
    prompt_dates: str = ""  # names of date formats: storage.years
    prompt_scripts: str = ""  # storage.characters
    prompt_marks: str = ""  # code, heading, link, list, table
    prompt_json: str = ""  # array, broken, object; else empty
    answer_dates: str = ""
    answer_scripts: str = ""
    answer_marks: str = ""
    answer_json: str = ""
    answer_new_years: str = ""  # years that the answer names and nothing in the request
    answer_keys: str = ""  # hash of the names of fields, of an answer that is a JSON object
    roles: str = ""  # who speaks in the request: assistant,system,user
    system_hash: str = ""  # of the system and developer messages as they are
    system_fingerprint: str = ""
    parameters: str = ""  # JSON object of what the request sets of sampling: storage.parameters


def features_of(span: Span) -> Features:
    """Measure a call. A call that was not understood measures zero."""
    return features_of_all([span])[0]


def features_of_all(spans: Sequence[Span]) -> list[Features]:
    """Measure some calls, their texts together: in half the time of one by one."""
    texts = [read_text(text) for span in spans for text in (prompt_of(span), answer_of(span))]
    measured = list(zip(texts, measure_all(texts), strict=True))
    return list(map(_features, spans, measured[::2], measured[1::2]))


def _features(
    span: Span, prompted: tuple[ReadText, TextMeasures], answered: tuple[ReadText, TextMeasures]
) -> Features:
    understood = span.understood
    messages = understood.messages
    tool_calls = understood.choices[0].message.tool_calls if understood.choices else ()
    (prompt_text, prompt_read, prompt_classes), prompt = prompted
    (answer_text, answer_read, answer_classes), answer = answered
    prompt_dates = dates_of(prompt_read, prompt_classes)
    answer_dates = dates_of(answer_read, answer_classes)
    answer_json = read_json(answer_text)
    template_hash, system_hash = _system_hashes(messages)
    roles = [message.role for message in messages]
    return Features(
        feature_version=FEATURE_VERSION,
        prompt_chars=prompt.chars,
        prompt_words=prompt.words,
        answer_chars=answer.chars,
        answer_words=answer.words,
        turn_count=roles.count("user"),
        message_count=len(messages),
        tool_count=len(understood.tools),
        tool_call_count=len(tool_calls),
        tools_hash=tool_set_of(understood.tools).hash,
        template_hash=template_hash,
        tools_called=_json_list({call.name for call in tool_calls}),
        prompt_years=_json_list(prompt_dates.years),
        answer_years=_json_list(answer_dates.years),
        prompt_sentences=prompt.sentences,
        prompt_lines=prompt.lines,
        prompt_word_length=prompt.word_length,
        prompt_digits_permille=prompt.digits_permille,
        prompt_punctuation_permille=prompt.punctuation_permille,
        prompt_uppercase_permille=prompt.uppercase_permille,
        prompt_non_ascii_permille=prompt.non_ascii_permille,
        prompt_unique_words_permille=prompt.unique_words_permille,
        answer_sentences=answer.sentences,
        answer_lines=answer.lines,
        answer_word_length=answer.word_length,
        answer_digits_permille=answer.digits_permille,
        answer_punctuation_permille=answer.punctuation_permille,
        answer_uppercase_permille=answer.uppercase_permille,
        answer_non_ascii_permille=answer.non_ascii_permille,
        answer_unique_words_permille=answer.unique_words_permille,
        refusal=int(is_refusal(answer_text)),
        prompt_dates=_names(prompt_dates.formats),
        prompt_scripts=_names(prompt.scripts),
        prompt_marks=_names(prompt.marks),
        prompt_json=read_json(prompt_text).kind,
        answer_dates=_names(answer_dates.formats),
        answer_scripts=_names(answer.scripts),
        answer_marks=_names(answer.marks),
        answer_json=answer_json.kind,
        answer_new_years=_json_list(_new_years(answer_dates.years, messages)),
        answer_keys=keys_hash(answer_json.value),
        roles=",".join(sorted(set(roles))),
        system_hash=system_hash,
        system_fingerprint=_encodable(understood.system_fingerprint),
        parameters=parameters_of(understood.settings),
    )


def items_of(text: str) -> list[str]:
    """Read a list of features, or an object as name=value; there are none in an empty text."""
    read: Json = msgspec.json.decode(text) if text else []
    if isinstance(read, dict):
        return [f"{name}={_written(value)}" for name, value in read.items()]
    return [_written(item) for item in read] if isinstance(read, list) else []


def prompt_of(span: Span) -> str:
    """Take the last user message, or the last message of all where no user speaks."""
    messages = span.understood.messages
    for message in reversed(messages):
        if message.role == "user":
            return message.text
    return messages[-1].text if messages else ""


def answer_of(span: Span) -> str:
    """Take the text of the first choice."""
    choices = span.understood.choices
    return choices[0].message.text if choices else ""


def _new_years(years: Collection[int], messages: Sequence[Message]) -> Collection[int]:
    """Leave out the years that stand anywhere in the request, tool calls in it included."""
    left = set(years)
    chars = 0
    for message in reversed(messages):
        if not left or chars > REQUEST_CHARS_MAX:
            break
        for text in (message.text, *(call.arguments for call in message.tool_calls)):
            chars += len(text)
            left = {year for year in left if str(year) not in text}
    return left


def _system_hashes(messages: Sequence[Message]) -> tuple[str, str]:
    """Hash the system and developer messages: masked, and as they are."""
    texts = [message.text for message in messages if message.role in ("system", "developer")]
    if not texts:
        return "", ""
    recurs = sum(map(len, texts)) <= MASKED_CACHE_CHARS_MAX
    return (_hash_system_cached if recurs else _hash_system)(tuple(texts))


def _hash_system(texts: tuple[str, ...]) -> tuple[str, str]:
    return _hash(map(masked, texts)), _hash(texts)


_hash_system_cached = lru_cache(maxsize=MASKED_CACHE_SIZE)(_hash_system)


def _hash(texts: Iterable[str]) -> str:
    """Hash texts in order. Each ends in a byte UTF-8 never has: two texts are not their sum."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode("utf-8", "surrogatepass") + b"\xff")
    return digest.hexdigest()[:HASH_CHARS]


def _encodable(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _written(value: Json) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _json_list(values: Collection[int] | Collection[str]) -> str:
    # The escape costs a third of a call's features, and most calls name no year and call no tool.
    return json.dumps(sorted(values), separators=(",", ":")) if values else ""


def _names(names: Sequence[str]) -> str:
    """Write names of a closed list, which are sorted and need no escape."""
    return '["' + '","'.join(names) + '"]' if names else ""
