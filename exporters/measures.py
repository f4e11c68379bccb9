"""Which features drift looks at, and how a sentence speaks of each.

The names are those of a window's columns (`exporters.columns`); scores join by name. The list is
closed, for each row of it is a test more that all share alpha with: `FAMILY_SHARES`
says how families of them divide it. The raw system message (`system_hash`) is not in it: many hold
the date of the day, so each day would be drift; `template_hash` is of the one without.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from exporters.windows import Window

Side = Literal["prompt", "answer", "call"]
Kind = Literal["number", "category", "set", "term", "classifier", "embedding"]

FLOOR_NUMBER = 0.05  # of the KS distance: one call in twenty lies elsewhere
FLOOR_SHARE = 0.01  # of the calls have the value now, or have it no longer
# What the reference never had is another matter than a share that moved: the model was never
# shown it. Half the floor, so that a new tool set on 1 % of the calls can pass it at all.
FLOOR_UNSEEN = 0.005
# One answer in two hundred that a program cannot read, or that refuses, is worth a look.
FLOOR_VERDICT = 0.005
# Latency moves with the load of a server; a call in four must lie elsewhere to say more than that.
FLOOR_LATENCY = 0.25
# One short text in a hundred is taken for another language than it has: its first sight means
# nothing, and neither does a second.
UNSEEN_LANGUAGE_RATIO = 0.02

SCORE_PREFIX: Final = "score:"

Family = Literal["number", "category", "set", "term", "wording", "classifier", "embedding"]
# Of alpha, to each family that has something to test, measured in benchmarks/drift_power.py. What
# is tested in few families gets much: broad shifts, which only those see. A change in a category, a
# set or a term is found far below any alpha once it is large enough to matter.
FAMILY_SHARES: Final[Mapping[Family, float]] = {
    "number": 0.08,
    "category": 0.20,
    "set": 0.07,
    "term": 0.10,
    "wording": 0.25,
    "classifier": 0.10,
    "embedding": 0.20,
}
# What a change of a few points says much, of an answer's worth to a program or a person, has so
# many times the share of others of its family.
WEIGHT_OF_VERDICTS = 10.0


@dataclass(frozen=True)
class Number:
    """A feature that counts something. `says` has a place for "more than 24" or "at most 24".

    What is shown is the value times `scale`.
    """

    name: str
    side: Side
    says: str
    scale: float = 1.0
    floor: float = FLOOR_NUMBER
    kind: Literal["number"] = "number"


@dataclass(frozen=True)
class Category:
    """A feature with one value for each call: "4 % of calls ask for gpt-4o".

    `words`: how a sentence calls a value, where its own name would not do. Values that the
    reference lacks are unseen from a share of `unseen_from`. `weight`: its part of what the family
    has of alpha, beside others'. `free`: as of sets.
    """

    name: str
    side: Side
    says: str
    words: Mapping[str, str] = field(default_factory=dict)
    unseen_from: float = 0.0
    weight: float = 1.0
    floor: float = FLOOR_SHARE
    free: bool = False
    kind: Literal["category"] = "category"


@dataclass(frozen=True)
class Set:
    """A feature of which a call has any number of values: "2 % of prompts name the year 2024".

    `free`: each call may have a value of its own, as with documents in a system message or a seed;
    where the reference shows that they do, a new value says nothing.
    """

    name: str
    side: Side
    says: str
    words: Mapping[str, str] = field(default_factory=dict)
    unseen_from: float = 0.0
    floor: float = FLOOR_SHARE
    free: bool = False
    kind: Literal["set"] = "set"


@dataclass(frozen=True)
class Term:
    """A family of hashed terms: words and pairs of words, or fields of answers."""

    name: str
    side: Side
    says: str
    kind: Literal["term"] = "term"


Feature = Number | Category | Set | Term

_JSON: Final = {
    "": "no JSON",
    "array": "a JSON array",
    "broken": "broken JSON",
    "object": "a JSON object",
}
_REFUSAL: Final = {"0": "no refusals", "1": "refusals"}
_UNKNOWN: Final = {"": "no language that can be told"}


def _of_text(side: Literal["prompt", "answer"], what: str) -> tuple[Feature, ...]:
    decisive = (WEIGHT_OF_VERDICTS, FLOOR_VERDICT) if side == "answer" else ()
    return (
        Number(f"{side}_chars", side, f"{what} have {{}} characters"),
        Number(f"{side}_words", side, f"{what} have {{}} words"),
        Number(f"{side}_sentences", side, f"{what} have {{}} sentences"),
        Number(f"{side}_lines", side, f"{what} have {{}} lines"),
        Number(f"{side}_word_length", side, f"{what} have words of {{}} characters", 0.01),
        Number(f"{side}_digits_permille", side, f"{what} are {{}} % digits", 0.1),
        Number(f"{side}_punctuation_permille", side, f"{what} are {{}} % punctuation", 0.1),
        Number(f"{side}_uppercase_permille", side, f"{what} are {{}} % capitals", 0.1),
        Number(f"{side}_non_ascii_permille", side, f"{what} are {{}} % non-ASCII", 0.1),
        Number(f"{side}_unique_words_permille", side, f"{what} have {{}} % different words", 0.1),
        Set(f"{side}_years", side, f"{what} name the year"),
        Set(f"{side}_dates", side, f"{what} write dates as"),
        Set(f"{side}_scripts", side, f"{what} are written in"),
        Set(f"{side}_marks", side, f"{what} hold a"),
        Category(f"{side}_json", side, f"{what} are", _JSON, 0.0, *decisive),
        Category(
            f"{side}_language", side, f"{what} are in", _UNKNOWN, unseen_from=UNSEEN_LANGUAGE_RATIO
        ),
        Term(f"{side}_terms", side, f"{what} say"),
    )


FEATURES: tuple[Feature, ...] = (
    *_of_text("prompt", "prompts"),
    *_of_text("answer", "answers"),
    Set("answer_new_years", "answer", "answers name a year that the request does not,"),
    Category("answer_keys", "answer", "answers are JSON with the set of keys", free=True),
    Term("answer_fields", "answer", "answers have the field"),
    Category("refusal", "answer", "answers are", _REFUSAL, 0.0, WEIGHT_OF_VERDICTS, FLOOR_VERDICT),
    Number("tool_call_count", "answer", "answers call {} tools"),
    Set("tools_called", "answer", "answers call"),
    Category("response_model", "answer", "answers are by"),
    Category("system_fingerprint", "answer", "answers have the fingerprint"),
    Category("finish_reason", "answer", "answers finish with"),
    Number("output_tokens", "answer", "answers have {} tokens"),
    Number("turn_count", "call", "calls have {} user messages"),
    Number("message_count", "call", "calls have {} messages"),
    Category("roles", "call", "calls have messages of"),
    Number("tool_count", "call", "calls offer {} tools"),
    Category("tools_hash", "call", "calls offer the tool set"),
    Set("tools", "call", "calls offer the tool"),
    Category("template_hash", "call", "calls have the template", free=True),
    Set("parameters", "call", "calls set", free=True),
    Category("request_model", "call", "calls ask for"),
    Number("input_tokens", "call", "calls send {} tokens"),
    Number("cost_usd", "call", "calls cost {} USD"),
    Number("duration_ms", "call", "calls take {} ms", floor=FLOOR_LATENCY),
    Number("time_to_first_token_ms", "call", "calls wait {} ms", floor=FLOOR_LATENCY),
)


def features_of(reference: Window, current: Window) -> tuple[Feature, ...]:
    """List the features of two windows: the closed list, and each score that both have."""
    scores: list[Feature] = []
    for name in sorted(reference.numbers.keys() & current.numbers.keys()):
        if name.startswith(SCORE_PREFIX):
            score = name.removeprefix(SCORE_PREFIX).replace("{", "").replace("}", "")
            scores.append(Number(name, "answer", f"answers score {{}} in {score}"))
    for name in sorted(reference.categories.keys() & current.categories.keys()):
        if name.startswith(SCORE_PREFIX):
            score = name.removeprefix(SCORE_PREFIX)
            scores.append(Category(name, "answer", f"answers are judged by {score} as"))
    return (*FEATURES, *scores)
