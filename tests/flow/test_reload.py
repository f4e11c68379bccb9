"""A new configuration under load: no call is dropped, each is one row, no count starts anew."""

import http.client
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.client import request
from tests.relaying import wait_until
from tests.serving import run_shalt, running_shalt
from tests.sockets import GREETING, running_sockets
from tests.upstream import Upstream, running_upstream

CALLERS = 6
PAUSE_SECONDS = 0.02  # the load is to be constant, not heavy
RELOADS = 2  # one that brings a rule, one that takes it away
RATE = 12  # calls a minute of a key


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with running_upstream() as seen:
        yield seen


def write(config: Path, upstream: Upstream, more: str = "", workers: int = 1) -> None:
    openai = f'[upstreams.openai]\nbase_url = "{upstream.url}/v1"\ndefault = true\n'
    config.write_text(f"workers = {workers}\nshutdown_seconds = 1\n{openai}{more}")


class Load:
    """Callers that keep their connections and never pause, and what they got."""

    def __init__(self, port: int) -> None:
        self.answered: list[str] = []
        self.failed: list[str] = []
        self._port = port
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._call, args=(number,)) for number in range(CALLERS)
        ]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _call(self, number: int) -> None:
        path, expected = [
            ("/v1/plain", b'{"object": "plain"}'),
            ("/v1/stream", b"[DONE]\n\n"),
            ("/v1/chunked", b"hello world"),
        ][number % 3]
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        while not self._over.wait(PAUSE_SECONDS):
            try:
                connection.request("POST", path, b'{"user": "%d"}' % number)
                answer = connection.getresponse()
                body = answer.read()
                assert body.endswith(expected), body
                assert answer.status == 200
                self.answered.append(answer.headers["x-shalt-call-id"])
            except (OSError, http.client.HTTPException, AssertionError) as error:
                self.failed.append(f"{path}: {error!r}")
                connection.close()
        connection.close()


def test_calls_streams_and_sockets_outlive_reloads(upstream: Upstream, tmp_path: Path) -> None:
    config = tmp_path / "shalt.toml"
    write(config, upstream, workers=2)
    with (
        running_sockets() as sockets,
        ExitStack() as stack,
        running_shalt(tmp_path / "data", "") as shalt,
    ):
        url = f"http://127.0.0.1:{sockets.port}/v1"
        slow = http.client.HTTPConnection("127.0.0.1", shalt.port, timeout=60)
        slow.request("POST", "/v1/slow", b"{}")
        stream = slow.getresponse()
        with Load(shalt.port) as load:
            for number in range(RELOADS):
                before = shalt.children("shalt.worker")
                rule = "" if number % 2 else "[redaction.email]\n"
                more = f'[upstreams.sockets]\nbase_url = "{url}"\n{rule}'
                write(config, upstream, more, workers=2)
                said = shalt.run("reload")
                assert (said.returncode, said.stderr) == (0, "")
                assert said.stdout.startswith("taken")
                assert len(set(shalt.children("shalt.worker")) - set(before)) == 2
                if number == 0:
                    there = f"ws://127.0.0.1:{shalt.port}/u/sockets/realtime"
                    socket = stack.enter_context(connect(there))
                    assert socket.recv(timeout=60) == GREETING
            assert stream.read(10), "it goes on in the worker that has been replaced"
            socket.send("still there?")
            assert "still there?" in str(socket.recv(timeout=60))
            count = len(load.answered)
            wait_until(lambda: len(load.answered) > count + 20)
        socket.close()
        slow.close()
        stream.close()
        assert load.failed == []
        assert len(set(load.answered)) == len(load.answered) > RELOADS * CALLERS
        wait_until(shalt.settled)
        accepted = len(load.answered) + 2
        assert shalt.status()["accepted"] == shalt.status()["stored"] == accepted
        rows = {row for (row,) in shalt.rows("select id from call")}
        assert set(load.answered) < rows

        def counted() -> float:
            lines = shalt.get("/metrics").decode().splitlines()
            calls = [line for line in lines if line.startswith("shalt_proxy_calls_total")]
            return sum(float(line.split()[-1]) for line in calls)

        wait_until(lambda: counted() == accepted)
        wait_until(lambda: len(shalt.children("shalt.worker")) == 2)
        assert shalt.stop() == 0


