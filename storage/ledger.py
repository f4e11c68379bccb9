"""What became of every accepted call, added up over all workers that ever were.

    accepted = stored + sampled_out + opted_out + dropped{reason} + backlog + in_flight

A worker counts what it accepts and hands over in a file that survives it (storage.counters); the
store counts what it took from each worker's spool, in the same transaction that took it. The two
are read one after the other while calls go on, so `backlog` and `in_flight` are a snapshot; the
sum is exact whenever it is read, and `stored` includes calls that were erased since.
"""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

from storage import segments
from storage.capture import DropReason
from storage.counters import CountersError, Tally, read_tally
from storage.database import StoreUnavailable
from storage.reader import StoreReader
from storage.rows import LedgerTotals

NOTHING = LedgerTotals(0, 0, Tally(0, 0, 0, 0, {}))


class Ledger(NamedTuple):
    """The ledger at one moment; numbers of calls. `store_ready`: the store could be read."""

    accepted: int
    stored: int
    sampled_out: int
    opted_out: int
    dropped: dict[DropReason, int]
    backlog: int  # in the spool, not in the store yet
    in_flight: int  # not ended yet
    store_ready: bool


def read_ledger(spool: Path, store: StoreReader) -> Ledger:
    """Add up the ledger of a data directory's spool and its store.

    A store that cannot be read counts as empty: everything spooled is backlog then.
    """
    # The store first: a call it takes meanwhile is still counted once, as backlog.
    try:
        totals, writers, ready = store.ledger_totals(), store.writers(), True
    except StoreUnavailable:
        totals, writers, ready = NOTHING, {}, False
    accepted, sampled_out = totals.closed.accepted, totals.closed.sampled_out
    opted_out = totals.closed.opted_out
    dropped = Counter(dict.fromkeys(DropReason, 0))
    dropped.update(totals.closed.dropped)
    dropped[DropReason.POISON] += totals.poisoned
    backlog = in_flight = 0
    for name in segments.writers(spool):
        known = writers.get(name)
        if known is not None and known.closed_at is not None:
            continue  # all it counted is in the totals
        try:
            tally = read_tally(spool / name)
        except (FileNotFoundError, CountersError):
            continue
        taken = known.stored + known.poisoned if known else 0
        accepted += tally.accepted
        sampled_out += tally.sampled_out
        opted_out += tally.opted_out
        dropped.update(tally.dropped)
        # A killed worker's interrupted calls are stored before they are known to have ended.
        waiting = tally.spooled + tally.in_flight - taken
        in_flight += min(tally.in_flight, waiting)
        backlog += waiting - min(tally.in_flight, waiting)
    return Ledger(
        accepted, totals.stored, sampled_out, opted_out, dict(dropped), backlog, in_flight, ready
    )
