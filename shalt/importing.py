"""The command `import`: calls recorded by other tools into the store.

The files are read record by record (importers), written into the spool (shalt.intake) and stored
by the recorder: by the one that runs on the data directory, else by one in this process. When the
command ends well, all is stored; when it is stopped, what has been read is in the spool and is
stored by the next shalt, and the same command again adds the rest. What cannot be understood is
told with its place, and counted; the exit code is 1 then.
"""

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from importers.fields import time_ns
from importers.formats import FORMATS, Format, recognise
from importers.imported import Identities, ImportedCall, NotUnderstood, Reader, capture_of
from importers.records import Record, RecordFile
from shalt.intake import Intake, SpoolFull
from shalt.places import DataDirError, Places
from shalt.recording import build_recorder, open_store
from shalt.settings import Settings
from shalt.terminal import print_json, print_line, print_note
from storage.capture import Capture, SystemClock
from storage.counted import counted
from storage.counters import is_alive
from storage.segments import writers
from storage.store import TraceStore

SYNTHETIC: Final = "synthetic"  # the source of calls that nobody made
DETECT_RECORDS_MAX: Final = 100  # a file whose first so many records say nothing is of no format
BATCH_CALLS: Final = 500
BATCH_BYTES: Final = 16 * 2**20
TROUBLES_SHOWN_MAX: Final = 100
WAIT_SECONDS: Final = 0.1
SETTLE_SECONDS: Final = 60.0


class FormatUnknown(Exception):
    """A file is of no format that can be imported."""


class ImportStopped(Exception):
    """With --strict: something could not be understood."""


class TimeUnreadable(Exception):
    """The time given for records that have none is no time."""


class Wanted(NamedTuple):
    """What the command line asks for, of all files."""

    form: str | None
    tags: Mapping[str, str]
    at: str | None
    synthetic: bool
    strict: bool


@dataclass
class Counts:
    """What was found, and what became of it."""

    record_count: int = 0
    call_count: int = 0
    new_count: int = 0
    other_count: int = 0  # records and spans that are no calls
    undated_count: int = 0
    trouble_count: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


class _Source(NamedTuple):
    path: Path
    form: Format
    first: bool  # other files need what is in it


def import_files(
    settings: Settings, paths: Sequence[Path], wanted: Wanted, *, as_json: bool
) -> int:
    """Import files and say what became of each record; return the exit code.

    Raise FormatUnknown before anything is imported, ImportStopped where `strict` is wanted,
    TimeUnreadable, DataDirError, StoreError, and what shalt.intake raises.
    """
    os.umask(0o077)
    given_ns = time_ns(wanted.at) if wanted.at else None
    if wanted.at and given_ns is None:
        raise TimeUnreadable(f"--at {wanted.at}: write a time like 2026-09-21T14:00:00Z")
    sources = sorted(
        (_source(path, wanted.form) for path in paths), key=lambda each: not each.first
    )
    counts = Counts()
    with ExitStack() as stack:
        delivery = stack.enter_context(closing(_Delivery(settings)))
        bar = stack.enter_context(_progress())
        task = bar.add_task("reading", total=sum(each.path.stat().st_size for each in sources))
        readers = {each.form.name: each.form.reader() for each in sources}
        done = 0
        try:
            for source in sources:
                reader = readers[source.form.name]
                with RecordFile(source.path) as file:
                    run = _File(settings, source, reader, wanted, given_ns, counts)
                    for batch in _batches(run.captures(file)):
                        delivery.put(batch)
                        bar.update(task, completed=done + file.position)
                    done += file.size
        finally:  # also of an import that stops, what was read is stored
            bar.update(task, description="storing", completed=0, total=delivery.taken_count)
            delivery.finish(lambda stored: bar.update(task, completed=stored))
    counts.new_count = delivery.taken_count
    _print(counts, as_json=as_json)
    return 1 if counts.trouble_count else 0


def _source(path: Path, form: str | None) -> _Source:
    """Look at the beginning of a file: of what format it is, and whether others need it."""
    with RecordFile(path) as file:
        for seen, record in enumerate(file):
            if seen == DETECT_RECORDS_MAX:
                break
            if record.value is None:
                continue
            found = FORMATS[form] if form else recognise(record.value)
            if found is not None:
                return _Source(path, found, found.is_context(record.value))
    if form:  # there is nothing in it, or nothing that can be read: so it will be told
        return _Source(path, FORMATS[form], False)
    raise FormatUnknown(
        f"{path} is of no format that can be imported; nothing was. If it is one of "
        f"{', '.join(FORMATS)} all the same, say so with --format"
    )


