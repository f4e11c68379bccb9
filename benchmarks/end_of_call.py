"""What a worker does for a recorded call behind its last byte, beside one line of JSON written.

    python -m benchmarks.end_of_call [--calls 3000]

No other call of the same turn of the loop waits for it; at one call at a time the next request may
be here while the worker still does this, and then its first token waits. `plain` is a call of 1 KB
with 14 headers and an answer of 1.3 KB; `stream` one of 8 events that has lasted for so long that
it was begun in the spool before. `end` takes note that it is over; `record` searches the bodies and
heads for secrets, makes the frames and writes them: here for each call by itself, in a worker for
all that ended in one turn, which costs each half as much (benchmarks.carrying_cost).
`line` is the same call, unsearched, as a line of JSON (orjson, bodies as text), written at once:
the least that a log does. `counted` is what counting one call by itself for Prometheus takes,
which the sweep does for many together. Microseconds, the tenth percentile: what else the machine
does only adds. Caches are warm here; in a worker that waits between calls all takes twice as long.
"""

import argparse
import asyncio
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import orjson
import uvloop

from proxy.exchange import Exchange
from proxy.recording import Recording
from storage.capture import Headers, Outcome
from tests.relaying import exchange_in, recording_at

EVENTS: Final = 8
EVENTS_BEFORE: Final = 5  # of them, when the call is begun in the spool
_SENT: Final = (
    b"host accept accept-encoding connection user-agent x-stainless-lang x-stainless-os "
    b"x-stainless-arch x-stainless-runtime x-stainless-async x-stainless-retry-count"
).split()
_REQUEST_HEADERS: Final[Headers] = [
    *((name, b"something or other") for name in _SENT),
    (b"content-type", b"application/json"),
    (b"authorization", b"Bearer sk-mock"),
    (b"content-length", b"1000"),
]
_ANSWER_NAMES: Final = (b"openai-processing-ms", b"x-request-id", b"openai-version", b"server")
_REQUEST: Final = b'{"model":"mock","messages":[{"role":"user","content":"%b"}]}' % (b"word " * 190)
_ANSWER: Final = b'{"id":"chatcmpl-1","choices":[{"message":{"content":"%b"}}]}' % (b"word " * 240)
_EVENT: Final = b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % (b"word " * 28)

Spent = defaultdict[str, list[int]]


def main() -> None:
    """Measure, and print a line for each kind of call."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=3000)
    given = parser.parse_args()
    spent: Spent = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        uvloop.run(_measure(Path(folder), given.calls, spent))
    us = {what: sorted(times)[len(times) // 10] / 1e3 for what, times in spent.items()}
    for kind in ("plain", "stream"):
        end, record, line = (us[f"{kind} {what}"] for what in ("end", "record", "line"))
        print(f"{kind:8} end {end:5.1f} us  record {record:5.1f} us  line {line:5.1f} us", end="")
        print(f"  {(end + record) / line:4.1f} lines")
    print(f"counted by itself {us['counted']:5.1f} us")


async def _measure(folder: Path, calls: int, spent: Spent) -> None:
    recording = recording_at(folder)
    log = os.open(folder / "log", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    for number in range(calls):
        for kind in ("plain", "stream"):
            exchange = _carried(recording, kind)
            _time(spent[f"{kind} end"], partial(exchange.end, Outcome.COMPLETE))
            _time(spent[f"{kind} record"], recording.flush)
            _time(spent[f"{kind} line"], partial(_write_line, log, kind))
            _time(spent["counted"], recording.metrics.count)
        if number % 100 == 0:
            await asyncio.sleep(0)
    os.close(log)
    recording.close()


def _carried(recording: Recording, kind: str) -> Exchange:
    """Let all of a call pass, but not end."""
    exchange = exchange_in(recording, stop=lambda: None, watch=None, headers=_REQUEST_HEADERS)
    exchange.request_ended = True
    exchange.request_passed(_REQUEST)
    exchange.response_started(200, _answer_headers(kind))
    if kind == "plain":
        exchange.response_passed(_ANSWER)
        return exchange
    for number in range(EVENTS):
        if number == EVENTS_BEFORE:
            exchange.relieve()  # begins it, as the sweep does
            recording.flush()
        exchange.response_passed(_EVENT)
    return exchange


def _answer_headers(kind: str) -> Headers:
    content = b"application/json" if kind == "plain" else b"text/event-stream"
    return [(b"content-type", content), *((name, b"something") for name in _ANSWER_NAMES)]


def _write_line(log: int, kind: str) -> None:
    answer = _ANSWER if kind == "plain" else _EVENT * EVENTS
    headers = [
        [(name.decode(), value.decode()) for name, value in each]
        for each in (_REQUEST_HEADERS, _answer_headers(kind))
    ]
    line = orjson.dumps([time.time(), "POST", 200, headers, _REQUEST.decode(), answer.decode()])
    os.write(log, line + b"\n")


def _time(times: list[int], work: Callable[[], object]) -> None:
    began = time.perf_counter_ns()
    work()
    times.append(time.perf_counter_ns() - began)


if __name__ == "__main__":
    main()
