"""Bytes of erased calls made unreadable where the database and the spool still have them.

Spool: frames of erased calls become zeros (storage.blanking), poison files of them are deleted.
SQLite: what was deleted is zeros already (`secure_delete`); the log is emptied and the copies in
free space are overwritten (storage.pages). PostgreSQL: dead rows stay in their pages after VACUUM,
so the partitions of the weeks that erased calls were in are written anew, with the index of words
of those weeks and the small tables that may name them: VACUUM (FULL), REWRITES_AT_ONCE tables at a
time, the largest first. Nobody reads or writes such a table meanwhile, a second for 100 MB and, of
the index of words, five for 100,000 calls; the disk needs as much room again. It waits until no
transaction is left that began before the rows were deleted, for it would keep what those can see.
Of tables that were analysed, PostgreSQL keeps values of a sample of rows in pg_statistic: they are
sampled again, and pg_statistic is written anew.

The database part runs in a process of its own (`start`): it takes a while, and storage.pages says
why it must. What is out of reach: OUT_OF_REACH.
"""

import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Final

import msgspec
from sqlalchemy import Connection, Engine, select, text

from storage import pages
from storage.blanking import blank_calls
from storage.database import StoreError, StoreUnavailable, open_engine, writing
from storage.derive import derive
from storage.held import held_numbers
from storage.partitions import PARTITIONED, Partition
from storage.poison import PoisonDirectory
from storage.replay import call_id_of, held_frames, raw_frames
from storage.reservation import IN_MAX
from storage.rows import Checkpoint
from storage.schema import (
    body_part,
    dataset_item,
    drift_report,
    erased_call,
    erasure,
    label,
    part,
    reservation,
    score,
    tool_set,
)
from storage.segments import segment_numbers, writers
from storage.spool import SEGMENT_HEADER, Position, SpoolError
from storage.trace import Span

log = logging.getLogger(__name__)

OUT_OF_REACH: Final = (
    "published datasets and whatever was copied out of the store",
    "backups of the store and of the data directory",
    "blocks of deleted files, until the file system uses them again",
    "PostgreSQL: the server's log of changes (WAL), its archive and replicas",
    "PostgreSQL: what its planner knows of columns, where shalt's role does not own the database",
)
TRY_AGAIN: Final = 75  # exit code of the process (EX_TEMPFAIL): somebody reads or writes
LOCK_SECONDS: Final = 10  # of waiting for a table; others wait behind whoever waits
OLD_READERS_SECONDS: Final = 5.0
# Of the server's cores: writing anew is work of one each. Weeks of an index of words take longest.
REWRITES_AT_ONCE: Final = 2
POLL_SECONDS: Final = 0.1
# Not partitioned, and with names of people or pieces of what they said.
_SMALL_TABLES: Final = (
    *(reservation, erasure, dataset_item, part, body_part),
    *(score, label, tool_set, drift_report),
)

Erased = Callable[[Sequence[str]], set[str]]  # of these call ids, those that are erased


class Order(msgspec.Struct, frozen=True):
    """What the process is to do; `url` is of the store, the rest of PostgreSQL.

    `words` are tables of the index of words that calls were taken out of.
    """

    url: str
    partitions: tuple[Partition, ...] = ()
    words: tuple[str, ...] = ()


def blank_spool(spool: Path, checkpoints: Mapping[str, Checkpoint], erased: Erased) -> int:
    """Overwrite the frames of erased calls in what the recorder has passed; return how many.

    Raise OSError where the disk refuses. Reads all segments that are there.
    """
    count = 0
    for writer in writers(spool):
        known = checkpoints.get(writer)
        if known is None:
            continue  # nothing of it was read
        directory, before = spool / writer, Position(known.segment, known.offset)
        try:
            for ids in _slices(_ids_before(directory, before)):
                if found := erased(ids):
                    count += blank_calls(directory, found, before)
        except (FileNotFoundError, SpoolError) as error:  # it goes, or is of another version
            log.info("spool not looked at for erased calls writer=%s error=%s", writer, error)
    return count


