"""Answer for every id what became of its call: `shalt why`.

Cost: a few look-ups by primary key, and for ids the store does not know a look at the head of every
frame in the spool that is not stored yet, FRAMES_MAX at most: a second for a million of them.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Final

from storage import database, segments
from storage.capture import DropReason
from storage.counters import is_alive
from storage.database import StoreUnavailable
from storage.fate import (
    Fate,
    State,
    StoreFates,
    fates_in_store,
    only_one,
    parse_call_id,
    rowless_fate,
    time_of_id,
)
from storage.ledger import read_ledger
from storage.poison import PoisonDirectory
from storage.reader import StoreReader
from storage.replay import START, read_heads
from storage.roster import read_roster
from storage.rows import Checkpoint
from storage.spool import FrameKind, Position, SpoolError

FRAMES_MAX: Final = 2_000_000
_ID_CHARACTERS: Final = 32


def explain(given: str, *, store: StoreReader, spool: Path, poison: Path) -> Fate:
    """Say what became of the call with this id, or the one call whose id begins so.

    Raise CallIdError for what is no id, or the beginning of several; StoreUnavailable where the
    store cannot be read and nobody else knows the call.
    """
    prefix = parse_call_id(given)
    failure: StoreUnavailable | None = None
    known = StoreFates([], 0, 0)
    checkpoints: dict[str, Checkpoint] = {}
    fates: dict[str, Fate] = {}
    try:
        known, checkpoints = _ask(store, prefix), store.checkpoints()
    except StoreUnavailable as error:
        failure = error
    if not known.fates or len(prefix) < _ID_CHARACTERS:
        fates = {fate.call_id: fate for fate in _in_spool(spool, prefix, checkpoints)}
        if failure is None:
            known = _ask(store, prefix)  # what has left the spool meanwhile is there now
    fates |= {fate.call_id: fate for fate in known.fates}
    fates |= {
        fate.call_id: fate
        for fate in _in_poison(PoisonDirectory(poison), prefix)
        if fate.call_id not in fates or fates[fate.call_id].state is State.DROPPED
    }
    call_id = only_one(prefix, list(fates))
    if call_id is not None:
        return fates[call_id]
    if failure is not None:
        raise failure
    ledger = read_ledger(spool, store)
    rowless = sum(ledger.dropped.values()) + ledger.sampled_out + ledger.opted_out
    return _unknown(prefix, known, rowless)


def whole_id(given: str, store: StoreReader) -> str:
    """Return the one id of a stored call that begins so, else that of an erased one.

    Return what is given where there is none. Raise CallIdError for what is no id, or the beginning
    of several.
    """
    prefix = parse_call_id(given)
    if len(prefix) == _ID_CHARACTERS:
        return prefix
    known = _ask(store, prefix).fates
    for state in (State.STORED, State.ERASED):
        found = only_one(prefix, [fate.call_id for fate in known if fate.state is state])
        if found is not None:
            return found
    return prefix


def _ask(store: StoreReader, prefix: str) -> StoreFates:
    with database.reading(store.engine) as connection:
        return fates_in_store(connection, prefix)


def _unknown(prefix: str, known: StoreFates, rowless_count: int) -> Fate:
    """Say what can be said of an id that nobody knows."""
    started = time_of_id(prefix)
    kept_since = datetime.fromtimestamp(known.kept_since_us / 1e6, UTC)
    if started < kept_since:
        return Fate(
            prefix,
            State.DELETED,
            f"deleted by retention, if it was ever here: its id is of {started:%Y-%m-%d}, and "
            f"calls from before {kept_since:%Y-%m-%d} have been deleted",
        )
    told = "no call of this id was accepted here"
    if (unnamed := rowless_count - known.named_count) > 0:
        told += f", or it is one of {unnamed:,} calls without a record whose ids are not known"
    return Fate(prefix, State.UNKNOWN, told)


def _in_poison(poison: PoisonDirectory, prefix: str) -> Iterator[Fate]:
    for known in poison.list(prefix):
        told = (
            f"not recorded: {known.reason}; its frames lie in {poison.directory}, "
            "`shalt record --retry-poison` tries them again"
        )
        yield Fate(known.call_id, State.DROPPED, told, reason=DropReason.POISON)


def _in_spool(spool: Path, prefix: str, checkpoints: dict[str, Checkpoint]) -> Iterator[Fate]:
    for name in segments.writers(spool):
        directory = spool / name
        try:
            yield from _of_writer(directory, prefix, checkpoints.get(name))
        except FileNotFoundError:
            continue  # settled this moment: the store knows its calls
        except SpoolError:
            continue  # of a version that this one cannot read


def _of_writer(directory: Path, prefix: str, checkpoint: Checkpoint | None) -> Iterator[Fate]:
    """Tell of the calls that only this writer has; the last word on an id is the right one."""
    alive = is_alive(directory)
    roster = read_roster(directory)
    for call_id in roster.open:
        if call_id.startswith(prefix):
            yield _open(call_id) if alive else rowless_fate(call_id, DropReason.WORKER_DIED)
    for call_id, reason in roster.dropped.items():
        if call_id.startswith(prefix):
            yield rowless_fate(call_id, reason)
    if checkpoint is not None:
        for call_id in json.loads(checkpoint.opened):
            if call_id.startswith(prefix):
                yield _open(call_id) if alive else _interrupted(call_id)
    start = Position(checkpoint.segment, checkpoint.offset) if checkpoint else START
    for position, kind, call_id in islice(read_heads(directory, start), FRAMES_MAX):
        if call_id.startswith(prefix):
            if kind in (FrameKind.CALL, FrameKind.END):
                told = (
                    f"in the spool, to be stored: {directory.name}, segment {position.segment}, "
                    f"byte {position.offset}"
                )
                yield Fate(call_id, State.BACKLOG, told)
            else:
                yield _open(call_id) if alive else _interrupted(call_id)


def _open(call_id: str) -> Fate:
    return Fate(call_id, State.IN_FLIGHT, "going on: it has not ended yet")


def _interrupted(call_id: str) -> Fate:
    return Fate(
        call_id,
        State.BACKLOG,
        "its worker was killed while it went on: it will be stored as far as it came",
    )
