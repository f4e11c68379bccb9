"""The words of a call's texts as hashes, and their languages: measured of a sample of calls.

A change of topic, wording, year, class or field shows in which terms more calls have than before.
There are three families: `prompt_terms` and `answer_terms`, the words and pairs of words of both
texts (storage.words); and `answer_fields`, what a structured answer says: of JSON, and of the
arguments of tool calls, each `path` and `path=value` of a short value, of an answer that is one
short line the whole of it, for it may be a class. What of a call is its prompt and its answer is
said in storage.features.

Which calls: those whose id, hashed by SHA-256, begins with `sample_bits` zero bits. Samples of
different bits lie within each other, so a reader of several takes what the largest has left.

Terms are content: they go when the body goes, and after some days. `terms_of` gives them their
names, from the call itself. 120 microseconds for a call of 5 KB, half of them for the languages,
300 for the longest texts; parsing 100 KB of a JSON answer takes as long again.
"""

import hashlib
from collections.abc import Iterator
from typing import Final

import msgspec

from storage.features import FEATURE_VERSION, answer_of, prompt_of
from storage.json_texts import SCALAR_CHARS_MAX, fields_of, read_json
from storage.languages import language_of
from storage.trace import Json, Span
from storage.words import as_bytes, named_terms, terms_in, word_hash

FAMILIES: Final = ("prompt_terms", "answer_terms", "answer_fields")
SAMPLE_BITS_MAX: Final = 32
ARGUMENTS_CHARS_MAX: Final = 64 * 1024  # of the arguments of all tool calls of an answer


class TextFeatures(msgspec.Struct, frozen=True):
    """The columns of table `text_feature` but for the call's id. Of a sample of calls.

    A call is in the sample where the first `sample_bits` bits of the SHA-256 of its id are zero.
    Terms are 32-bit hashes, little-endian, sorted, without repeats.
    """

    feature_version: int
    sample_bits: int
    prompt_language: str  # ISO 639, empty where it cannot be told
    answer_language: str
    prompt_terms: bytes  # words, and pairs of words that follow one another
    answer_terms: bytes
    answer_fields: bytes  # of a JSON answer `path` and `path=value`; of a short one the answer


def text_features_of(span: Span, sample_bits: int = 0) -> TextFeatures:
    """Measure the texts of a call that is in a sample of so many bits. Pure and total."""
    prompt, answer = prompt_of(span), answer_of(span)
    return TextFeatures(
        feature_version=FEATURE_VERSION,
        sample_bits=sample_bits,
        prompt_language=language_of(prompt),
        answer_language=language_of(answer),
        prompt_terms=terms_in(prompt),
        answer_terms=terms_in(answer),
        answer_fields=as_bytes(map(word_hash, set(_fields(span)))),
    )


def terms_of(span: Span) -> dict[str, dict[int, str]]:
    """Name the terms of a call: for each family what its hashes stand for.

    A field is written `path` or `path=value`, a short answer `=answer`.
    """
    return {
        "prompt_terms": named_terms(prompt_of(span)),
        "answer_terms": named_terms(answer_of(span)),
        "answer_fields": {word_hash(field): field for field in _fields(span)},
    }


def sample_bits_of(call_id: str) -> int:
    """Say how many bits a sample can have that this call is still in, up to SAMPLE_BITS_MAX."""
    digest = hashlib.sha256(call_id.encode("utf-8", "surrogatepass")).digest()
    return SAMPLE_BITS_MAX - int.from_bytes(digest[: SAMPLE_BITS_MAX // 8]).bit_length()


def _fields(span: Span) -> Iterator[str]:
    """Write what a structured answer says."""
    choices = span.understood.choices
    if not choices:
        return
    text = choices[0].message.text
    found = read_json(text)
    if found.kind:
        yield from _written("", found.value)
    elif (line := text.strip()) and len(line) <= SCALAR_CHARS_MAX and "\n" not in line:
        yield f"={line}"
    chars = 0
    for call in choices[0].message.tool_calls:
        chars += len(call.arguments)
        if chars > ARGUMENTS_CHARS_MAX:
            return
        yield from _written(f"{call.name}.", read_json(call.arguments).value)


def _written(before: str, value: Json) -> Iterator[str]:
    for path, scalar in fields_of(value):
        yield f"{before}{path}"
        if scalar is not None:
            yield f"{before}{path}={scalar}"
