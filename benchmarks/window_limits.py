"""What windows of drift cost: read from a store, and pooled of rolled-up hours.

    python -m benchmarks.window_limits [--groups 30000] [--turns 3]

A week of conversations, of each so many calls, whose prompts and answers have 150 words of a Zipf
vocabulary; one call in four has text features. Each line is measured in a process of its own: CPU,
and the most memory it had.

Read: a window of the week. Limit: the time that DuckDB takes for the same columns of the same
calls (`shalt query`), in the same run; aims are 10 microseconds a call and 300 MB over what the
imports take. Pooled: the week, a day and an hour of hours on disk, against the same windows read
from the store; limit: no more than those for the week. Full hours: each has as many groups as a
sketch holds, 20,000. Sizes: of an hour's file a call, and of an export's
sample of 20,000 conversations, all of them with text features.
"""

import argparse
import multiprocessing
import random
import resource
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

import msgspec
import pyarrow as pa
from sqlalchemy import insert

from exporters.columns import names_of, table_of, without_terms
from exporters.loading import Sketch, load_window, read_sketch
from exporters.periods import Between, Matching
from exporters.pooling import Filed, pool, write_sketch
from exporters.reference import measure
from exporters.rollups import HOUR_GROUPS_MAX, Rollups
from exporters.window_files import write_window_file
from exporters.windows import in_sample
from storage import database
from storage.capture import Outcome
from storage.features import FEATURE_VERSION, Features
from storage.query import answering
from storage.rows import Values, time_of
from storage.schema import call, text_feature
from storage.store import TraceStore
from storage.terms import TextFeatures
from storage.trace import Message, Understood
from tests.exporters.calls import Traffic, span_of

START_MS: Final = 1_790_812_800_000
WEEK_MS: Final = 7 * 24 * 3_600_000
SAMPLE_BITS: Final = 2
KINDS: Final = 500  # calls that differ; the others repeat them
INSERTED_AT_ONCE: Final = 5_000
SAMPLE_GROUPS: Final = 20_000
FULL_HOURS: Final = 24


class Clock:
    """The end of the week."""

    def wall_ns(self) -> int:
        return (START_MS + WEEK_MS) * 10**6

    def monotonic_ns(self) -> int:
        return 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", type=int, default=30_000)
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        apart(fill, directory, given.groups, given.turns)
        calls = given.groups * given.turns
        print(f"{given.groups:,} conversations, {calls:,} calls in a week")
        imports = apart(nothing, directory)[1]
        print(f"imports: {imports:.0f} MB")
        duck, _ = apart(ask_duckdb, directory)
        for name, load in (("window", read_week), ("DuckDB", ask_duckdb)):
            cpu, peak = apart(load, directory)
            print(
                f"{name}: {cpu:.2f} s, {cpu / calls * 1e6:.1f} us a call, ratio {cpu / duck:.2f}, "
                f"{peak - imports:.0f} MB over the imports"
            )
        cpu, _ = apart(pool_hours, directory, 168)
        files = list(directory.glob("hours/*/*.parquet"))
        size = sum(path.stat().st_size for path in files)
        print(f"first: {cpu:.2f} s for {len(files)} hours, {size / calls:.0f} bytes a call")
        for hours in (168, 24, 1):
            cpu, peak = apart(pool_hours, directory, hours)
            once, _ = apart(read_hours, directory, hours)
            print(
                f"pooled {hours:>3} h: {cpu:.3f} s, read {once:.3f} s, ratio {cpu / once:.2f}, "
                f"{peak - imports:.0f} MB over the imports"
            )
        written, _ = apart(write_full_hours, directory)
        cpu, peak = apart(pool_full_hours, directory)
        size = sum(path.stat().st_size for path in directory.glob("full/*"))
        print(
            f"full hours: {written / FULL_HOURS:.2f} s to write one, "
            f"{size / FULL_HOURS / 1e6:.1f} MB each; {FULL_HOURS} pooled in "
            f"{cpu:.2f} s, {peak - imports:.0f} MB over the imports"
        )
        apart(write_sample, directory)
        print(f"sample of {SAMPLE_GROUPS:,}: {(directory / 'sample').stat().st_size / 1e6:.0f} MB")


