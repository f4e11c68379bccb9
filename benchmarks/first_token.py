"""How much later the first token of a stream comes through shalt than through nginx.

    python -m benchmarks.first_token [--turns 100] [--shared ../shared]

One call at a time, streams of 8 chunks 10 ms apart, proxies on core 0, client and upstream on core
1: IN_A_ROW calls by nginx, as many recorded by shalt, as many that shalt does not record
(`shalt_off`), as many with its recorder stopped, which shares the core here (`shalt_alone`), and
again from the beginning, so that what else the machine does falls on all alike. `first` is the
first call of such a row; the `next` ones are sent as soon as the one before is over, while its
record is being written. Milliseconds at the 10th, 50th and 90th percentile, and what the median is
above nginx's (limit 0.3). Needs gcc, nginx, taskset.
"""

import argparse
import os
import re
import socket
import statistics
import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from benchmarks.gateways import (
    CELLS,
    LIMIT,
    OURS,
    Peer,
    listed,
    recorder_stopped,
    running_mock,
    started,
    written_body,
)
from benchmarks.relay_cost import tree_cpu

IN_A_ROW: Final = 3
CELL: Final = next(cell for cell in CELLS if cell.name == "spaced_c1")
# The upstream writes the time into each chunk that has a token.
_TOKEN: Final = re.compile(rb"@[0-9]{16}")
_END: Final = b"\r\n0\r\n\r\n"


class Client:
    """One connection to a proxy, one call at a time."""

    def __init__(self, peer: Peer, body: bytes) -> None:
        url = urlsplit(peer.address())
        assert url.hostname is not None
        self._socket = socket.create_connection((url.hostname, url.port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        lines = [f"POST {url.path} HTTP/1.1", f"Host: {url.netloc}", *peer.headers]
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}", "", ""]
        self._request = "\r\n".join(lines).encode() + body

    def call(self) -> float:
        """Make a call; return the milliseconds to its first token."""
        began = time.perf_counter()
        self._socket.sendall(self._request)
        answer, token_ms = b"", 0.0
        while not answer.endswith(_END):
            piece = self._socket.recv(65536)
            assert piece, "the proxy closed the connection"
            answer += piece
            if not token_ms and _TOKEN.search(answer):
                token_ms = (time.perf_counter() - began) * 1e3
        assert token_ms, "no token in an answer"
        return token_ms


def main() -> None:
    """Measure, and print a line for each proxy and kind of call."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=100)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    given = parser.parse_args()
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    with running_mock(given.shared) as (work, bench), ExitStack() as stack:
        body = written_body(work, CELL, "").read_bytes()
        clients: dict[str, Client] = {}
        pid: int | None = None
        for peer in listed((LIMIT, *OURS), bench, work, work):
            pid = stack.enter_context(started(peer, pid, work))
            clients[peer.name] = Client(peer, body)
        assert pid is not None
        processes = list(tree_cpu(pid))
        os.sched_setaffinity(0, {1})
        for _ in range(given.turns):
            for name, client in clients.items():
                with recorder_stopped(processes if name == "shalt_alone" else ()):
                    for number in range(IN_A_ROW):
                        found[name, "next" if number else "first"].append(client.call())
    print(f"{'':18}{'p10':>8}{'p50':>8}{'p90':>8}{'above nginx':>13}")
    for (name, which), times in found.items():
        deciles = statistics.quantiles(times, n=10)
        above = deciles[4] - statistics.median(found[LIMIT, which])
        print(f"{name:12}{which:6}{deciles[0]:8.3f}{deciles[4]:8.3f}{deciles[8]:8.3f}{above:13.3f}")


if __name__ == "__main__":
    main()
