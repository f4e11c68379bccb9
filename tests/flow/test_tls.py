"""An upstream over TLS: its certificate is checked, against our own authority if we name one."""

import shutil
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.client import request
from tests.relaying import wait_until
from tests.serving import Shalt, running_shalt
from tests.sockets import POURED_MESSAGES, SocketUpstream, running_sockets
from tests.upstream import EVENTS, Upstream, running_upstream

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is missing")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that is its own authority; its key lies beside it."""
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-out", str(path), "-keyout", str(path.with_suffix(".key"))]
    subprocess.run(command, check=True, capture_output=True)
    return path


@dataclass(frozen=True)
class Site:
    """A shalt and its upstreams over TLS: of two whose authority it knows, and of a stranger."""

    shalt: Shalt
    known: Upstream
    stranger: Upstream
    sockets: SocketUpstream


@pytest.fixture(scope="module")
def site(certificate: Path) -> Iterator[Site]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    with (
        running_upstream(context) as known,
        running_upstream(context) as stranger,
        running_sockets(tls=context) as sockets,
    ):
        trusted = f'ca_file = "{certificate}"\n'
        url = f"https://127.0.0.1:{sockets.port}"
        config = certificate.with_name("shalt.toml")
        config.write_text(
            f'[upstreams.known]\nbase_url = "{known.url}/v1"\n{trusted}default = true\n'
            f'[upstreams.stranger]\nbase_url = "{stranger.url}/v1"\n'
            f'[upstreams.sockets]\nbase_url = "{url}/v1"\n{trusted}'
        )
        with running_shalt(certificate.parent / "data", "", "--config", str(config)) as shalt:
            yield Site(shalt, known, stranger, sockets)


def stored(shalt: Shalt, upstream: str) -> list[object]:
    """The outcomes of an upstream's calls that are stored."""
    sql = f"SELECT outcome FROM call WHERE upstream = '{upstream}' ORDER BY id"
    return [outcome for (outcome,) in shalt.rows(sql)]


def test_calls_pass_over_tls_on_connections_used_again(site: Site) -> None:
    for _ in range(5):
        assert request(site.shalt.port, "/v1/stream").body == b"".join(EVENTS)
    assert request(site.shalt.port, "/v1/cut").whole is False
    wait_until(lambda: len(stored(site.shalt, "known")) == 6)
    assert site.known.connection_count == 1


def test_a_certificate_nobody_vouches_for_is_refused(site: Site) -> None:
    answer = request(site.shalt.port, "/u/stranger/plain")
    assert (answer.status, answer.header("x-shalt-error")) == (502, "upstream_unreachable")
    assert site.stranger.heads == []


def test_websockets_pass_over_tls(site: Site) -> None:
    address = f"ws://127.0.0.1:{site.shalt.port}/u/sockets"
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
    wait_until(lambda: len(site.sockets.closed) == 4)
    assert site.sockets.closed == [1000, 1000, 4321, 1006]
    wait_until(lambda: len(stored(site.shalt, "sockets")) == 4)
    assert stored(site.shalt, "sockets") == ["complete"] * 3 + ["client_gone"]
