"""The forms of a call's page: thumbs, a corrected answer, a verdict on one; as something said.

A form works without a script. What it sends is taken only with the token that the page carries,
which nobody can make who cannot read the page: another site's page cannot send it. The text of an
answer stays text, and tool calls keep their names and ids; their arguments must be JSON objects.

Limits: FORM_BYTES_MAX; an answer longer than EDITED_CHARS_MAX, or with characters that are not
seen, is not put into a form.
"""

import hmac
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple, Protocol
from urllib.parse import parse_qs

import msgspec

from review.passages import is_seen, plain
from storage.capture import Clock, new_id
from storage.labels import (
    MESSAGE_BYTES_MAX,
    Label,
    LabelError,
    LabelSource,
    Said,
    Score,
    ScoreSource,
    Status,
    Verdict,
    id_of_key,
)
from storage.rows import CallRow, storable
from storage.trace import Message, ToolCall

FORM_BYTES_MAX: Final = 3 * MESSAGE_BYTES_MAX  # a letter of another script is nine bytes in a form
FIELDS_MAX: Final = 300
EDITED_CHARS_MAX: Final = 200_000
THUMBS: Final = "thumbs"  # the name of the score
_ACTS = ("up", "down", "answer", "accept", "reject")


class FormError(Exception):
    """A form cannot be taken; the message says why."""


class Keeper(Protocol):
    """Where what is said goes. Raises LabelError for what cannot be taken."""

    def __call__(self, said: Sequence[Said]) -> None: ...


class Judging(NamedTuple):
    """What the forms need: where what is said goes, a key for tokens, a clock."""

    keep: Keeper
    key: bytes
    clock: Clock

    def token(self, call_id: str) -> str:
        """Make the token of a call's forms."""
        return hmac.digest(self.key, f"review\0{call_id}".encode(), "sha256").hex()

    def is_token(self, given: str, call_id: str) -> bool:
        """Tell whether a form has the token of its page."""
        return hmac.compare_digest(given.encode(), self.token(call_id).encode())


class Draft(msgspec.Struct, frozen=True):
    """The form of an answer, as it is filled in: the text, and for each tool call its arguments."""

    text: str
    calls: tuple[tuple[str, str], ...]  # name, arguments
    note: str = ""
    author: str = ""
    problem: str = ""


def draft_of(answer: Message | None) -> Draft | None:
    """Fill in the form with the recorded answer.

    None where it is too long to be edited so, or holds what would not be seen in a field.
    """
    if answer is None:
        return Draft("", ())
    calls = tuple((call.name, call.arguments) for call in answer.tool_calls)
    everything = "".join([answer.text, *(arguments for _, arguments in calls)])
    if len(everything) > EDITED_CHARS_MAX or not is_seen(everything):
        return None
    return Draft(answer.text, calls)


def read_form(data: bytes) -> dict[str, str]:
    """Read a form as browsers send it. Raise FormError where it is none."""
    try:
        fields = parse_qs(
            data.decode("ascii"), keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="strict"
        )
    except (ValueError, UnicodeError) as error:
        raise FormError(f"The form cannot be read: {error}.") from None
    return {name: values[-1].replace("\r\n", "\n") for name, values in fields.items()}


def typed(form: Mapping[str, str], answer: Message | None, problem: str) -> Draft:
    """Keep what was typed, with what is wrong about it."""
    recorded = answer.tool_calls if answer is not None else ()
    typed_in = [plain(form.get(f"arguments-{number}", "")) for number in range(len(recorded))]
    calls = tuple((call.name, text) for call, text in zip(recorded, typed_in, strict=True))
    text, note, author = (plain(form.get(name, "")) for name in ("text", "note", "author"))
    return Draft(text, calls, note, author, problem)


def id_of_request(request_id: str, clock: Clock) -> str:
    """Make the id of what a request says: the same where a worker sends the request again."""
    return id_of_key("", request_id, "form") if request_id else new_id(clock)


def said_by(
    judging: Judging,
    said_id: str,
    form: Mapping[str, str],
    row: CallRow,
    answer: Message | None,
    labels: Sequence[Label],
) -> Said:
    """Make what a form says. Raise FormError for a form of no page of ours, LabelError for what it
    says."""
    if not judging.is_token(form.get("token", ""), row.id):
        raise FormError("This form is not of this page, or the page is old. Load it and try again.")
    act = form.get("act", "")
    now = _now(judging.clock)
    note, author = storable(form.get("note", "")), storable(form.get("author", "").strip())
    match act:
        case "up" | "down":
            return Score(
                said_id,
                row.project,
                row.id,
                "",
                "",
                now,
                THUMBS,
                act == "up",
                note,
                ScoreSource.HUMAN,
                author,
            )
        case "accept" | "reject":
            meant = next((each for each in labels if each.id == form.get("label")), None)
            if meant is None:
                raise FormError("This label is not one of this call.")
            status = Status.ACCEPTED if act == "accept" else Status.REJECTED
            return Verdict(said_id, row.project, row.id, meant.id, now, status, note, author)
        case "answer":
            message = _corrected(form, answer)
            source, status = LabelSource.HUMAN, Status.ACCEPTED
            return Label(
                said_id, row.project, row.id, "", "", now, message, note, source, author, status
            )
    raise FormError(f"The form says {act[:20]!r}, which is none of {', '.join(_ACTS)}.")


def _corrected(form: Mapping[str, str], answer: Message | None) -> Message:
    """Put what was typed in the place of the answer's text and arguments."""
    text = storable(form.get("text", ""))
    recorded = answer.tool_calls if answer is not None else ()
    calls = tuple(
        ToolCall(
            call.name, storable(form.get(f"arguments-{number}", call.arguments)), call.id, call.kind
        )
        for number, call in enumerate(recorded)
    )
    if answer is not None and _of(answer) == (_lines(text), [_lines(c.arguments) for c in calls]):
        raise LabelError(
            "This is the answer as it was recorded: if it is good, say so with a thumb."
        )
    return Message("assistant", text or None, calls)


def _of(answer: Message) -> tuple[str, list[str]]:
    calls = [_lines(storable(call.arguments)) for call in answer.tool_calls]
    return _lines(storable(answer.text)), calls


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n")


def _now(clock: Clock) -> datetime:
    return datetime.fromtimestamp(clock.wall_ns() // 1000 / 1e6, UTC)
