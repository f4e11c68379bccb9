"""Memory and CPU of a worker: idle, with open streams, recording and not.

    python -m benchmarks.worker_limits [--streams 1000] [--seconds 3] [--shared ../shared]

Memory is what is resident and no other process has (Private_* of smaps_rollup) and what is resident
in all (VmRSS), in MB; the streams bring an event of 200 bytes a second each. CPU is microseconds
of the worker a call of 1 KB, 16 connections, with `x-shalt-record: full` and `none` in turns.
Limits: idle <= 60 MB, 1,000 streams <= 150 MB, recording <= 25 % more CPU. Needs gcc and wrk.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from benchmarks.relay_cost import CONNECTIONS, UPSTREAM_PORT, running, tree_cpu, write_body
from tests.relaying import wait_until
from tests.serving import Shalt, running_shalt

EVENT: Final = b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % (b"word " * 28)


@contextmanager
def streaming() -> Iterator[int]:
    """Run an upstream that streams an event a second to whoever asks; yield its port."""
    loop = asyncio.new_event_loop()
    stop, started = asyncio.Event(), threading.Event()
    port = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        kind = b"content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n"
        writer.write(b"HTTP/1.1 200 OK\r\n" + kind + b"\r\n")
        while not (stop.is_set() or writer.is_closing()):
            writer.write(b"%x\r\n%b\r\n" % (len(EVENT), EVENT))
            await asyncio.sleep(1)
        writer.close()

    async def serve() -> None:
        nonlocal port
        server = await asyncio.start_server(answer, "127.0.0.1", backlog=2048)
        port = server.sockets[0].getsockname()[1]
        started.set()
        await stop.wait()
        server.close()
        await asyncio.sleep(2)  # until the last of them has seen that it is over

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    started.wait()
    yield port
    loop.call_soon_threadsafe(stop.set)
    thread.join()


def memory_mb(process: int) -> tuple[float, float]:
    """What is resident and its own, and what is resident in all."""
    own = 0
    for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
        if line.startswith("Private_"):
            own += int(line.split()[1])
    status = Path(f"/proc/{process}/status").read_text()
    resident = next(int(line.split()[1]) for line in status.splitlines() if "VmRSS" in line)
    return own * 1024 / 1e6, resident * 1024 / 1e6


async def hold(port: int, streams: int, measure: threading.Event, done: threading.Event) -> None:
    """Hold so many streams open and read them until all is done."""

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}"
        writer.write(head)
        while not done.is_set():
            await reader.read(65536)
        writer.close()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(streams):
            tasks.create_task(one())
            await asyncio.sleep(0.002)
        await asyncio.sleep(5)
        measure.set()


def measure_memory(streams: int) -> None:
    """Print a worker's memory idle and with open streams."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "shalt.toml").write_text("shutdown_seconds = 1\n")
        port = stack.enter_context(streaming())
        shalt = stack.enter_context(running_shalt(folder / "data", f"http://127.0.0.1:{port}/v1"))
        worker = wait_until(lambda: shalt.child("shalt.worker"))
        own, resident = memory_mb(worker)
        print(f"idle                {own:6.1f} MB its own {resident:6.1f} MB resident")
        ready, done = threading.Event(), threading.Event()
        thread = threading.Thread(
            target=lambda: asyncio.run(hold(shalt.port, streams, ready, done))
        )
        thread.start()
        ready.wait()
        assert shalt.status()["in_flight"] == streams
        own, resident = memory_mb(worker)
        print(f"{streams:5} open streams  {own:6.1f} MB its own {resident:6.1f} MB resident")
        done.set()
        thread.join()


def cpu_us(shalt: Shalt, seconds: int, work: Path, bench: Path, record: str) -> float:
    """CPU of the worker a call, so recorded."""
    worker = shalt.child("shalt.worker")
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(bench / "post.lua")]
    before = tree_cpu(worker)[worker]
    ran = subprocess.run(
        [*command, f"http://127.0.0.1:{shalt.port}/v1/chat/completions"],
        env={**os.environ, "BODY": str(work / "body.json"), "HEADERS": f"x-shalt-record: {record}"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    calls = int(ran.stdout.rpartition('"requests":')[2].partition(",")[0])
    return (tree_cpu(worker)[worker] - before) / calls * 1e6


def measure_recording(seconds: int, bench: Path) -> None:
    """Print what recording adds to the CPU of a call."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        write_body(work)
        mock = work / "mock_upstream"
        subprocess.run(["gcc", "-O2", "-o", mock, bench / "mock_upstream.c"], check=True)
        with (
            running([str(mock), str(UPSTREAM_PORT)], UPSTREAM_PORT, 1, work),
            running_shalt(work / "data", f"http://127.0.0.1:{UPSTREAM_PORT}/v1") as shalt,
        ):
            found: dict[str, list[float]] = {"none": [], "full": []}
            for _ in range(3):
                for record, figures in found.items():
                    figures.append(cpu_us(shalt, seconds, work, bench, record))
    off, on = (statistics.median(figures) for figures in found.values())
    print(
        f"a call              {off:6.0f} us not recorded {on:6.0f} us recorded {on / off - 1:+.0%}"
    )


def main() -> None:
    """Measure, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    given = parser.parse_args()
    measure_memory(given.streams)
    measure_recording(given.seconds, given.shared.resolve() / "bench")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