def apart(act: Callable[..., None], *given: object) -> tuple[float, float]:
    """Do something in a process of its own; return its CPU seconds, and its peak in MB."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_work, args=(theirs, act, given))
    process.start()
    cpu, peak = ours.recv()
    process.join()
    return cpu, peak


def _work(pipe: Connection, act: Callable[..., None], given: tuple[object, ...]) -> None:
    if act is not fill and isinstance(given[0], Path):
        read_hours(given[0], 1)  # what is imported late, and statements that are compiled once
    before = time.process_time()
    act(*given)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    pipe.send((time.process_time() - before, peak))


def nothing(directory: Path) -> None:
    """Take what the imports take, and what opening a store does."""


def open_store(directory: Path) -> TraceStore:
    return TraceStore(f"sqlite:///{directory / 'store.sqlite'}", clock=Clock())


def read_week(directory: Path) -> None:
    store = open_store(directory)
    window = load_window(store, "default", Matching("id > ''"))
    assert len(window.terms["prompt_terms"].rows) > 0
    store.close()


def ask_duckdb(directory: Path) -> None:
    """Take the first call of each group, and the columns that a window has of it."""
    features = ", ".join(f"f.{name}" for name in names_of("feature"))
    calls = ", ".join(f"c.{name}" for name in names_of("call"))
    first = "QUALIFY row_number() OVER (PARTITION BY group_id ORDER BY sha256(id)) = 1"
    terms = "t.prompt_terms, t.answer_terms, t.answer_fields"
    chosen = f"SELECT * FROM calls WHERE outcome = 'complete' {first}"  # noqa: S608
    columns = f"c.id, c.group_id, c.started_at, {calls}, {features}, {terms}"
    more = "JOIN features f ON f.call_id = c.id LEFT JOIN text_features t ON t.call_id = c.id"
    sql = f"SELECT {columns} FROM ({chosen}) c {more}"  # noqa: S608
    store = open_store(directory)
    with answering(store.engine, sql, "default") as answer:
        assert answer.read_all().num_rows > 0
    store.close()


def span_of_hours(hours: int) -> Between:
    end = time_of((START_MS + WEEK_MS) * 1000)
    return Between(end - timedelta(hours=hours), end)


def pool_hours(directory: Path, hours: int) -> None:
    store = open_store(directory)
    rollups = Rollups(store, directory / "hours", "default", clock=Clock(), terms_days=8)
    assert len(rollups.load(span_of_hours(hours))) > 0
    store.close()


def read_hours(directory: Path, hours: int) -> None:
    store = open_store(directory)
    assert len(load_window(store, "default", span_of_hours(hours))) > 0
    store.close()


def write_full_hours(directory: Path) -> None:
    """Write hours of more groups than a sketch holds; one call in 64 has text features."""
    store = open_store(directory)
    with store.reading() as connection:
        sketch = read_sketch(connection, "default", Matching(""), HOUR_GROUPS_MAX)
    table = sketch.table
    store.close()
    (directory / "full").mkdir()
    chance = random.Random(3)
    bare = without_terms(table)
    for hour in range(FULL_HOURS):
        texts = table.num_rows // 64
        rows = pa.concat_tables([table.slice(hour, texts), bare.slice(texts)])
        for name, digits in (("call_id", 32), ("group_id", 64)):
            made = [f"{chance.getrandbits(4 * digits):0{digits}x}" for _ in range(rows.num_rows)]
            place = rows.schema.get_field_index(name)
            rows = rows.set_column(place, rows.schema.field(place), pa.array(made))
        write_sketch(directory / "full" / str(hour), Sketch(rows, rows.num_rows * 10), {})


def pool_full_hours(directory: Path) -> None:
    parts = [Filed(path) for path in sorted((directory / "full").iterdir())]
    assert pool(parts, HOUR_GROUPS_MAX).table.num_rows > 0


def write_sample(directory: Path) -> None:
    """Write what an export would leave of so many conversations."""
    rows = [
        measure(f"{number:064x}", span_of(each, f"{number:032x}"))
        for number, each in enumerate(understood(SAMPLE_GROUPS))
    ]
    write_window_file(directory / "sample", table_of(rows))


def understood(count: int) -> list[Understood]:
    """Make calls that differ."""
    chance = random.Random(1)
    words = [f"{chance.choice('bdgklmnprst')}{number:x}" for number in range(20_000)]
    weights = [1 / (number + 2) for number in range(len(words))]

    def text() -> str:
        return " ".join(chance.choices(words, weights, k=150))

    made = []
    for _ in range(count):
        one = Traffic().understood(chance)
        answer = msgspec.structs.replace(one.choices[0], message=Message("assistant", text()))
        messages = (*one.messages[:-1], Message("user", text()))
        made.append(msgspec.structs.replace(one, messages=messages, choices=(answer,)))
    return made


def fill(directory: Path, groups: int, turns: int) -> None:
    """Make the store: only what windows read, and that as the recorder writes it."""
    store = open_store(directory)
    store.upgrade()
    chance = random.Random(2)
    kinds = [measure("", span_of(each)) for each in understood(KINDS)]
    empty: Values = {column.name: "" if column.type.python_type is str else 0 for column in call.c}
    rows: dict[str, list[Values]] = {"call": [], "text_feature": []}
    numbers = [number % groups for number in range(groups * turns)]
    for place, number in enumerate(numbers):
        started = START_MS + place * WEEK_MS // len(numbers)
        id = f"{started:012x}{chance.getrandbits(80):020x}"
        kind = kinds[chance.randrange(KINDS)]
        row: Values = {name: getattr(kind, name) for name in names_of("call")}
        said: Values = {
            "id": id,
            "project": "default",
            "started_at": started * 1000,
            "endpoint": "chat_completions",
            "outcome": Outcome.COMPLETE.value,
            "group_id": f"{number * 0x9E3779B97F4A7C15:064x}",
            "side": "train",
            "source": "relay",
        }
        rows["call"].append({**empty, **row, **said, **msgspec.structs.asdict(kind.features)})
        if in_sample(id, SAMPLE_BITS):
            assert kind.text is not None
            text = msgspec.structs.replace(kind.text, sample_bits=SAMPLE_BITS)
            rows["text_feature"].append(columns_of(id, text))
        if len(rows["call"]) == INSERTED_AT_ONCE or place == len(numbers) - 1:
            with database.writing(store.engine) as connection:
                for table in (call, text_feature):
                    if rows[table.name]:
                        connection.execute(insert(table), rows[table.name])
            rows = {name: [] for name in rows}
    store.close()


def columns_of(call_id: str, measures: Features | TextFeatures) -> Values:
    """Write what was measured of a call as the row of a table."""
    assert measures.feature_version == FEATURE_VERSION
    return {"call_id": call_id, **msgspec.structs.asdict(measures)}


if __name__ == "__main__":
    main()
