"""What a filter may name: the documented columns and functions. The docs are made from these."""

import difflib
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import Boolean, String

from storage.capture import Dialect, Endpoint, Outcome
from storage.rows import microseconds_of
from storage.schema import call, text_feature
from storage.trace import Side

COLUMNS: dict[str, str] = {
    "id": "The call's id: 32 hex characters that sort by time; the last 16 are random.",
    "started_at": "When the request arrived; compare it with ISO 8601 texts, UTC.",
    "project": "The project the call belongs to.",
    "upstream": "The name of the upstream in the settings.",
    "dialect": "The wire format of the upstream: openai, anthropic, gemini or raw.",
    "endpoint": "The kind of call: chat_completions, responses, messages, embeddings, …",
    "method": "The HTTP method of the request.",
    "path": "The path of the request as the client sent it, without the query.",
    "request_model": "The model the request asked for.",
    "response_model": "The model that answered, by its own account.",
    "outcome": "How the call ended: complete, upstream_error, upstream_timeout, "
    "upstream_unreachable, upstream_cut, client_gone, interrupted or refused.",
    "status_code": "The HTTP status of the answer; NULL where none came.",
    "error": "What went wrong on shalt's side of the wire; empty if nothing did.",
    "streamed": "Whether the answer was a stream of events.",
    "finish_reason": "Why the model stopped, of the first choice, in the upstream's word.",
    "input_tokens": "Tokens of the request as the upstream counted them, cached ones included.",
    "output_tokens": "Tokens of the answer as the upstream counted them.",
    "cached_tokens": "Of the input tokens, those the upstream had cached.",
    "reasoning_tokens": "Of the output tokens, those spent on reasoning.",
    "cost_usd": "The price of the call in US dollars; NULL where it is not known.",
    "duration_ms": "Milliseconds from the request's arrival to the answer's last byte.",
    "time_to_first_token_ms": "Milliseconds to the first byte of a streamed answer's body.",
    "overhead_ms": "Of the duration, milliseconds spent in shalt itself.",
    "session_id": "The session the application named in x-shalt-session; empty if none.",
    "trace_id": "The W3C trace id of the request, else the call's own id.",
    "user_id": "The end user the request named; empty if none.",
    "provider_id": "The upstream's id of the answer: chatcmpl-…, resp_…, msg_….",
    "previous_id": "The upstream's id of the answer this call continues; empty if none.",
    "linked_to": "The same where it decides the group, otherwise empty.",
    "group_id": "The group, which is never divided between train and test.",
    "group_source": "What made the group: session, root, previous_response, trace, user, tag:….",
    "side": "Where the group's calls may go: train, val, test or quarantine.",
    "request_bytes": "Length of the request's body on the wire.",
    "response_bytes": "Length of the answer's body on the wire, content-encoding kept.",
    "redacted": "Whether a secret was taken out of what is stored.",
    "truncated": "Whether a body was longer than what is kept.",
    "note": "What could not be understood of the call; empty if all was.",
    "derive_version": "The version of the code that understood the call.",
    "source": "How the call came here: relay, import:<format> or otlp.",
    "cache_write_tokens": "Of the input tokens, those written to the upstream's cache.",
    "audio_input_tokens": "Of the input tokens, those of audio.",
    "audio_output_tokens": "Of the output tokens, those of audio.",
    "usage_estimated": "Whether shalt counted the tokens because the upstream did not.",
    "price_version": "The version of the price table cost_usd is from; empty if there is no cost.",
    "cache_write_1h_tokens": "Of those written to the cache, the ones to be kept for an hour.",
    "service_tier": "What the call was served and is priced as: default, flex, …; empty if unsaid.",
    "regenerated_from": "The call of its group whose messages it sends again; empty if none.",
    "edited_from": "The call of its group whose last message it says otherwise; empty if none.",
}

# Of prompt and answer each; "{}" is one of the two. What is measured how: storage.features.
_OF_TEXTS: dict[str, str] = {
    "chars": "Characters of the {}.",
    "words": "Words of the {}, as white space separates them.",
    "sentences": "Sentences of the {}.",
    "lines": "Lines of the {}.",
    "word_length": "Mean length of the words of the {}, in hundredths of a character.",
    "digits_permille": "Of a thousand characters of the {}, how many are digits.",
    "punctuation_permille": "Of a thousand characters of the {}, how many are punctuation.",
    "uppercase_permille": "Of a thousand characters of the {}, how many are capitals.",
    "non_ascii_permille": "Of a thousand characters of the {}, how many are not ASCII.",
    "unique_words_permille": "Of a thousand words of the {}, how many are different ones.",
    "years": "A list: years that the {} names.",
    "dates": "A list: the ways in which the {} writes dates.",
    "scripts": "A list: the scripts that the {} is written in.",
    "marks": "A list: code, list, heading, table, link, as the {} has them.",
    "json": "What JSON the {} is: object, array, broken; empty where it is none.",
    "terms": "A list: words, and pairs of words, of the {}; of the sample only, for some days.",
    "language": "The language of the {}; NULL for a call that is not in the sample.",
}

