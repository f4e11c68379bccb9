"""Which features drift looks at, how each is read from a call, and how a sentence speaks of it.

Adding one is a row of `FEATURES`, a column of `storage.features` if it is not recorded yet, and
nothing else. The list is short on purpose: each row is a test more that all share alpha with.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from exporters.windows import Measured

Side = Literal["prompt", "answer", "call"]
Kind = Literal["number", "category", "set", "term", "classifier", "embedding"]


@dataclass(frozen=True)
class Number:
    """A feature that counts something: "30 % of prompts have more than 24 words"."""

    name: str
    side: Side
    subject: str
    unit: str
    read: Callable[[Measured], int]
    kind: Literal["number"] = "number"


@dataclass(frozen=True)
class Category:
    """A feature with one value for each call: "4 % of calls ask for gpt-4o"."""

    name: str
    side: Side
    says: str
    read: Callable[[Measured], tuple[str, ...]]
    kind: Literal["category"] = "category"


@dataclass(frozen=True)
class Set:
    """A feature of which a call has any number of values: "2 % of prompts name the year 2024"."""

    name: str
    side: Side
    says: str
    read: Callable[[Measured], tuple[str, ...]]
    kind: Literal["set"] = "set"


Feature = Number | Category | Set


@lru_cache(maxsize=4_096)
def _items(text: str) -> tuple[str, ...]:
    """Read a list that is stored as JSON; most calls of a project share a few such texts."""
    return tuple(str(item) for item in json.loads(text))


FEATURES: tuple[Feature, ...] = (
    Number("prompt_chars", "prompt", "prompts", "characters", lambda m: m.features.prompt_chars),
    Number("prompt_words", "prompt", "prompts", "words", lambda m: m.features.prompt_words),
    Number("answer_chars", "answer", "answers", "characters", lambda m: m.features.answer_chars),
    Number("answer_words", "answer", "answers", "words", lambda m: m.features.answer_words),
    Number("turn_count", "call", "calls", "user messages", lambda m: m.features.turn_count),
    Number("message_count", "call", "calls", "messages", lambda m: m.features.message_count),
    Number("tool_count", "call", "calls", "tools", lambda m: m.features.tool_count),
    Number("tool_call_count", "answer", "answers", "calls", lambda m: m.features.tool_call_count),
    Category("request_model", "call", "calls ask for", lambda m: (m.request_model,)),
    Category("response_model", "answer", "answers are by", lambda m: (m.response_model,)),
    Category("finish_reason", "answer", "answers finish with", lambda m: (m.finish_reason,)),
    Category("tools_hash", "call", "calls offer tool set", lambda m: (m.features.tools_hash,)),
    Category("template_hash", "call", "calls have template", lambda m: (m.features.template_hash,)),
    Set("tools_called", "answer", "answers call", lambda m: _items(m.features.tools_called)),
    Set("prompt_years", "prompt", "prompts name", lambda m: _items(m.features.prompt_years)),
    Set("answer_years", "answer", "answers name", lambda m: _items(m.features.answer_years)),
)
