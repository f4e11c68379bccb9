"""What open calls hold is bounded by bytes, whatever they do; each call has its answer."""

import http.client
from pathlib import Path

from tests.relaying import wait_until
from tests.serving import running_shalt
from tests.upstream import running_upstream

CALLS = 200
BODY = b"x" * 1_000_000  # just below what a call may hold before it is spooled
HELD_MIB = 16
# The interpreter and its modules, the limit, and what comes beyond it between two looks, which on a
# busy machine are far apart; 200 calls hold 200 MB and more without a limit.
MEMORY_MIB_MAX = 80 + HELD_MIB + 80


def memory_mib(process: int) -> float:
    """The memory that is a process's own."""
    for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
        if line.startswith("Private_Dirty:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("the kernel does not say")


def test_open_calls_hold_no_more_than_they_may(tmp_path: Path) -> None:
    (tmp_path / "shalt.toml").write_text(
        f'held_bytes_max = "{HELD_MIB} MiB"\nshutdown_seconds = 1\n'
    )
    with (
        running_upstream() as upstream,
        running_shalt(tmp_path / "data", f"{upstream.url}/v1") as shalt,
    ):
        worker = wait_until(lambda: shalt.child("shalt.worker"))
        clients = []
        for _ in range(CALLS):
            client = http.client.HTTPConnection("127.0.0.1", shalt.port, timeout=60)
            client.request("POST", "/v1/hang", BODY)
            clients.append(client)
            wait_until(lambda: len(upstream.heads) == len(clients), 60)
        wait_until(lambda: memory_mib(worker) < MEMORY_MIB_MAX, 60)
        assert shalt.status()["in_flight"] == CALLS
        for client in clients:
            client.close()
        wait_until(shalt.settled, 60)
        assert shalt.rows("select outcome, count(*) from call group by 1") == [
            ("client_gone", CALLS)
        ]
