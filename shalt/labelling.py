"""The commands `label` and `feedback`: say something of a call, with a server or without.

What is said is written into the spool first, and synced. Where no shalt has the data directory, it
is stored at once, with whatever else waits there; otherwise the recorder that runs stores it, and
the command waits WAIT_SECONDS to see it. Longer than that is no failure: it is kept.
"""

import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import orjson

from shalt.acceptance import About, Acceptance
from shalt.corrections import read_answer, read_answer_json, read_value, refuse_unknown_tools
from shalt.intake import Intake
from shalt.places import DataDirError, Places
from shalt.recording import build_recorder, open_store
from shalt.settings import Settings
from shalt.terminal import one_line, print_line, print_note
from storage.capture import SystemClock
from storage.derive import derive
from storage.label_rows import known_said
from storage.labels import Label, LabelError, LabelSource, Said, Score, Status
from storage.store import TraceStore
from storage.trace import Message, Side

WAIT_SECONDS: Final = 5.0
POLL_SECONDS: Final = 0.05
JSON_BYTES_MAX: Final = 4 * 2**20


class LabelNotFound(Exception):
    """There is no such label of this call, or more than one."""


class LabelFileUnreadable(Exception):
    """The file of a corrected answer cannot be read."""


class Correction(NamedTuple):
    """What the command line says: a text, or a file of JSON; and who says so."""

    text: str | None
    json_path: Path | None
    source: LabelSource
    author: str
    note: str
    force: bool


class _Desk(NamedTuple):
    settings: Settings
    places: Places
    store: TraceStore
    intake: Intake
    acceptance: Acceptance


def label(settings: Settings, call_id: str, correction: Correction) -> None:
    """Add a corrected answer to a call.

    Raise LabelError for what is no answer, CallNotKnown or CallErased for an id, DataDirError,
    StoreError, LabelFileUnreadable, and what shalt.intake raises.
    """
    message = _message(correction)
    with _desk(settings) as desk:
        about = desk.acceptance.of_id(call_id, settings.project)
        if not correction.force:
            _check_tools(desk.store, about, message)
        said = desk.acceptance.label(
            about,
            message,
            note=correction.note,
            source=correction.source,
            author=correction.author,
        )
        _deliver(desk, said, f"label {said.id} of call {about.call_id} ({said.status})")
        if any(row.side is Side.TEST for row in desk.store.rows([about.call_id])):
            print_note(
                "The call is of the test side: what a model is judged by changes with it, so "
                "judge again what was judged before."
            )


def judge(
    settings: Settings, call_id: str, label_id: str, status: Status, *, note: str, author: str
) -> None:
    """Accept or reject a label of a call. Raise LabelNotFound, and what `label` raises."""
    with _desk(settings) as desk:
        about = desk.acceptance.of_id(call_id, settings.project)
        on = _find_label(desk.store, about, label_id)
        said = desk.acceptance.verdict(on, status, note=note, author=author)
        _deliver(desk, said, f"label {on.id} of call {about.call_id} is {status}")


def score(
    settings: Settings, call_id: str, name: str, value: str, *, comment: str, author: str
) -> None:
    """Score a call: `value` is true, false, a number or a text. Raise what `label` raises."""
    with _desk(settings) as desk:
        about = desk.acceptance.of_id(call_id, settings.project)
        said = desk.acceptance.score(about, name, read_value(value), comment=comment, author=author)
        shown = orjson.dumps(said.value).decode()
        _deliver(desk, said, f"score {name} = {shown} of call {about.call_id}")


@contextmanager
def _desk(settings: Settings) -> Iterator[_Desk]:
    os.umask(0o077)
    places = Places(settings.data_dir)
    with closing(open_store(settings)) as store:
        # A shalt that has just started may not have made its store yet.
        store.check(wait_seconds=WAIT_SECONDS if _is_running(places) else 0.0)
        places.prepare()
        intake = Intake(settings, store, SystemClock())
        try:
            yield _Desk(
                settings, places, store, intake, Acceptance(places, store, intake, SystemClock())
            )
        finally:
            intake.close()


def _message(correction: Correction) -> Message:
    if correction.text is not None:
        return read_answer(correction.text)
    path = correction.json_path
    assert path is not None
    try:
        with path.open("rb") as file:
            data = file.read(JSON_BYTES_MAX + 1)
    except OSError as error:
        raise LabelFileUnreadable(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > JSON_BYTES_MAX:
        raise LabelFileUnreadable(f"{path} has more than {JSON_BYTES_MAX} bytes")
    return read_answer_json(data)


def _check_tools(store: TraceStore, about: About, message: Message) -> None:
    """Raise LabelError where a tool is called that the call did not offer, as far as is known."""
    if not message.tool_calls:
        return
    call = store.get(about.call_id)
    if call is None or call.capture is None:
        raise LabelError(
            f"which tools call {about.call_id} offered cannot be looked up: what it said is not "
            "in the store. --force takes the tool calls as they are"
        )
    refuse_unknown_tools(message, derive(call.capture).understood.tools)


def _find_label(store: TraceStore, about: About, given: str) -> Label:
    labels = store.labels([about.call_id]).get(about.call_id, ())
    found = [each for each in labels if each.id.startswith(given.strip().lower())]
    if len(found) != 1:
        ids = ", ".join(each.id for each in labels) or "none"
        what = "is the beginning of more than one label" if found else "is no label"
        raise LabelNotFound(f"{given} {what} of call {about.call_id}; it has {ids}")
    return found[0]


def _deliver(desk: _Desk, said: Said, told: str) -> None:
    """Keep what is said, see it stored, and say so."""
    desk.acceptance.keep([said])
    writer = desk.intake.writer_id
    desk.intake.close()
    if not _settled(desk, desk.places.spool / writer):
        print_line(one_line(f"{told}: kept, the recorder that runs here will store it"))
        return
    with desk.store.reading() as connection:
        is_there = bool(known_said(connection, [said.id]))
    repeats = "said before, nothing is added" if isinstance(said, Score) else "not stored"
    print_line(one_line(f"{told}: {'stored' if is_there else repeats}"))


def _is_running(places: Places) -> bool:
    """Tell whether a shalt has the data directory."""
    if not places.data_dir.exists():
        return False
    try:
        places.lock().close()
    except DataDirError:
        return True
    return False


def _settled(desk: _Desk, folder: Path) -> bool:
    """Record what is in the spool, or wait until whoever does has; False if that takes long."""
    try:
        lock = desk.places.lock()
    except DataDirError:
        until = time.monotonic() + WAIT_SECONDS
        while folder.exists() and time.monotonic() < until:
            time.sleep(POLL_SECONDS)
        return not folder.exists()
    with lock:
        recorder = build_recorder(desk.settings, desk.store)
        recorder.run(lambda: True)
    return True
