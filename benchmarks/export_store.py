"""The store that benchmarks.export_limits exports, and DuckDB at the same bodies.

A module of its own, for the processes of an export import the benchmark and need none of this.
"""

import gc
from itertools import islice
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.realistic import Traffic
from storage.capture import SystemClock
from storage.derive import derive
from storage.features import features_of
from storage.grouping import group_of
from storage.rows import Checkpoint, Recorded
from storage.store import TraceStore
from storage.terms import text_features_of

BATCH_CALLS: Final = 1_000
ROW_GROUP_CALLS: Final = 20_000


def fill(calls: int, directory: Path, _: int) -> None:
    """Store the calls, and write their bodies as Parquet, unless that has been done."""
    store = TraceStore(f"sqlite:///{directory / 'shalt.sqlite'}", clock=SystemClock())
    store.upgrade()  # one that was kept may be of an earlier version
    if (directory / "filled").exists():
        store.close()
        return
    gc.set_threshold(100_000)
    stream = iter(Traffic(calls))
    schema = pa.schema([("request", pa.string()), ("response", pa.string())])
    done = 0
    with pq.ParquetWriter(directory / "bodies.parquet", schema, compression="zstd") as parquet:
        bodies: list[dict[str, str]] = []
        while batch := list(islice(stream, BATCH_CALLS)):
            recorded = []
            for capture in batch:
                span = derive(capture)
                group, features = group_of(span, capture), features_of(span)
                # The recorder measures the texts of every call of a day of up to 42,000.
                texts = text_features_of(span, 0)
                recorded.append(Recorded(capture, span, group, features, texts=texts))
                bodies.append(
                    {
                        "request": capture.request_body.data.decode(),
                        "response": capture.response_body.data.decode(),
                    }
                )
            done += store.insert(recorded, Checkpoint("f" * 32, 0, done + 1))
            if len(bodies) >= ROW_GROUP_CALLS or done == calls:
                parquet.write_table(pa.Table.from_pylist(bodies, schema))
                bodies.clear()
            if done % ROW_GROUP_CALLS == 0:
                print(f"\r{done:,} of {calls:,} stored", end="", flush=True)
    print("\r", end="")
    store.close()
    (directory / "filled").touch()


def copy_by_duckdb(directory: Path, processes: int) -> None:
    """Let DuckDB write the bodies as JSON lines."""
    with duckdb.connect(config={"threads": processes}) as connection:
        connection.execute(
            f"COPY (FROM '{directory / 'bodies.parquet'}') TO '{directory / 'out' / 'rows.json'}' "
            "(FORMAT JSON)"
        )
