"""WebSockets through the whole of shalt: a worker that is killed, and one that is stopped."""

from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.client import request
from tests.relaying import wait_until
from tests.serving import running_shalt
from tests.sockets import running_sockets

EVENT = '{"type": "input_audio_buffer.append", "audio": "AAAA"}'


def test_a_killed_worker_leaves_the_socket_as_far_as_it_came(tmp_path: Path) -> None:
    with (
        running_sockets() as upstream,
        running_shalt(tmp_path / "data", f"http://127.0.0.1:{upstream.port}/v1") as shalt,
        connect(f"ws://127.0.0.1:{shalt.port}/v1/realtime?model=m", legacy=True) as client,
    ):
        for _ in range(3):
            client.recv()
            client.send(EVENT)
        folder = shalt.data_dir / "spool"
        wait_until(lambda: any(b"AAAA" in path.read_bytes() for path in folder.rglob("*.segment")))
        shalt.kill("shalt.worker")
        with pytest.raises(ConnectionClosed):
            [client.recv() for _ in range(9)]
        wait_until(lambda: shalt.status()["stored"] == 1)
        row = shalt.rows("SELECT outcome, endpoint, request_model, status_code FROM call")[0]
        assert row == ("interrupted", "realtime", "m", 101)
        assert request(shalt.port, "/v1/nowhere", method="GET").status > 0  # the next worker


def test_a_stopped_shalt_says_goodbye_and_stores_the_socket(tmp_path: Path) -> None:
    with (
        running_sockets() as upstream,
        running_shalt(tmp_path / "data", f"http://127.0.0.1:{upstream.port}/v1") as shalt,
        connect(f"ws://127.0.0.1:{shalt.port}/v1/realtime", legacy=True) as client,
    ):
        client.recv()
        assert shalt.stop() == 0
        with pytest.raises(ConnectionClosed, match="1001"):
            client.recv()
        wait_until(lambda: upstream.closed)
        assert upstream.closed == [1001]
        assert shalt.rows("SELECT outcome FROM call") == [("interrupted",)]
