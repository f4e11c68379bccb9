"""Ports on loopback that stay what a test takes them for, whatever else runs at the same time."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

# Who asks for any port, or connects, is given one from 32,768 on (Linux, ip_local_port_range): one
# below that stays free between our look at it and its use by a process that is told it.
LOWEST_PORT, PORT_COUNT = 12_000, 20_000
APART = 211  # ports between those of two processes of the tests, which have neighbouring ids
TRIES_MAX = 100

_numbers = count()


@contextmanager
def refusing_port() -> Iterator[int]:
    """Yield a port that refuses connections: it is taken, and nobody listens there."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        yield deaf.getsockname()[1]


def free_port() -> int:
    """Find a port for a program that has to be told one; another one at each call."""
    for _ in range(TRIES_MAX):
        port = LOWEST_PORT + (os.getpid() * APART + next(_numbers)) % PORT_COUNT
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue
    raise AssertionError(f"{TRIES_MAX} ports were taken, one after the other")
