"""What is said of calls, on its way in: checked, given an id, kept in the spool.

It is kept when `keep` has returned: it would survive a power cut then, and a recorder stores it
once (storage.label_store). What names a call that is not here yet is kept too, as long as it may
come: it is in a spool, or going on, or on another host that records into the same store; or the
name is a provider's id or a session, of which nobody can tell. It waits for WAITING_DAYS.

Limits: those of storage.labels. The names of a project's scores are counted as this process has
seen them: two of them may together keep a few more than NAMES_MAX.
"""

import re
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, select

from shalt.corrections import read_answer
from shalt.intake import Intake, SpoolFull, SpoolRefused
from shalt.places import Places
from storage.capture import PROJECT_PATTERN, Clock, new_id
from storage.database import StoreUnavailable
from storage.fate import State, parse_call_id, time_of_id
from storage.label_rows import score_names
from storage.labels import (
    FIRST_STATUS,
    NAMES_MAX,
    REFERENCE_CHARS_MAX,
    WAITING_DAYS,
    Label,
    LabelError,
    LabelSource,
    Said,
    Score,
    ScoreSource,
    Status,
    Value,
    Verdict,
    check_label,
    check_score,
    id_of_key,
)
from storage.reader import StoreReader
from storage.rows import storable
from storage.schema import call
from storage.segments import writers
from storage.short_columns import of_answer, of_session
from storage.trace import Message
from storage.tracing import explain

_ID_CHARACTERS: Final = 32
_AHEAD_SECONDS: Final = 60.0  # of an id whose call has not begun, by a clock that is ahead


class CallNotKnown(Exception):
    """No call of this id was accepted here, nor may it be coming."""


class OtherProject(Exception):
    """Who says it may speak of the calls of another project only."""


class CallErased(Exception):
    """The call has been erased."""


class About(NamedTuple):
    """The call that is meant. `is_stored`: it is in the store now."""

    project: str
    call_id: str
    provider_id: str
    session_id: str
    is_stored: bool


