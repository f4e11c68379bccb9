"""An upstream over TLS: its certificate is checked, against our own authority if we name one."""

import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.client import request
from tests.relaying import wait_until
from tests.serving import running_shalt
from tests.sockets import POURED_MESSAGES, running_sockets
from tests.upstream import EVENTS, Upstream, running_upstream

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is missing")


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1 that is its own authority; its key lies beside it."""
    path = tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-out", str(path), "-keyout", str(path.with_suffix(".key"))]
    subprocess.run(command, check=True, capture_output=True)
    return path


@pytest.fixture
def context(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    return context


@pytest.fixture
def upstream(context: ssl.SSLContext) -> Iterator[Upstream]:
    with running_upstream(context) as seen:
        yield seen


def configure(tmp_path: Path, upstream: Upstream, more: str = "") -> Path:
    config = tmp_path / "shalt.toml"
    config.write_text(f'[upstreams.own]\nbase_url = "{upstream.url}/v1"\n{more}')
    return config


def test_calls_pass_over_tls_on_connections_used_again(
    upstream: Upstream, certificate: Path, tmp_path: Path
) -> None:
    config = configure(tmp_path, upstream, f'ca_file = "{certificate}"\n')
    with running_shalt(tmp_path / "data", "", "--config", str(config)) as shalt:
        for _ in range(5):
            assert request(shalt.port, "/v1/stream").body == b"".join(EVENTS)
        assert request(shalt.port, "/v1/cut").whole is False
        wait_until(lambda: shalt.status()["stored"] == 6)
    assert upstream.connection_count == 1


def test_a_certificate_nobody_vouches_for_is_refused(upstream: Upstream, tmp_path: Path) -> None:
    config = configure(tmp_path, upstream)
    with running_shalt(tmp_path / "data", "", "--config", str(config)) as shalt:
        answer = request(shalt.port, "/v1/plain")
    assert (answer.status, answer.header("x-shalt-error")) == (502, "upstream_unreachable")
    assert upstream.heads == []


def test_websockets_pass_over_tls(
    certificate: Path, context: ssl.SSLContext, tmp_path: Path
) -> None:
    with running_sockets(tls=context) as sockets:
        config = tmp_path / "shalt.toml"
        url = f"https://127.0.0.1:{sockets.port}/v1"
        config.write_text(f'[upstreams.own]\nbase_url = "{url}"\nca_file = "{certificate}"\n')
        with running_shalt(tmp_path / "data", "", "--config", str(config)) as shalt:
            address = f"ws://127.0.0.1:{shalt.port}/v1"
            with connect(f"{address}/realtime", legacy=True, max_size=None) as client:
                client.recv()
                client.send("m" * 1_000_000)
                assert client.recv() == "m" * 1_000_000
            with connect(f"{address}/pour", legacy=True) as client:
                assert len(list(client)) == POURED_MESSAGES
            with connect(f"{address}/leave", legacy=True) as client:
                assert client.recv() == "bye"
                with pytest.raises(ConnectionClosed, match="4321"):
                    client.recv()
            with connect(f"{address}/silent", legacy=True) as client:
                client.socket.close()
            wait_until(lambda: len(sockets.closed) == 4)
            wait_until(lambda: shalt.status()["stored"] == 4)
            outcomes = shalt.rows("SELECT outcome FROM call ORDER BY id")
    assert sockets.closed == [1000, 1000, 4321, 1006]
    assert [row[0] for row in outcomes] == ["complete"] * 3 + ["client_gone"]
