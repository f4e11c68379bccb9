"""What became of every accepted call, added up over all workers that ever were.

    accepted = stored + sampled_out + opted_out + dropped{reason} + backlog + in_flight

A worker counts what it accepts and hands over in a file that survives it (storage.counters); the
store counts what it took from each worker's spool, in the same transaction that took it. The two
are read one after the other while calls go on, so `backlog` and `in_flight` are a snapshot; the
sum is exact whenever it is read, and `stored` includes calls that were erased since.

A store may be that of several hosts. Of a worker that runs elsewhere, or whose folder is gone, it
is known what was taken from it, and that counts as accepted; what waits there is told there.
"""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

from storage import database, segments
from storage.capture import DropReason
from storage.counters import CountersError, Tally, read_tally
from storage.database import StoreTooNew, StoreUnavailable
from storage.reader import StoreReader
from storage.rows import Checkpoint, LedgerTotals, Writer

NOTHING = LedgerTotals(0, 0, Tally(0, 0, 0, 0, {}))


class Ledger(NamedTuple):
    """The ledger at one moment; numbers of calls. `store_ready`: it can be recorded into."""

    accepted: int
    stored: int
    sampled_out: int
    opted_out: int
    dropped: dict[DropReason, int]
    backlog: int  # in the spool, not in the store yet
    in_flight: int  # not ended yet
    store_ready: bool
    store_error: str = ""  # why it could not be read


def is_balanced(ledger: Ledger) -> bool:
    """Tell whether the ledger adds up, as it always must."""
    known = ledger.stored + ledger.sampled_out + ledger.opted_out + sum(ledger.dropped.values())
    return ledger.accepted == known + ledger.backlog + ledger.in_flight


def read_ledger(spool: Path, store: StoreReader) -> Ledger:
    """Add up the ledger of a data directory's spool and its store.

    A store that cannot be read, or that a newer shalt has upgraded, counts as empty: everything
    spooled is backlog then.
    """
    return LedgerReader(spool, store).read()


class LedgerReader:
    """Reads the ledger again and again.

    While the store cannot be read, what it said last still counts: it takes nothing meanwhile, and
    counters that went back would look like a new start.
    """

    def __init__(self, spool: Path, store: StoreReader) -> None:
        self._spool = spool
        self._store = store
        self._last: tuple[LedgerTotals, dict[str, Writer]] = (NOTHING, {})

    def read(self) -> Ledger:
        """Add it up now."""
        # The store first: a call it takes meanwhile is still counted once, as backlog.
        error = ""
        try:
            # Tables of a newer shalt may be readable, but nothing is recorded into them from here.
            database.check(self._store.engine)
            with self._store.snapshot() as snapshot:
                self._last = snapshot.ledger_totals(), snapshot.writers()
        except (StoreTooNew, StoreUnavailable) as unavailable:
            error = str(unavailable)
        totals, known = self._last
        return _add_up(totals, known, self._live_tallies(known), error)

    @property
    def checkpoints(self) -> dict[str, Checkpoint]:
        """How far each writer's spool was stored when the ledger was read last."""
        return {name: writer.checkpoint for name, writer in self._last[1].items()}

    def _live_tallies(self, known: dict[str, Writer]) -> dict[str, Tally]:
        """Read the counters of the writers that have a folder here and are not settled."""
        tallies = {}
        for name in segments.writers(self._spool):
            if name not in known or known[name].closed_at is None:
                try:
                    tallies[name] = read_tally(self._spool / name)
                except (FileNotFoundError, CountersError):
                    continue
        return tallies


def _add_up(
    totals: LedgerTotals, known: dict[str, Writer], tallies: dict[str, Tally], store_error: str
) -> Ledger:
    accepted, sampled_out = totals.closed.accepted, totals.closed.sampled_out
    opted_out = totals.closed.opted_out
    dropped = Counter(dict.fromkeys(DropReason, 0))
    dropped.update(totals.closed.dropped)
    dropped[DropReason.POISON] += totals.poisoned
    backlog = in_flight = 0
    for name, writer in known.items():
        if writer.closed_at is None and name not in tallies:
            accepted += writer.stored + writer.poisoned
    for name, tally in tallies.items():
        taken = known[name].stored + known[name].poisoned if name in known else 0
        sampled_out += tally.sampled_out
        opted_out += tally.opted_out
        dropped.update(tally.dropped)
        # A killed worker's interrupted calls are stored before they are known to have ended.
        waiting = tally.spooled + tally.in_flight - taken
        # After a power cut the counters may be older than the spool: it has the last word.
        accepted += tally.accepted + max(-waiting, 0)
        waiting = max(waiting, 0)
        in_flight += min(tally.in_flight, waiting)
        backlog += waiting - min(tally.in_flight, waiting)
    return Ledger(
        accepted,
        totals.stored,
        sampled_out,
        opted_out,
        dict(dropped),
        backlog,
        in_flight,
        not store_error,
        store_error,
    )
