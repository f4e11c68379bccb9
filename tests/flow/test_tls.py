"""An upstream over TLS: its certificate is checked, against our own authority if we name one."""

import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client import request
from tests.relaying import wait_until
from tests.serving import running_shalt
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
def upstream(certificate: Path) -> Iterator[Upstream]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
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