class Feedback(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `POST /feedback` takes: one of id, provider_id and session; a score, a correction."""

    id: str = ""
    provider_id: str = ""
    session: str = ""
    name: str = ""
    value: bool | int | float | str | None = None
    comment: str = ""
    correction: str | dict[str, Any] | None = None
    idempotency_key: str = ""
    project: str = ""


class Kept(msgspec.Struct, frozen=True):
    """What was kept: ids of the score and the label, empty where there is none.

    `waiting`: the call is not in the store yet. `call_id` is known where it was named by id.
    """

    score_id: str
    label_id: str
    call_id: str
    waiting: bool


class Acceptance:
    """Takes what is said of the calls of one data directory. May be used by several threads."""

    def __init__(self, places: Places, store: StoreReader, intake: Intake, clock: Clock) -> None:
        self._places = places
        self._store = store
        self._intake = intake
        self._clock = clock
        self._names: dict[str, set[str]] = {}
        self._lock = threading.Lock()

    def take(self, feedback: Feedback, project: str, request_id: str = "", only: str = "") -> Kept:
        """Keep feedback; `project` is that of calls that are not found by our id.

        With `only`, it must be about a call of that project, and name it by a whole id: beginnings
        could be tried out.

        What comes again with the same `request_id` is kept once, as with the same idempotency key.

        Raise LabelError for what cannot be taken, OtherProject; CallIdError, CallNotKnown and
        CallErased for an id; SpoolFull and SpoolRefused where it cannot be kept now.
        """
        has_score = bool(feedback.name) or feedback.value is not None
        if not has_score and feedback.correction is None:
            raise LabelError("say name and value, or a correction, or both")
        project = _only(feedback, only) if only else project
        about = self.find(feedback, project)
        if only and about.project != only:
            raise CallNotKnown(f"no call of project {only} has the id {feedback.id}")
        said: list[Said] = []
        if has_score:
            score_id = self._id(feedback, project, "score", request_id)
            said.append(self._score(feedback, about, score_id))
        if feedback.correction is not None:
            label_id = self._id(feedback, project, "label", request_id)
            said.append(self._correction(feedback, about, label_id))
        self.keep(said)
        ids = {type(each): each.id for each in said}
        return Kept(ids.get(Score, ""), ids.get(Label, ""), about.call_id, not about.is_stored)

    def keep(self, said: Sequence[Said]) -> None:
        """Check and keep what was said. Raise LabelError, SpoolFull or SpoolRefused."""
        for each in said:
            if isinstance(each, Score):
                check_score(each)
                self._count_name(each.project, each.name)
            elif isinstance(each, Label):
                check_label(each)
        self._intake.keep(said)

    def keep_or_refuse(self, said: Sequence[Said]) -> None:
        """Keep what was said; raise StoreUnavailable where the spool does not take it."""
        try:
            self.keep(said)
        except (SpoolFull, SpoolRefused) as error:
            raise StoreUnavailable(str(error)) from error

    def score(
        self,
        about: About,
        name: str,
        value: Value,
        *,
        comment: str = "",
        source: ScoreSource = ScoreSource.HUMAN,
        author: str = "",
        id: str = "",
    ) -> Score:
        """Make a score, now."""
        return Score(
            id or new_id(self._clock),
            *about[:4],
            self._now(),
            storable(name),
            storable(value) if isinstance(value, str) else value,
            storable(comment),
            source,
            storable(author),
        )

    def label(
        self,
        about: About,
        message: Message,
        *,
        note: str = "",
        source: LabelSource = LabelSource.HUMAN,
        author: str = "",
        id: str = "",
    ) -> Label:
        """Make a label, now."""
        return Label(
            id or new_id(self._clock),
            *about[:4],
            self._now(),
            message,
            storable(note),
            source,
            storable(author),
            FIRST_STATUS[source],
        )

    def verdict(self, on: Label, status: Status, *, note: str = "", author: str = "") -> Verdict:
        """Make a verdict on a label, now."""
        return Verdict(
            new_id(self._clock),
            on.project,
            on.call_id,
            on.id,
            self._now(),
            status,
            storable(note),
            storable(author),
        )

    def find(self, feedback: Feedback, project: str) -> About:
        """Find the call that is meant, or see that it may come. Raise as `take`."""
        named = [name for name in ("id", "provider_id", "session") if getattr(feedback, name)]
        if len(named) != 1:
            raise LabelError("name the call in one way: by id, provider_id or session")
        project = feedback.project or project
        if not re.fullmatch(PROJECT_PATTERN, project):
            raise LabelError("project: 1 to 64 letters, digits, dots, dashes, underscores")
        if feedback.id:
            return self.of_id(feedback.id, project)
        provider_id, session_id = storable(feedback.provider_id), storable(feedback.session)
        meant = of_answer(project, provider_id) if provider_id else of_session(project, session_id)
        is_stored = self._is_stored(meant)
        return About(project, "", provider_id, session_id, is_stored)

    def of_id(self, given: str, project: str) -> About:
        """Find a call by its id, or the beginning of it. Raise as `take`."""
        prefix = parse_call_id(given)
        try:
            fate = explain(
                prefix, store=self._store, spool=self._places.spool, poison=self._places.poison
            )
        except StoreUnavailable:
            if len(prefix) < _ID_CHARACTERS:
                raise
            return About(project, prefix, "", "", is_stored=False)  # nobody can tell now
        match fate.state:
            case State.STORED:
                return About(fate.project, fate.call_id, "", "", is_stored=True)
            case State.BACKLOG | State.IN_FLIGHT:
                return About(project, fate.call_id, "", "", is_stored=False)
            case State.ERASED:
                raise CallErased(f"call {fate.call_id}: {fate.explanation}")
            case State.UNKNOWN if self._may_be_elsewhere(prefix):
                return About(project, prefix, "", "", is_stored=False)
        raise CallNotKnown(f"call {fate.call_id}: {fate.explanation}")

    def _score(self, feedback: Feedback, about: About, score_id: str) -> Score:
        if feedback.value is None:
            raise LabelError("value: a boolean, a number or a text")
        return self.score(
            about,
            feedback.name,
            feedback.value,
            comment=feedback.comment,
            source=ScoreSource.FEEDBACK,
            id=score_id,
        )

    def _correction(self, feedback: Feedback, about: About, label_id: str) -> Label:
        assert feedback.correction is not None
        return self.label(
            about,
            read_answer(feedback.correction),
            note=feedback.comment,
            source=LabelSource.FEEDBACK,
            id=label_id,
        )

    def _id(self, feedback: Feedback, project: str, what: str, request_id: str) -> str:
        key = feedback.idempotency_key
        if len(key) > REFERENCE_CHARS_MAX:
            raise LabelError(f"idempotency_key: at most {REFERENCE_CHARS_MAX} characters")
        if not key:
            return id_of_key("", request_id, what) if request_id else ""
        # Not the project of the call: that is known only once it is stored.
        return id_of_key(feedback.project or project, key, what)

    def _is_stored(self, meant: ColumnElement[bool]) -> bool:
        """Tell whether a call is there. Index of the provider's id, or the session."""
        query = select(call.c.id).where(meant).limit(1)
        try:
            with self._store.reading() as connection:
                return connection.execute(query).first() is not None
        except StoreUnavailable:
            return False

    def _may_be_elsewhere(self, call_id: str) -> bool:
        """Tell whether another host may have a call: one that records into this store, and lately.

        What is open on a host that has not stored anything yet cannot be known here.
        """
        age = (self._now() - time_of_id(call_id)).total_seconds()
        if len(call_id) < _ID_CHARACTERS or not -_AHEAD_SECONDS < age < WAITING_DAYS * 86_400:
            return False
        here = set(writers(self._places.spool))
        known = self._store.writers().items()
        return any(writer.closed_at is None and name not in here for name, writer in known)

    def _count_name(self, project: str, name: str) -> None:
        """Raise LabelError where a score has a name too many. Reads the names once a project."""
        with self._lock:
            names = self._names.get(project)
            if names is None:
                try:
                    with self._store.reading() as connection:
                        names = score_names(connection, project)
                except StoreUnavailable:
                    return  # a name that is too many is no reason to lose a score
                self._names[project] = names
            if name not in names and len(names) >= NAMES_MAX:
                raise LabelError(
                    f"project {project} has scores of {NAMES_MAX} names: what varies from call to "
                    "call belongs into the value or the comment"
                )
            names.add(name)

    def _now(self) -> datetime:
        microseconds = self._clock.wall_ns() // 1000
        return datetime.fromtimestamp(microseconds / 1e6, UTC)


def _only(feedback: Feedback, project: str) -> str:
    """Say of which project's calls it is, where that is all that may be said."""
    if feedback.project not in ("", project):
        raise OtherProject(f"the access key is of the project {project}, not {feedback.project}")
    if feedback.id and len(feedback.id.strip().replace("-", "")) != _ID_CHARACTERS:
        raise LabelError(f"id: with an access key all {_ID_CHARACTERS} characters of it")
    return project