class _File:
    """One file being read: records to captures, and the account of them."""

    def __init__(
        self,
        settings: Settings,
        source: _Source,
        reader: Reader,
        wanted: Wanted,
        given_ns: int | None,
        counts: Counts,
    ) -> None:
        self._settings = settings
        self._path = source.path
        self._reader = reader
        self._wanted = wanted
        self._counts = counts
        self._source = SYNTHETIC if wanted.synthetic else f"import:{source.form.name}"
        self._identities = Identities(settings.project, source.form.name)
        self._undated_ns = given_ns or source.path.stat().st_mtime_ns

    def captures(self, file: RecordFile) -> Iterator[Capture]:
        for record in file:
            self._counts.record_count += 1
            if record.value is None:
                self._trouble(record.line, record.note)
                continue
            if record.note:
                print_note(f"{self._path}:{record.line}: imported, but {record.note}")
            try:
                reading = self._reader(record.value)
            except NotUnderstood as error:
                self._trouble(record.line, str(error))
                continue
            self._counts.other_count += reading.other_count
            for call in reading.calls:
                self._counts.call_count += 1
                yield self._capture(call, record)

    def _capture(self, call: ImportedCall, record: Record) -> Capture:
        assert record.value is not None
        started_ns = call.started_at_ns
        if started_ns is None:
            self._counts.undated_count += 1
            started_ns = self._undated_ns
        return capture_of(
            call,
            id=self._identities.id_of(call, record.value, started_ns),
            project=self._settings.project,
            source=self._source,
            started_at_ns=started_ns,
            tags=self._wanted.tags,
            body_bytes_max=int(self._settings.body_bytes_max),
        )

    def _trouble(self, line: int, reason: str) -> None:
        place = f"{self._path}:{line}: {reason}"
        if self._wanted.strict:
            raise ImportStopped(f"{place}; what stands before it is imported")
        counts = self._counts
        counts.trouble_count += 1
        counts.reasons[reason] += 1
        if counts.trouble_count <= TROUBLES_SHOWN_MAX:
            print_note(place)
        elif counts.trouble_count == TROUBLES_SHOWN_MAX + 1:
            print_note("more could not be understood; they are counted below")


class _Delivery:
    """Captures into the store, by the recorder that runs, or by our own where none does."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._places = Places(settings.data_dir)
        self._places.prepare()
        self._lock: IO[bytes] | None = None
        self._store: TraceStore = open_store(settings)
        self._recorder = build_recorder(settings, self._store)
        if self._take_over():
            self._store.upgrade()
        else:
            self._store.check(wait_seconds=5.0)
        self._settle()
        self._intake = Intake(settings, self._store, SystemClock())

    @property
    def taken_count(self) -> int:
        return self._intake.taken_count

    def put(self, batch: Sequence[Capture]) -> None:
        """Put captures into the spool; where it is full, wait until some of it is stored."""
        while True:
            try:
                self._intake.put(batch)
                break
            except SpoolFull:
                self._let_record()
        if self._lock is not None:
            self._recorder.step()

    def finish(self, progress: Callable[[int], None]) -> None:
        """Wait until everything is stored, telling how many are so far."""
        writer = self._intake.writer_id
        self._intake.close()
        folder = self._places.spool / writer
        while writer and folder.exists():
            self._let_record()
            known = self._store.writers().get(writer)
            progress(known.stored if known else 0)

    def close(self) -> None:
        self._intake.close()
        self._store.close()
        if self._lock is not None:
            self._lock.close()

    def _settle(self) -> None:
        """Have what dead writers left in the spool stored: an import that was killed, perhaps.

        Only then can the store say of all its calls that they are there. A spool that nobody here
        can read is not waited for longer than SETTLE_SECONDS.
        """
        until = time.monotonic() + SETTLE_SECONDS
        while any(map(self._is_left, writers(self._places.spool))) and time.monotonic() < until:
            self._let_record()

    def _is_left(self, writer: str) -> bool:
        try:
            return not is_alive(self._places.spool / writer)
        except FileNotFoundError:  # done with meanwhile
            return False

    def _let_record(self) -> None:
        """Record a batch, or leave that to whoever does, as long as somebody does."""
        if self._take_over():
            self._recorder.step()
        else:
            time.sleep(WAIT_SECONDS)

    def _take_over(self) -> bool:
        """Tell whether recording is ours: it is once no other shalt has the data directory."""
        if self._lock is None:
            try:
                self._lock = self._places.lock()
            except DataDirError:
                return False
        return True


def _batches(captures: Iterator[Capture]) -> Iterator[list[Capture]]:
    batch: list[Capture] = []
    waiting = 0
    try:
        for capture in captures:
            batch.append(capture)
            waiting += len(capture.request_body.data) + len(capture.response_body.data)
            if len(batch) >= BATCH_CALLS or waiting >= BATCH_BYTES:
                yield batch
                batch, waiting = [], 0
    except ImportStopped:
        yield batch
        raise
    if batch:
        yield batch


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )


def _print(counts: Counts, *, as_json: bool) -> None:
    known = counts.call_count - counts.new_count
    if as_json:
        print_json(
            {
                "records": counts.record_count,
                "calls": counts.call_count,
                "added": counts.new_count,
                "already_there": known,
                "undated": counts.undated_count,
                "no_calls": counts.other_count,
                "not_understood": counts.trouble_count,
                "reasons": dict(counts.reasons),
            }
        )
        return
    print_line(
        f"{counted(counts.new_count, 'call')} added of {counted(counts.record_count, 'record')}",
        "bold",
    )
    if known:
        print_line(f"  already there  {known:>9,}")
    if counts.other_count:
        print_line(f"  no calls       {counts.other_count:>9,}")
    if counts.undated_count:
        print_line(
            f"  undated        {counts.undated_count:>9,}  given the time of --at or the file"
        )
    if counts.trouble_count:
        print_line(f"  not understood {counts.trouble_count:>9,}", style="bold red")
    for reason, count in counts.reasons.most_common(10):
        print_line(f"    {count:>7,}  {reason}")
