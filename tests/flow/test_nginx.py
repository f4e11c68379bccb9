"""nginx in front of shalt as it comes: HTTP/1.0 towards us, buffering on."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from storage.capture import Outcome
from tests.client import request
from tests.ports import free_port
from tests.relaying import running_relay, upstream_at, wait_until
from tests.upstream import EVENTS, GZIPPED, running_upstream

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is missing")


@contextmanager
def running_nginx(folder: Path, shalt_port: int) -> Iterator[int]:
    """Run an nginx that passes everything to shalt; yield its port."""
    port = free_port()
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log; events {{}}\n"
        f"http {{ access_log off; {temporary}\n"
        f"server {{ listen 127.0.0.1:{port}; client_body_buffer_size 1m;\n"
        f"location / {{ proxy_pass http://127.0.0.1:{shalt_port}; }} }} }}\n"
    )
    assert NGINX is not None
    command = [NGINX, "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(config)]
    with subprocess.Popen(command) as process:
        try:
            wait_until(lambda: _listens(port))
            yield port
        finally:
            process.terminate()


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_answers_of_every_framing_pass_through_nginx_as_it_comes(tmp_path: Path) -> None:
    expected = {
        "plain": b'{"object": "plain"}', "chunked": b"hello world", "stream": b"".join(EVENTS),
        "gzip": GZIPPED, "old": b"old school", "empty": b"", "early": b"final",
    }  # fmt: skip
    with (
        running_upstream() as upstream,
        running_relay(tmp_path / "spool", [upstream_at(upstream.port)]) as relay,
        running_nginx(tmp_path, relay.port) as port,
    ):
        for path, body in expected.items():
            answer = request(port, f"/v1/{path}")
            assert (answer.status, answer.body, answer.whole) == (
                204 if path == "empty" else 200, body, True,
            )  # fmt: skip
        uploaded = request(port, "/v1/upload", b"x" * 300_000)
        assert uploaded.body.startswith(b"300000 ")
        assert request(port, "/v1/cut").whole is False
        calls = relay.calls(len(expected) + 2)
        assert [call.outcome for call in calls[:-1]] == [Outcome.COMPLETE] * (len(calls) - 1)
        assert calls[-1].outcome is Outcome.UPSTREAM_CUT
