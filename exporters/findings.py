"""What a comparison of two windows says: findings, unseen values, and how shares are written.

These are the parts of a DriftReport (`exporters.drift`), stable within its version; nothing here
computes. Limits: a sentence shows `SHOWN_CHARS_MAX` characters of a value.
"""

import msgspec

from exporters.measures import Kind, Side

SHOWN_CHARS_MAX = 60


class Effect(msgspec.Struct, frozen=True):
    """How much changed, with its 95 % interval: see `Finding.effect` for the unit."""

    estimate: float
    lower: float
    upper: float

    @property
    def bound(self) -> float:
        """The least change, whichever its direction, that the interval holds."""
        return max(self.lower, -self.upper, 0.0)


class Slice(msgspec.Struct, frozen=True):
    """One of equal spans of the current window: from when (µs), its calls, the share of them."""

    started_at: int
    calls: int
    share: float


class Action(msgspec.Struct, frozen=True):
    """What may be done about a finding (exporters.advice).

    `advice` says it. `where` chooses the calls, in the language of filters; `command` exports them.
    `calls`: at least so many are to be added to training; 0 where adding helps nothing.
    """

    advice: str
    where: str = ""
    command: str = ""
    calls: int = 0


class Finding(msgspec.Struct, frozen=True):
    """A change beyond chance. `drift`: the bound of its effect also passes `floor`.

    `reference` and `current` are shares, 0..1, of the calls that have `value`: a category, a member
    of a set, a term; for a number "> 24" or "<= 24", where the windows differ most; the values that
    gained, joined by commas, where a category moved without one value standing out; for a
    classifier and for embeddings the calls that read like the current window (`value` is empty).
    `term_hash` is set for a term, whose `value` is that hash in hex until somebody reads the word
    from an example call. The examples are current calls that have it, newest first (a classifier's:
    most typical first), or reference calls where none has it any more.

    `effect`: the KS distance of a number; by how much the share grew, of a value or a term; the AUC
    of a classifier less 0.5; for embeddings the distance of the means, in standard deviations.
    """

    feature: str
    side: Side
    kind: Kind
    value: str
    sentence: str
    reference: float
    current: float
    effect: Effect
    floor: float
    p_value: float
    p_adjusted: float
    unseen: bool
    drift: bool
    example_call_ids: tuple[str, ...]
    term_hash: int | None = None
    over_time: tuple[Slice, ...] = ()
    also: tuple[str, ...] = ()  # other terms and values that say the same (exporters.naming)
    action: Action | None = None


class Distribution(msgspec.Struct, frozen=True):
    """What a chart of a feature shows: the share of each side's calls in each bar.

    Of a number, bar i holds what is at least `edges[i]` and below `edges[i + 1]` (the last bar its
    upper edge too); `labels` is empty. Of the others, bar i holds `labels[i]`, commonest first, and
    `edges` is empty; shares of a set or of terms need not add up to 1.
    """

    labels: tuple[str, ...]
    edges: tuple[float, ...]
    reference: tuple[float, ...]
    current: tuple[float, ...]


class UnseenValue(msgspec.Struct, frozen=True):
    """A value no reference call has, and the share, 0..1, of the current calls that have it."""

    value: str
    ratio: float
    example_call_ids: tuple[str, ...]


class Unseen(msgspec.Struct, frozen=True):
    """The `value_count` values of a feature no reference call has; the commonest are listed.

    `ratio`: the share, 0..1, of the current calls that have any of them.
    """

    feature: str
    side: Side
    value_count: int
    values: tuple[UnseenValue, ...]
    ratio: float = 0.0


def percent(share: float) -> str:
    """Write a share, 0..1, for a person; what is not nought or all never looks like it."""
    if 0 < share < 0.0005:
        return "less than 0.1 %"
    if 0.9995 <= share < 1:
        return "more than 99.9 %"
    return f"{share * 100:.1f}".removesuffix(".0") + " %"


def shown(value: str) -> str:
    """Make a value fit for a sentence: a client may send line ends or escapes as a model name."""
    text = "".join(character if character.isprintable() else "?" for character in value)
    if len(text) > SHOWN_CHARS_MAX:
        text = text[: SHOWN_CHARS_MAX - 1] + "…"
    return text or "none"