# Measured of a call for drift; NULL for a call of which nothing was measured.
FEATURES: dict[str, str] = {
    **{
        f"{text}_{name}": meaning.format({"prompt": "last user message"}.get(text, text))
        for text in ("prompt", "answer")
        for name, meaning in _OF_TEXTS.items()
    },
    "answer_new_years": "A list: years that the answer names and nothing in the request does.",
    "answer_keys": "A hash of the keys of an answer that is a JSON object; else empty.",
    "answer_fields": "A list: path, and path=value, of what a JSON answer or a tool call says; "
    "=answer of a short one. Of the sample only.",
    "refusal": "1 where the answer reads like a refusal, else 0.",
    "turn_count": "How many user messages the request has.",
    "message_count": "How many messages the request has.",
    "tool_count": "How many tools the request offers.",
    "tool_call_count": "How many tools the answer calls.",
    "tools_called": "A list: names of the tools that the answer calls.",
    "tools_offered": "A list: the tools that the request offers, as name@hash.",
    "tools_hash": "A hash of the tools that the request offers.",
    "template_hash": "A hash of the system message, its numbers, dates and ids masked.",
    "system_hash": "A hash of the system message as it is.",
    "system_fingerprint": "The fingerprint of the upstream's system, as the answer has it.",
    "roles": "The roles of the request's messages: assistant,system,user.",
    "parameters": "The sampling parameters that the request sets, as a JSON object.",
    "feature_version": "The version of the code that measured the call.",
}
LISTS = frozenset(name for name, text in FEATURES.items() if text.startswith("A list: "))

LABELLED = "labelled"  # whether a call has a label that is accepted: no column, but as one

# Columns of a closed list: another value is a slip that would match nothing, or everything.
VALUES: dict[str, type[StrEnum]] = {
    "dialect": Dialect,
    "endpoint": Endpoint,
    "outcome": Outcome,
    "side": Side,
}

FUNCTIONS: dict[str, str] = {
    "substr(text, start, length)": "A part of a text; start counts from 1, length may be left out.",
    "lower(text)": "The text in lower case.",
    "upper(text)": "The text in upper case.",
    "length(text)": "How many characters a text has.",
    "abs(number)": "The number without its sign.",
    "round(number, digits)": "Rounded, halves away from zero; to whole numbers without digits.",
    "coalesce(value, …)": "The first of the values that is not NULL.",
    "has(list, text)": "Whether a list that is measured holds this: has(prompt_years, '2024').",
}


class Kind(StrEnum):
    """What a value is. Nothing is converted, but a literal text to a time."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "condition"
    TIME = "time"
    NULL = "NULL"
    LIST = "list"  # of texts, for `has` alone
    SCORE = "score"  # a number, a condition or a text, by what is beside it


def kind_of(name: str) -> Kind:
    """Say what kind of value a column of COLUMNS holds."""
    if name == "started_at":
        return Kind.TIME
    column_type = call.c[name].type
    if isinstance(column_type, String):
        return Kind.TEXT
    return Kind.BOOLEAN if isinstance(column_type, Boolean) else Kind.NUMBER


def feature_kind(name: str) -> Kind:
    """Say what kind of value a column of FEATURES holds."""
    if name in LISTS:
        return Kind.LIST
    column = (text_feature if name.endswith("_language") else call).c[name]
    return Kind.TEXT if isinstance(column.type, String) else Kind.NUMBER


def read_time(text: str) -> int:
    """Read an ISO 8601 time, UTC unless it says otherwise, as microseconds since 1970.

    Raise ValueError or OverflowError where it is none.
    """
    time = datetime.fromisoformat(text)
    time = time if time.tzinfo else time.replace(tzinfo=UTC)
    return microseconds_of(time.astimezone(UTC))


def nearest(name: str) -> str:
    """Say which columns may have been meant by a name that is none."""
    names = [*COLUMNS, *FEATURES, LABELLED]
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.75)
    if not close:  # `model` is a word of request_model, `status` of status_code
        words = {word for each in names for word in each.split("_")}
        word = difflib.get_close_matches(name, sorted(words), n=1, cutoff=0.75)
        close = [each for each in names if word and word[0] in each.split("_")][:3]
    close = close or difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"there are {', '.join([*COLUMNS, LABELLED])}, tags['key'] and scores['name']"


def never(names: Sequence[str], value: str) -> str:
    """Say that a column of these names never holds a text; empty where it may."""
    for name in names:
        known = [str(each) for each in VALUES.get(name, ())]
        if known and value not in known:
            close = difflib.get_close_matches(value.lower(), known, n=1, cutoff=0.6)
            hint = f"did you mean {close[0]}?" if close else f"it may be {', '.join(known)}"
            return f"no call has the {name} {value!r}; {hint}"
    return ""