def test_a_wrong_configuration_changes_nothing_and_says_why(
    upstream: Upstream, tmp_path: Path
) -> None:
    config = tmp_path / "shalt.toml"
    write(config, upstream)
    with running_shalt(tmp_path / "data", "") as shalt:
        before = set(shalt.children("shalt.worker"))
        for wrong, message in (
            ("[redaction.mine]\npattern = '('\n", "pattern is none of RE2"),
            ('ca_file = "/nowhere"\n', "ca_file: /nowhere cannot be used"),
            ('proxy_ca_file = "/nowhere"\n', "proxy_ca_file: /nowhere cannot be used"),
            ('proxy = "socks4://h:1"\n', "no other way to speak to a proxy"),
            ("colour = 3\n", "is not a setting"),
            ("", "workers cannot change while shalt runs"),
        ):
            write(config, upstream, wrong)
            if not wrong:
                config.write_text(config.read_text().replace("workers = 1", "workers = 3"))
            said = shalt.run("reload")
            assert said.returncode == 1
            assert message in said.stdout
        assert set(shalt.children("shalt.worker")) == before
        assert request(shalt.port, "/v1/plain").status == 200


def test_a_reload_takes_a_new_upstream_and_counts_go_on(upstream: Upstream, tmp_path: Path) -> None:
    config = tmp_path / "shalt.toml"
    write(config, upstream)
    config.write_text("access_keys = true\n" + config.read_text())
    make = ("keys", "create", "ana", "--console", "--rate", str(RATE), "--data-dir")
    made = run_shalt(*make, tmp_path / "data")
    key = {"x-shalt-key": made.stdout.strip(), "x-shalt-record": "none"}
    with running_shalt(tmp_path / "data", "") as shalt:
        began = time.monotonic()
        codes = [request(shalt.port, "/v1/plain", headers=key).status for _ in range(RATE // 2)]
        assert request(shalt.port, "/u/other/plain", headers=key).status == 404
        openai = config.read_text()
        config.write_text(f'{openai}[upstreams.other]\nbase_url = "{upstream.url}/v1"\n')
        shalt.process.send_signal(signal.SIGHUP)
        workers = shalt.children("shalt.worker")
        wait_until(lambda: not set(workers) & set(shalt.children("shalt.worker")), 60)
        codes += [request(shalt.port, "/u/other/plain", headers=key).status for _ in range(RATE)]
        passed = codes.count(200)
        forgotten = RATE * (time.monotonic() - began) / 60  # calls that are a minute ago, or nearly
        assert RATE - 1 <= passed <= RATE + 2 + forgotten
        status = request(shalt.port, "/api/status", b"", "GET", key).json()
        assert status["opted_out"] == status["accepted"] == passed + 1
        metrics = request(shalt.port, "/metrics", b"", "GET", key).body.decode()
        refused = f'shalt_proxy_refused_total{{reason="rate_limited"}} {codes.count(429)}.0'
        assert refused in metrics


def test_sigterm_in_the_middle_of_a_reload_ends_the_old_workers_too(
    upstream: Upstream, tmp_path: Path
) -> None:
    config = tmp_path / "shalt.toml"
    write(config, upstream)
    with running_shalt(tmp_path / "data", "") as shalt:
        slow = http.client.HTTPConnection("127.0.0.1", shalt.port, timeout=60)
        slow.request("POST", "/v1/slow", b"{}")
        stream = slow.getresponse()
        assert shalt.run("reload").returncode == 0
        assert stream.read(5)
        assert shalt.stop() == 0
        stream.close()
        slow.close()
        assert shalt.rows("select outcome from call") == [("interrupted",)]


def test_a_reload_of_nothing_says_so(tmp_path: Path) -> None:
    said = run_shalt("reload", "--data-dir", tmp_path)
    assert said.returncode != 0
    assert "no shalt serves on" in said.stdout + said.stderr
