"""What the relay promises under strain, measured on a real `shalt serve`.

    python -m benchmarks.relay_limits [--rounds 20]

Memory: how much a worker grows while a 300 MiB answer goes to a slow reader and while 50 MB are
uploaded, sized and chunked (limit 10 MB). Cancelling: how long after a client has left the
upstream sees its connection close, in the middle of a stream and before an answer (limit 50 ms).
WebSockets: what shalt adds to the round trip of a message of 300 bytes, p50 (limit 0.5 ms), each
taken in turn with one that goes to the upstream directly.
Starting: from `shalt serve` to the first answer (limit 2 s).
"""

import argparse
import os
import re
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from storage.frames import TEXT, frame_of
from tests.client import request, send_and_leave
from tests.relaying import wait_until
from tests.serving import Shalt, running_shalt
from tests.sockets import running_sockets
from tests.upstream import BIG_BYTES, Upstream, running_upstream

UPLOAD_BYTES: Final = 50 * 10**6
ECHOES: Final = 5000
HANDSHAKE: Final = (
    b"GET /v1/raw HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


def resident_bytes(pid: int) -> int:
    """Memory of a process that is in use now."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found
    return int(found[1]) * 1024


def growth(shalt: Shalt, work: Callable[[], None]) -> float:
    """Do some work; return by how many MB the worker grew at most meanwhile."""
    worker = shalt.child("shalt.worker")
    before = most = resident_bytes(worker)
    done = threading.Event()

    def look() -> None:
        nonlocal most
        while not done.wait(0.005):
            most = max(most, resident_bytes(worker))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        work()
    finally:
        done.set()
        looking.join()
    return (most - before) / 1e6


def download(port: int) -> None:
    """Read the large answer, after a second of reading nothing."""
    with send_and_leave(port, "/v1/big") as client:
        time.sleep(1)
        received = 0
        while received < BIG_BYTES:
            received += len(client.recv(2**20))


def upload(port: int, *, chunked: bool) -> None:
    """Send the large request."""
    framing = "transfer-encoding: chunked" if chunked else f"content-length: {UPLOAD_BYTES}"
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(f"POST /v1/upload HTTP/1.1\r\nhost: x\r\n{framing}\r\n\r\n".encode())
        piece = os.urandom(100_000)
        framed = b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece
        for _ in range(UPLOAD_BYTES // len(piece)):
            client.sendall(framed)
        if chunked:
            client.sendall(b"0\r\n\r\n")
        assert str(UPLOAD_BYTES).encode() in client.recv(65536)


def cancelling(shalt: Shalt, upstream: Upstream, path: str) -> float:
    """Leave in the middle of a call; return after how many ms the upstream saw it."""
    client = send_and_leave(shalt.port, f"/v1/{path}")
    heads = len(upstream.heads)
    time.sleep(0.15)
    lost = len(upstream.lost)
    left = time.perf_counter()
    client.close()
    while len(upstream.lost) == lost:
        time.sleep(0.0002)
        assert time.perf_counter() - left < 5, heads
    return (time.perf_counter() - left) * 1e3


def echoing(ports: tuple[int, int]) -> list[float]:
    """Send messages to two ports in turn; return the median round trip of each, in ms."""
    message = frame_of(TEXT, bytes(300), masked=True, key=b"abcd")
    clients = [socket.create_connection(("127.0.0.1", port)) for port in ports]
    times: list[list[float]] = [[], []]
    for client in clients:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.sendall(HANDSHAKE)
        answer = b""
        while not answer.endswith(b"early"):
            answer += client.recv(65536)
    for _ in range(ECHOES):
        for client, taken in zip(clients, times, strict=True):
            began = time.perf_counter()
            client.sendall(message)
            left = len(message)
            while left:
                left -= len(client.recv(left))
            taken.append((time.perf_counter() - began) * 1e3)
    for client in clients:
        client.close()
    return [sorted(taken)[ECHOES // 2] for taken in times]


def main() -> None:
    """Measure and print, each figure beside its limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder, running_upstream() as upstream:
        url = f"{upstream.url}/v1"
        starts = []
        for number in range(3):
            began = time.perf_counter()
            with running_shalt(Path(folder, f"start-{number}"), url) as shalt:
                request(shalt.port, "/v1/plain")
                starts.append(time.perf_counter() - began)
        print(f"first answer           {max(starts):8.2f} s   limit 2 s (worst of 3)")
        with running_shalt(Path(folder, "data"), url) as shalt:
            for _ in range(200):
                request(shalt.port, "/v1/plain")
            for name, work in (
                ("300 MiB, slow reader", lambda: download(shalt.port)),
                ("50 MB upload", lambda: upload(shalt.port, chunked=False)),
                ("50 MB upload, chunked", lambda: upload(shalt.port, chunked=True)),
            ):
                print(f"{name:22} {growth(shalt, work):8.1f} MB  limit 10 MB")
            for path in ("slow", "hang"):
                times = sorted(cancelling(shalt, upstream, path) for _ in range(rounds))
                name = "left mid-stream" if path == "slow" else "left before the answer"
                print(f"{name:22} {times[-1]:8.1f} ms  limit 50 ms (worst of {rounds})")
            wait_until(shalt.settled)
    with tempfile.TemporaryDirectory() as folder, running_sockets() as sockets:
        url = f"http://127.0.0.1:{sockets.raw_port}/v1"
        with running_shalt(Path(folder, "data"), url) as shalt:
            through, directly = echoing((shalt.port, sockets.raw_port))
            print(f"WebSocket, added p50   {through - directly:8.3f} ms  limit 0.5 ms", end=" ")
            print(f"({through:.3f} through, {directly:.3f} directly)")
            wait_until(shalt.settled)


if __name__ == "__main__":
    main()
