"""Tests of shalt.supervisor: the whole of it, as a user starts it."""

import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client import Answer, request, send_and_leave
from tests.relaying import wait_until
from tests.serving import Shalt, run_shalt, running_shalt
from tests.upstream import Upstream, running_upstream


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with running_upstream() as seen:
        yield seen


@pytest.fixture
def shalt(upstream: Upstream, tmp_path: Path) -> Iterator[Shalt]:
    with running_shalt(tmp_path / "data", f"{upstream.url}/v1") as running:
        yield running


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shalt]:
    """One for tests that leave it as they found it; what it counts goes on."""
    folder = tmp_path_factory.mktemp("lasting")
    with running_upstream() as upstream, running_shalt(folder / "data", upstream.url) as running:
        yield running


def test_a_call_is_answered_and_stored_and_all_ends_well(shalt: Shalt) -> None:
    body = b'{"model": "m", "messages": [{"role": "user", "content": "hello"}]}'
    answer = request(shalt.port, "/v1/plain", body)
    assert answer.status == 200
    wait_until(lambda: shalt.status()["stored"] == 1)
    assert shalt.stop() == 0
    assert shalt.rows("select id from call") == [(answer.header("x-shalt-call-id"),)]
    assert list((shalt.data_dir / "spool").iterdir()) == []


@pytest.mark.parametrize("module", ["shalt.worker", "shalt.recording", "shalt.console"])
def test_a_child_that_dies_is_started_again_and_counted(lasting: Shalt, module: str) -> None:
    shalt = lasting
    killed = shalt.kill(module)
    wait_until(lambda: shalt.child(module) not in (0, killed))
    check_a_call_is_stored(shalt)
    process = {"recording": "recorder"}.get(module[6:], module[6:])
    expected = f'shalt_supervisor_restarts_total{{process="{process}"}} 1.0'
    assert expected in shalt.get("/metrics").decode()


def check_a_call_is_stored(shalt: Shalt) -> None:
    """Make a call, and wait until it is stored."""
    answer = request(shalt.port, "/v1/plain")
    assert answer.status == 200
    call = f"select 1 from call where id = '{answer.header('x-shalt-call-id')}'"
    wait_until(lambda: shalt.rows(call))


def test_calls_in_flight_may_end_after_sigterm(shalt: Shalt, upstream: Upstream) -> None:
    answers: list[Answer] = []
    caller = threading.Thread(
        target=lambda: answers.append(request(shalt.port, "/v1/chunked", b"{}"))
    )
    caller.start()
    wait_until(lambda: upstream.heads)
    shalt.process.send_signal(signal.SIGTERM)
    caller.join()
    assert (answers[0].body, answers[0].whole) == (b"hello world", True)
    assert shalt.process.wait(60) == 0
    assert shalt.rows("select outcome from call") == [("complete",)]


def test_a_signal_that_is_sent_several_times_at_once_cuts_no_call(
    shalt: Shalt, upstream: Upstream
) -> None:
    answers: list[Answer] = []
    caller = threading.Thread(
        target=lambda: answers.append(request(shalt.port, "/v1/chunked", b"{}"))
    )
    caller.start()
    wait_until(lambda: upstream.heads)
    until = time.monotonic() + 0.2
    while time.monotonic() < until and shalt.process.poll() is None:
        shalt.process.send_signal(signal.SIGTERM)
    caller.join()
    assert answers[0].whole
    assert shalt.process.wait(60) == 0


def test_a_killed_supervisor_leaves_no_process_behind(shalt: Shalt) -> None:
    modules = ("shalt.worker", "shalt.recording", "shalt.console")
    children = [shalt.child(module) for module in modules]
    shalt.process.kill()
    shalt.process.wait()
    wait_until(lambda: not any(Path(f"/proc/{child}").exists() for child in children))


def test_several_workers_share_the_port_and_the_metrics(upstream: Upstream, tmp_path: Path) -> None:
    with running_shalt(tmp_path / "data", f"{upstream.url}/v1", "--workers", "2") as shalt:
        wait_until(lambda: len(shalt.children("shalt.worker")) == 2)
        for _ in range(40):
            assert request(shalt.port, "/v1/plain").status == 200
        wait_until(lambda: shalt.status()["stored"] == 40)
        expected = (
            'shalt_proxy_calls_total{endpoint="other",outcome="complete",upstream="openai"} 40.0'
        )
        wait_until(lambda: expected in shalt.get("/metrics").decode())


