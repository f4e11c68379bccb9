"""Tests of shalt.worker: what it makes of the settings. How it serves is tested in flow."""

from pathlib import Path

import pytest

from proxy.protocol import ClientLimits
from shalt.child import Orders
from shalt.settings import load
from shalt.worker import build_recording, build_routes, server_config
from storage.capture import Dialect


def test_upstreams_become_routes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", "sk-held")
    config = tmp_path / "shalt.toml"
    config.write_text(
        '[upstreams.local]\nbase_url = "http://localhost:11434"\ndefault = true\n'
        '[upstreams.claude]\nbase_url = "https://api.anthropic.com/v1"\nkey = "env:A_KEY"\n'
        "connect_seconds = 2\n"
    )
    settings = load(config, data_dir=tmp_path)
    routes = build_routes(Orders(settings=settings, console_socket=tmp_path / "c"))
    claude = routes.find(b"/u/claude/messages")
    assert claude.upstream is not None
    assert claude.path == b"/v1/messages"
    assert claude.upstream.key_header == (b"x-api-key", b"sk-held")
    assert claude.upstream.dialect is Dialect.ANTHROPIC
    assert claude.upstream.connect_seconds == 2
    local = routes.find(b"/v1/chat/completions")
    assert local.upstream is not None
    assert (local.path, local.upstream.host) == (b"/chat/completions", b"localhost:11434")
    assert local.upstream.key_header is None


def test_the_server_adds_no_header_and_knows_every_status(tmp_path: Path) -> None:
    async def nothing(*_: object) -> None: ...

    config = server_config(nothing, 1, ClientLimits(4096, 10, print), lambda _: None)
    assert not config.server_header
    assert not config.date_header


def test_the_spool_is_in_the_data_directory(tmp_path: Path) -> None:
    (tmp_path / "fingerprint.key").write_bytes(b"k" * 32)
    recording = build_recording(load(data_dir=tmp_path))
    assert len(list((tmp_path / "spool").iterdir())) == 1
    recording.close()