def clear_poison(poison: PoisonDirectory, selects: Callable[[Span], bool], named: str) -> int:
    """Delete the poison files of calls that are to be forgotten; return how many.

    What cannot be understood is deleted where its bytes hold the text `named`, if that is given.
    """
    count = 0
    for known in poison.list():
        if _is_meant(poison, known.call_id, selects, named):
            poison.remove(known.call_id)
            count += 1
    return count


def clear_poison_of_calls(poison: PoisonDirectory, erased: Erased) -> int:
    """Delete the poison files of what was said of erased calls; return how many."""
    count = 0
    for known in poison.list():
        said = poison.read_said(known.call_id)
        if said is not None and erased([said.id, *filter(None, [said.call_id])]):
            poison.remove(known.call_id)
            count += 1
    return count


def start(order: Order) -> subprocess.Popen[bytes]:
    """Start the process that makes the database's bytes unreadable. It ends with exit code 0, or
    TRY_AGAIN where others are in the way, or another that its log explains."""
    process = subprocess.Popen(
        [sys.executable, "-m", "storage.scrub"], stdin=subprocess.PIPE, start_new_session=True
    )
    assert process.stdin is not None
    with process.stdin as pipe:  # not among the arguments: the URL may hold a password
        pipe.write(msgspec.json.encode(order))
    return process


def main() -> int:
    """Do what standard input orders; return the exit code."""
    logging.basicConfig(  # as the other processes of a server log: operators read one stream
        level=logging.INFO,
        format="%(asctime)s %(levelname)s scrub[%(process)d] %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S%z",
    )
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    engine = open_engine(order.url)
    try:
        if engine.dialect.name == "postgresql":
            _rewrite_tables(engine, order)
        else:
            _clear_file(Path(str(engine.url.database)))
    except (pages.LogInUse, StoreUnavailable) as error:
        log.warning("store not scrubbed yet error=%s", error)
        return TRY_AGAIN
    finally:
        engine.dispose()
    return 0


def _clear_file(path: Path) -> None:
    started = time.monotonic()
    try:
        count = pages.clear_free_space(path)
    except pages.UnknownPages as error:
        log.info("store is written anew, its pages cannot be told apart: %s", error)
        pages.rewrite(path)
        return
    log.info("store scrubbed pages=%d seconds=%.1f", count, time.monotonic() - started)


def _rewrite_tables(engine: Engine, order: Order) -> None:
    _wait_for_old_readers(engine)
    names = [f"{table.name}_{each.name}" for each in order.partitions for table in PARTITIONED]
    names += [*order.words, *(table.name for table in _SMALL_TABLES)]
    with ThreadPoolExecutor(REWRITES_AT_ONCE, thread_name_prefix="rewrite") as rewriting:
        sampled = list(rewriting.map(partial(_rewrite, engine), _largest_first(engine, names)))
    sampled += [_sample_again(engine, table.name) for table in PARTITIONED]
    if any(sampled):
        _rewrite_samples(engine)


def _largest_first(engine: Engine, names: Sequence[str]) -> Sequence[str]:
    """Order tables by their size; leave out those that are not there: retention drops some."""
    query = text(
        "SELECT name FROM unnest(CAST(:names AS text[])) AS name"
        " WHERE to_regclass(quote_ident(name)) IS NOT NULL"
        " ORDER BY pg_total_relation_size(to_regclass(quote_ident(name))) DESC, name"
    )
    with writing(engine) as connection:
        return connection.scalars(query, {"names": list(names)}).all()


def _rewrite(engine: Engine, name: str) -> bool:
    """Write a table anew; tell whether the planner had samples of it."""
    started = time.monotonic()
    _maintain(engine, "VACUUM (FULL)", name)
    sampled = _sample_again(engine, name)
    log.info("table scrubbed name=%s seconds=%.1f", name, time.monotonic() - started)
    return sampled


