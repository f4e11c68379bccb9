"""Upstreams behind an egress proxy, as a user configures them: real processes, TLS, credentials."""

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from shalt.settings import explain, load
from tests.client import request
from tests.egress import running_egress
from tests.relaying import wait_until
from tests.serving import running_shalt
from tests.upstream import EVENTS, running_upstream

PASSWORD = "egress-canary"
BASIC = b"Basic dXNlcjplZ3Jlc3MtY2FuYXJ5"

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is missing")


def test_calls_leave_by_the_proxy_and_its_credentials_stay(tmp_path: Path) -> None:
    certificate = tmp_path / "certificate.pem"
    key = tmp_path / "certificate.key"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test"]
    command += [
        "-addext",
        "subjectAltName=DNS:api.example,IP:127.0.0.1",
        "-out",
        str(certificate),
        "-keyout",
        str(key),
    ]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    config = tmp_path / "shalt.toml"
    with (
        running_upstream(context) as secure,
        running_upstream() as plain,
        running_egress(secure.port, authorization=BASIC) as tunnels,
        running_egress(plain.port, authorization=BASIC) as forwards,
        running_egress(secure.port, authorization=BASIC, tls=context) as wrapped,
        running_egress(secure.port, login=(b"user", PASSWORD.encode())) as socks,
        running_egress(plain.port) as numbers,
    ):
        through = f'proxy = "http://user:{PASSWORD}@127.0.0.1:'
        config.write_text(
            f'[upstreams.secure]\nbase_url = "https://api.example/v1"\ndefault = true\n'
            f'ca_file = "{certificate}"\n{through}{tunnels.port}"\n'
            f'[upstreams.plain]\nbase_url = "http://api.example:8080/v1"\n'
            f'{through}{forwards.port}"\n'
            f'[upstreams.wrapped]\nbase_url = "https://api.example/v1"\nca_file = "{certificate}"\n'
            f'proxy_ca_file = "{certificate}"\n'
            f'proxy = "https://user:{PASSWORD}@127.0.0.1:{wrapped.port}"\n'
            f'[upstreams.socks]\nbase_url = "https://api.example/v1"\nca_file = "{certificate}"\n'
            f'proxy = "socks5h://user:{PASSWORD}@127.0.0.1:{socks.port}"\n'
            f'[upstreams.numbers]\nbase_url = "http://127.0.0.1:9/v1"\n'
            f'proxy = "socks5://127.0.0.1:{numbers.port}"\n'
            f'[upstreams.refused]\nbase_url = "http://api.example/v1"\n'
            f'proxy = "http://127.0.0.1:{forwards.port}"\n'
        )
        with running_shalt(tmp_path / "data", "", "--config", str(config)) as shalt:
            for _ in range(3):
                assert request(shalt.port, "/v1/stream").body == b"".join(EVENTS)
            for _ in range(2):
                assert request(shalt.port, "/u/plain/echo", b"hello").body.endswith(b"hello")
            for name in ("wrapped", "socks", "numbers"):
                assert request(shalt.port, f"/u/{name}/stream").body == b"".join(EVENTS)
            refused = request(shalt.port, "/u/refused/plain")
            assert refused.status == 502
            assert refused.header("x-shalt-error") == "upstream_unreachable"
            assert b"egress proxy" in refused.body
            assert b"407" in refused.body
            assert refused.header("proxy-authenticate") == ""
            wait_until(lambda: shalt.status()["stored"] == 9)
            assert shalt.stop() == 0
    assert tunnels.targets == [b"CONNECT api.example:443"]  # one, for three calls
    assert wrapped.targets == [b"CONNECT api.example:443"]
    assert socks.targets == [b"SOCKS api.example:443"]
    assert numbers.targets == [b"SOCKS 127.0.0.1:9"]
    assert forwards.targets[0] == b"POST http://api.example:8080/v1/echo"
    assert b"host: api.example:8080\r\n" in plain.heads[0]
    written = b"".join(p.read_bytes() for p in shalt.data_dir.rglob("*") if p.is_file())
    assert PASSWORD.encode() not in written
    assert BASIC[6:] not in written
    shown = {row.name: row.value for row in explain(load(config))}
    assert shown["upstreams.secure.proxy"] == f"http://127.0.0.1:{tunnels.port}"
    assert shown["upstreams.socks.proxy"] == f"socks5h://127.0.0.1:{socks.port}"
    assert PASSWORD not in str(shown)
