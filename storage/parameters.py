"""The sampling parameters that a request sets, in one JSON object whatever the dialect.

Numbers, truth values and single words only, so nothing that a person wrote is in it: no stop
sequences, no schema, no seed (which differs from call to call). What Gemini calls `topP` is `top_p`
here; of what is an object in a dialect (response_format, thinking, reasoning) its type or effort.
"""

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from storage.trace import Json

WORD_CHARS_MAX: Final = 32

NAMES: Final = frozenset(
    {
        *("temperature", "top_p", "top_k", "min_p", "typical_p", "n", "max_tokens"),
        *("frequency_penalty", "presence_penalty", "repetition_penalty", "repeat_penalty"),
        *("max_completion_tokens", "max_output_tokens", "reasoning_effort", "verbosity"),
        *("tool_choice", "parallel_tool_calls", "logprobs", "service_tier", "truncation"),
        *("response_format", "thinking", "reasoning", "text", "generationConfig", "options"),
        *("topP", "topK", "maxOutputTokens", "candidateCount", "frequencyPenalty"),
        *("presencePenalty", "responseMimeType", "num_predict"),
    }
)
_INSIDE: Final = {  # objects, and what of them is taken under which name
    "response_format": {"type": "response_format"},
    "tool_choice": {"type": "tool_choice"},
    "thinking": {"type": "thinking", "budget_tokens": "thinking_tokens"},
    "reasoning": {"effort": "reasoning_effort"},
    "text": {"verbosity": "verbosity", "format": "response_format"},
}
_GROUPS: Final = ("generationConfig", "options")  # Gemini, Ollama: parameters within an object
_OTHERS_WORDS: Final = {
    "topP": "top_p",
    "topK": "top_k",
    "maxOutputTokens": "max_output_tokens",
    "candidateCount": "n",
    "frequencyPenalty": "frequency_penalty",
    "presencePenalty": "presence_penalty",
    "responseMimeType": "response_format",
    "num_predict": "max_tokens",
}
_WORD: Final = re.compile(rf"[\w./-]{{1,{WORD_CHARS_MAX}}}", re.ASCII)

_encode = msgspec.json.Encoder(order="sorted").encode


def parameters_of(settings: Mapping[str, Json]) -> str:
    """Write the sampling parameters that a request sets, sorted by name; "" where it sets none."""
    named = settings.keys() & NAMES
    if not named:
        return ""
    found: dict[str, Json] = {}
    for name in named:
        value = settings[name]
        if name in _GROUPS and isinstance(value, dict):
            for inner in value.keys() & NAMES:
                _take(found, inner, value[inner])
        else:
            _take(found, name, value)
    return _encode(found).decode() if found else ""


def _take(found: dict[str, Json], name: str, value: Json) -> None:
    if isinstance(value, dict):
        for inner, known_as in _INSIDE.get(name, {}).items():
            if isinstance(each := value.get(inner), dict):
                each = each.get("type")
            if _is_plain(each):
                found[known_as] = each
    elif _is_plain(value) and name not in ("text", "thinking", "reasoning"):
        found[_OTHERS_WORDS.get(name, name)] = value


def _is_plain(value: Json) -> bool:
    if isinstance(value, str):
        return _WORD.fullmatch(value) is not None
    if isinstance(value, int) and not isinstance(value, bool):
        return abs(value) < 2**63
    return isinstance(value, bool | float)