def _sample_again(engine: Engine, name: str) -> bool:
    """Let the planner forget what it has sampled of a table, if it has; tell whether it had.

    Asked once the table is written anew: who was sampling it before that has ended.
    """
    query = text("SELECT EXISTS (SELECT FROM pg_stats WHERE tablename = :name)")
    with writing(engine) as connection:
        sampled: bool = connection.execute(query, {"name": name}).scalar_one()
    if sampled:
        _maintain(engine, "ANALYZE", name)
    return sampled


def _rewrite_samples(engine: Engine) -> None:
    """Write anew where the planner keeps its samples: what it has forgotten is still there."""
    owned = text(
        "SELECT pg_has_role(datdba, 'USAGE') FROM pg_database WHERE datname = current_database()"
    )
    with writing(engine) as connection:
        is_owner = connection.scalar(owned)
    if is_owner:
        _maintain(engine, "VACUUM (FULL)", "pg_statistic")
    else:
        log.warning("planner's samples are left until they are overwritten: not our database")


def _maintain(engine: Engine, what: str, name: str) -> None:
    """Look after a table. VACUUM runs in no transaction, so this is not `database.writing`."""
    autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
    with autocommit.connect() as connection:
        connection.exec_driver_sql("SET statement_timeout = 0")
        connection.exec_driver_sql(f"SET lock_timeout = '{LOCK_SECONDS}s'")
        quoted = connection.dialect.identifier_preparer.quote(name)
        try:
            connection.exec_driver_sql(f"{what} {quoted}")
        except Exception as error:
            raise StoreUnavailable(f"{name} is in use: {type(error).__name__}") from error


def _wait_for_old_readers(engine: Engine) -> None:
    """Wait until nobody can see the deleted rows any more. Raise StoreUnavailable after a while."""
    with writing(engine) as connection:
        marker = connection.scalar(text("SELECT pg_current_xact_id()::text"))
    until = time.monotonic() + OLD_READERS_SECONDS
    while _old_readers(engine, str(marker)):
        if time.monotonic() > until:
            raise StoreUnavailable("a transaction from before the deletion is still open")
        time.sleep(POLL_SECONDS)


def _old_readers(engine: Engine, marker: str) -> int:
    query = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() AND backend_xmin IS NOT NULL"
        " AND age(backend_xmin) > age((:marker)::xid8::xid)"
    )
    with writing(engine) as connection:
        count: int = connection.execute(query, {"marker": marker}).scalar_one()
    return count


def erased_among(connection: Connection, call_ids: Sequence[str]) -> set[str]:
    """Say which of these calls are erased. Primary key."""
    query = select(erased_call.c.call_id).where(erased_call.c.call_id.in_(call_ids))
    return set(connection.scalars(query))


def _ids_before(directory: Path, before: Position) -> Iterator[str]:
    """Yield the ids of the frames that the recorder has passed, those held back too."""
    for number in segment_numbers(directory):
        if number > before.segment:
            break
        for frame in raw_frames(directory, Position(number, SEGMENT_HEADER.size)):
            if number == before.segment and frame.at >= before.offset:
                break
            yield call_id_of(frame.encoded)
    held = (held_frames(directory, number) for number in held_numbers(directory))
    yield from (call_id_of(frame.encoded) for _, frame in chain.from_iterable(held))


def _slices(call_ids: Iterator[str]) -> Iterator[Sequence[str]]:
    ids: set[str] = set()
    for call_id in call_ids:
        ids.add(call_id)
        if len(ids) == IN_MAX:
            yield sorted(ids)
            ids = set()
    if ids:
        yield sorted(ids)


def _is_meant(
    poison: PoisonDirectory, name: str, selects: Callable[[Span], bool], named: str
) -> bool:
    capture = poison.read(name)
    if capture is not None:
        try:
            return selects(derive(capture))
        except Exception:  # noqa: BLE001  it lies here because something cannot be understood
            log.info("poison cannot be understood id=%s", name)
    frames = (poison.directory / f"{name}.poison").read_bytes()
    return bool(named) and named.encode("utf-8", "surrogatepass") in frames


if __name__ == "__main__":
    try:
        sys.exit(main())
    except StoreError as failure:
        log.error("store cannot be scrubbed error=%s", failure)
        sys.exit(1)
