"""What measuring a call costs: features of every call, texts of a sampled one, bytes of a row.

    python -m benchmarks.feature_limits [--calls 2000]

CPU time of this thread, the best of REPEATS, beside that of understanding the same calls
(storage.derive), which the recorder does to each of them anyway. On three kinds of calls: realistic
ones of 5.3 KB; one of 4 KB of request and 1.2 KB of answer in prose; and recorded prompts of twelve
languages and of call logs, where the data sets lie beside the checkout. Bytes are those of a SQLite
file's pages, by `dbstat`: those of a row of version 1 of the same calls, and those that today's
columns add to a call's row. Ends with 1 where a bar is missed; on a busy machine all times are
longer, and the ratios are not.
"""

import argparse
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from benchmarks.realistic import Traffic
from storage.capture import Capture
from storage.derive import derive
from storage.features import Features, features_of_all
from storage.terms import text_features_of
from storage.trace import Span
from tests.captures import plain_capture

FEATURES_US: Final = 60.0
TEXTS_US: Final = 300.0
ROW_BYTES: Final = 40.0  # more than version 1
REPEATS: Final = 7
RECORDED: Final = ("xquad", "sgd", "alpaca_eval")
DATA_SETS: Final = Path(__file__).parents[2] / "shared" / "data" / "datasets"
T = TypeVar("T")
V1: Final = Features.__struct_fields__[:14]  # its columns, in which hashes had 32 characters


def main() -> None:
    """Measure, print, and end with 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=2_000)
    calls: int = parser.parse_args().calls
    kinds = {
        "realistic": list(islice(Traffic(calls), calls)),
        "prose of 5 KB": [prose(number) for number in range(200)],
        **{name: recorded(name) for name in RECORDED if (DATA_SETS / f"{name}.jsonl").exists()},
    }
    print(f"{'calls':<16}{'number':>7}{'derive':>9}{'features':>10}{'ratio':>7}{'texts':>9}")
    missed = False
    for name, captures in kinds.items():
        spans = [derive(capture) for capture in captures]
        derived = microseconds(one_by_one(derive), captures)
        features = microseconds(features_of_all, spans)
        texts = microseconds(one_by_one(text_features_of), spans)
        print(
            f"{name:<16}{len(spans):>7}{derived:>9.1f}{features:>10.1f}{features / derived:>7.2f}"
            f"{texts:>9.1f}"
        )
        missed |= features > FEATURES_US or texts > TEXTS_US
    missed |= print_bytes([derive(capture) for capture in kinds["realistic"]])
    sys.exit(1 if missed else 0)


def one_by_one(work: Callable[[T], object]) -> Callable[[Sequence[T]], object]:
    """Make work for many items of that for one."""

    def work_for_all(items: Sequence[T]) -> None:
        for item in items:
            work(item)

    return work_for_all


def microseconds(work: Callable[[Sequence[T]], object], items: Sequence[T]) -> float:
    """Time it for all items, REPEATS times; return the best, in microseconds an item."""
    best = float("inf")
    for _ in range(REPEATS):
        started = time.thread_time()
        work(items)
        best = min(best, time.thread_time() - started)
    return best / len(items) * 1e6


def print_bytes(spans: Sequence[Span]) -> bool:
    """Print bytes a row; tell whether there are too many."""
    rows = zip(spans, features_of_all(spans), strict=True)
    features = [(each.id, *msgspec.structs.astuple(measured)) for each, measured in rows]
    texts = [(each.id, *msgspec.structs.astuple(text_features_of(each))) for each in spans]
    older = [tuple(map(_as_v1, V1, row[1:15])) for row in features]
    before = bytes_a_row([(row[0], *v1) for row, v1 in zip(features, older, strict=True)])
    ids = bytes_a_row([(row[0], None) for row in features])
    after = bytes_a_row(features) - ids  # they are columns of the call's row, which has an id
    of_texts = bytes_a_row(texts, without_rowid=False)
    print(
        f"features of a call {before:.0f} bytes in version 1, as rows of their own; "
        f"{after:.0f} now, in the call's: {after - before:+.0f}"
    )
    print(f"row of text_feature {of_texts:.0f} bytes, of calls in the sample for some days")
    return after - before > ROW_BYTES


def _as_v1(name: str, value: object) -> object:
    if name.endswith("_hash") and value:
        return str(value) * 2
    return value or ("[]" if name in ("tools_called", "prompt_years", "answer_years") else value)


def bytes_a_row(rows: Sequence[tuple[object, ...]], *, without_rowid: bool = True) -> float:
    """Write rows into a table of their own; return the bytes of its pages for each."""
    with tempfile.TemporaryDirectory() as directory:
        with closing(sqlite3.connect(Path(directory) / "rows.sqlite")) as connection:
            columns = ", ".join(f"c{number}" for number in range(1, len(rows[0])))
            ending = " WITHOUT ROWID" if without_rowid else ""
            connection.execute("PRAGMA page_size = 8192")
            connection.execute(f"CREATE TABLE t (id TEXT PRIMARY KEY, {columns}){ending}")
            marks = ", ".join("?" * len(rows[0]))
            connection.executemany(f"INSERT INTO t VALUES ({marks})", rows)  # noqa: S608
            connection.commit()
            (size,) = connection.execute("SELECT sum(pgsize) FROM dbstat").fetchone()
            return float(size) / len(rows)


def prose(number: int) -> Capture:
    """Make a call with 4 KB of request and 1.2 KB of answer."""
    paragraph = (
        f"The parcel number {number} left the harbour on 3 May 2024, and nobody has seen it since. "
        "We asked the carrier twice; they say that it was handed over, and cannot tell us to whom. "
        "Please find out who signed for it, and write a short letter that we can send to them.\n"
    )
    request = {
        "model": "gpt-4o",
        "temperature": 0.2,
        "messages": [
            {"role": "system", "content": "You answer in short sentences. " * 25},
            {"role": "user", "content": paragraph * 12},
        ],
    }
    return exchange(number, request, "It was seen in Rotterdam. We shall ask there again. " * 23)


def recorded(name: str) -> list[Capture]:
    """Make calls of a data set's prompts and answers."""
    captures = []
    with (DATA_SETS / f"{name}.jsonl").open(encoding="utf-8") as lines:
        for number, line in enumerate(islice(lines, 1_000)):
            messages = json.loads(line).get("messages") or []
            if messages:
                answer = messages[-1].get("content") or "" if len(messages) > 1 else ""
                asked = messages[:-1] or messages
                captures.append(exchange(number, {"messages": asked}, answer))
    return captures


def exchange(number: int, request: dict[str, object], answer: str) -> Capture:
    """Make the capture of a chat completion."""
    choice = {"message": {"role": "assistant", "content": answer}, "finish_reason": "stop"}
    bodies = [json.dumps(each).encode() for each in (request, {"choices": [choice]})]
    return plain_capture(*bodies, id=f"{number:032x}")


if __name__ == "__main__":
    main()
