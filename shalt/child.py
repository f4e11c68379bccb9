"""What every child process of the supervisor begins with.

A child gets one end of a pipe. The first line in it is its orders as JSON: the settings, and where
things are. The supervisor never writes again; when the pipe ends, the supervisor is gone, and the
child leaves as if it had been told to. So nothing secret stands on a command line, no settings are
read twice, and no child outlives its parent.
"""

import logging
import os
import signal
import threading
from pathlib import Path

from pydantic import BaseModel

from shalt.metrics import reserve_metric_files
from shalt.places import Places
from shalt.settings import Settings

# Tells a worker, or a recorder, that another one takes its place.
RETIRE_SIGNAL = signal.SIGUSR1
_ORDERS_BYTES_MAX = 4 * 2**20


class Orders(BaseModel):
    """What a child is told: the settings, the Unix socket of the console, the socket to serve.

    `worker` numbers the workers from 0, twice as many as there are: those of two generations. Who
    serves says on `ready_fd` that it does.
    """

    settings: Settings
    console_socket: Path
    listen_fd: int | None = None
    worker: int = 0
    ready_fd: int | None = None


def receive_orders(pipe: int, name: str) -> Orders:
    """Read the orders from the pipe, set up logging, and leave when the supervisor does."""
    line = b""
    while not line.endswith(b"\n") and len(line) < _ORDERS_BYTES_MAX:
        piece = os.read(pipe, 65536)
        if not piece:
            raise SystemExit("the supervisor went away before it had given orders")
        line += piece
    orders = Orders.model_validate_json(line)
    set_up_process(orders.settings, name)
    reserve_metric_files(Places(orders.settings.data_dir).metrics)
    threading.Thread(target=_leave_with_supervisor, args=(pipe,), daemon=True).start()
    return orders


def say_ready(orders: Orders) -> None:
    """Tell the supervisor that this child serves."""
    if orders.ready_fd is not None:
        os.write(orders.ready_fd, b"\n")
        os.close(orders.ready_fd)


def set_up_process(settings: Settings, name: str) -> None:
    """Log to standard error, one line an event: time, level, process, what happened.

    And make files that this user alone can read: they hold what was said to models.
    """
    os.umask(0o077)
    logging.basicConfig(
        level=settings.log_level.upper(),
        format=f"%(asctime)s %(levelname)s {name}[%(process)d] %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S%z",
    )
    # What uvicorn would say of a broken-off answer is said by the call's outcome.
    for noisy in ("uvicorn.error", "uvicorn.access", "asyncio", "httpx2", "alembic"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)


def listen_to_signals() -> None:
    """Take SIGTERM from here on: one that came earlier comes now.

    A child starts with the signal blocked, or one that arrives while it is still importing would
    kill it with its work undone.
    """
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, RETIRE_SIGNAL))


def _leave_with_supervisor(pipe: int) -> None:
    while os.read(pipe, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
