"""Which answer a row trains: the recorded one, or a label that takes its place.

A policy is a list of sources, the best first: `human > accepted model > original`. The newest label
of the first source that has one is the answer. A rejected label is none, whatever the policy.

    human           somebody who works with the store wrote it, or accepted what feedback proposed
    model           a model wrote it, and nobody has rejected it
    feedback        the application or who uses it proposed it, and nobody has rejected it
    import          it came with imported data
    accepted …      of one of these, only what somebody accepted
    original        the recorded answer: the end of every policy, whether it is written or not

The same labels and the same policy give the same answer: labels are compared by their time, then
by their id. The original stays in the store as it was; a row says whose answer it has. What stands
in the history of a later call stays what the model saw then, whatever became of the earlier answer.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import msgspec

from storage.capture import Outcome
from storage.labels import Label, LabelSource, Status
from storage.trace import Choice, Span

DEFAULT_POLICY: Final = "human > accepted model > original"
ORIGINAL: Final = "original"
_ACCEPTED: Final = "accepted"
_FINISHED: Final = "stop"


class LabelPolicyError(ValueError):
    """A text is no label policy; the message says what is wrong with it."""


@dataclass(frozen=True)
class Wanted:
    """One word of a policy: a source, and whether its label must have been accepted."""

    source: LabelSource
    accepted: bool = False

    def takes(self, label: Label) -> bool:
        """Tell whether a label is of this kind."""
        if label.status is Status.REJECTED:
            return False
        is_accepted = label.status is Status.ACCEPTED
        if self.source is LabelSource.HUMAN and label.source is LabelSource.FEEDBACK:
            return is_accepted  # who accepts it stands behind it
        return label.source is self.source and (is_accepted or not self.accepted)

    def __str__(self) -> str:
        return f"{_ACCEPTED} {self.source}" if self.accepted else self.source.value


@dataclass(frozen=True)
class LabelPolicy:
    """Which label takes the place of a recorded answer: the first of these that has one."""

    wanted: tuple[Wanted, ...] = ()

    @classmethod
    def parse(cls, text: str = DEFAULT_POLICY) -> "LabelPolicy":
        """Read a policy such as `human > accepted model > original`. Raise LabelPolicyError."""
        words = [" ".join(word.split()).lower() for word in text.split(">")]
        if ORIGINAL in words[:-1]:
            raise LabelPolicyError(
                f"label policy {text!r}: nothing comes after original, for every call has that"
            )
        if words[-1] == ORIGINAL:
            words.pop()
        wanted = tuple(_wanted(word, text) for word in words)
        if len(set(wanted)) < len(wanted):
            raise LabelPolicyError(f"label policy {text!r}: a source stands in it twice")
        return cls(wanted)

    def __str__(self) -> str:
        return " > ".join([*map(str, self.wanted), ORIGINAL])


def choose(labels: Iterable[Label], policy: LabelPolicy) -> Label | None:
    """Choose the label that takes the place of a call's answer; None: the original is it."""
    newest_first = sorted(labels, key=lambda label: (label.created_at, label.id), reverse=True)
    for wanted in policy.wanted:
        for label in newest_first:
            if wanted.takes(label):
                return label
    return None


def relabelled(span: Span, label: Label) -> Span:
    """Put a label in the place of a call's answers, as if the call had ended well with it.

    So a call that failed, was refused or cut off becomes an example. Its request is what it was.
    """
    understood = msgspec.structs.replace(
        span.understood,
        choices=(Choice(label.message, _FINISHED),),
        ended=True,
        error_code="",
        error_message="",
    )
    return msgspec.structs.replace(span, outcome=Outcome.COMPLETE, understood=understood)


def _wanted(word: str, text: str) -> Wanted:
    first, _, rest = word.partition(" ")
    name = rest if first == _ACCEPTED else word
    if name not in list(LabelSource):
        known = ", ".join([*LabelSource, ORIGINAL])
        raise LabelPolicyError(
            f"label policy {text!r}: {word!r} is none of {known}; accepted may stand before all "
            f"but original, and > between them, such as {DEFAULT_POLICY!r}"
        )
    return Wanted(LabelSource(name), accepted=first == _ACCEPTED)