def test_the_watcher_starts_with_the_first_monitor_and_is_kept_alive(shalt: Shalt) -> None:
    assert shalt.child("shalt.watching") == 0
    body = b'{"name": "m", "reference": "absent", "windows": ["1h"]}'
    json_type = {"content-type": "application/json"}
    assert request(shalt.port, "/api/monitors", body, headers=json_type).status == 201
    failed = 'failures_total{monitor="m",reason="reference",window="1h"} 1.0'
    wait_until(lambda: failed in shalt.get("/metrics").decode(), 100)
    killed = shalt.kill("shalt.watching")
    wait_until(lambda: shalt.child("shalt.watching") not in (0, killed))
    assert request(shalt.port, "/api/monitors/m", b"", "DELETE").status == 200
    assert 'monitor="m"' not in shalt.get("/metrics").decode()
    assert shalt.stop() == 0


def test_a_dead_recorder_costs_no_call(shalt: Shalt) -> None:
    for _ in range(3):
        shalt.kill("shalt.recording")
        assert request(shalt.port, "/v1/plain").status == 200
    wait_until(shalt.settled)
    assert shalt.status()["stored"] == 3


def test_a_client_waiting_for_nothing_holds_nothing_up(lasting: Shalt) -> None:
    with send_and_leave(lasting.port, "/v1/hang"):
        wait_until(lambda: lasting.status()["in_flight"])
        assert request(lasting.port, "/v1/plain").status == 200


def test_a_port_that_is_taken_is_said_so(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        found = run_shalt("serve", "--port", port, "--data-dir", tmp_path / "data")
    assert found.returncode == 2
    assert f"cannot listen on 127.0.0.1 port {port}" in found.stderr
    assert "Traceback" not in found.stderr


def test_nothing_of_the_console_can_be_reached_by_another_name(lasting: Shalt) -> None:
    for host, status in (("evil.example", 421), ("localhost:1", 200), ("127.0.0.1", 200)):
        assert request(lasting.port, "/api/status", b"", "GET", {"host": host}).status == status


def test_the_ledger_is_served_as_json(lasting: Shalt) -> None:
    wait_until(lasting.settled)
    before = lasting.status()
    request(lasting.port, "/v1/plain", headers={"x-shalt-record": "none"})
    wait_until(lambda: lasting.status()["opted_out"] == before["opted_out"] + 1)
    ledger = json.loads(lasting.get("/api/status"))
    found = ledger["accepted"], ledger["stored"], ledger["backlog"]
    assert found == (before["accepted"] + 1, before["stored"], 0)


def test_sigterm_in_the_first_moment_loses_nothing(upstream: Upstream, tmp_path: Path) -> None:
    with running_shalt(tmp_path / "data", f"{upstream.url}/v1") as shalt:
        assert request(shalt.port, "/v1/plain").status == 200
        shalt.kill("shalt.recording")
        assert shalt.stop() == 0  # the recorder is started once more, and told at once to end
        assert shalt.rows("select count(*) from call") == [(1,)]


def test_a_store_there_is_no_code_for_is_said_so_at_once(tmp_path: Path) -> None:
    variables = {"SHALT_STORE": "mysql://me:secret@db/shalt"}
    found = run_shalt("serve", "--port", "0", folder=tmp_path, variables=variables)
    assert found.returncode == 2
    assert "must name a SQLite file" in found.stderr
    assert "secret" not in found.stderr


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_an_authority_that_cannot_be_read_is_said_so_at_once(
    tmp_path: Path, content: str | None
) -> None:
    (tmp_path / "shalt.toml").write_text('[upstreams.openai]\nca_file = "authority.pem"\n')
    if content is not None:
        (tmp_path / "authority.pem").write_text(content)
    found = run_shalt("serve", "--port", "0", folder=tmp_path)
    assert found.returncode == 2
    assert "upstreams.openai.ca_file: authority.pem cannot be used" in found.stderr


def test_a_held_key_that_is_not_there_is_said_so_at_once(tmp_path: Path) -> None:
    (tmp_path / "shalt.toml").write_text('[upstreams.openai]\nkey = "env:NOT_SET_42"\n')
    found = run_shalt("serve", "--port", "0", folder=tmp_path)
    assert found.returncode == 2
    assert "upstreams.openai: key is 'env:NOT_SET_42', but the variable is not" in found.stderr
