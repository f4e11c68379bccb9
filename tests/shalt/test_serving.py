"""What is said when shalt serves, and `shalt config`."""

import json

import pytest

from shalt import serving
from shalt.settings import Settings, Upstream, load


def test_announce_names_every_upstream_and_no_password(
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    upstreams = {
        "openai": Upstream(base_url="https://api.openai.com/v1", default=True),
        "vllm": Upstream(base_url="http://127.0.0.1:8000/v1"),
    }
    settings = Settings(upstreams=upstreams, store="postgresql://me:geheim@db/shalt")
    serving.announce(settings, "http://127.0.0.1:8400")
    text = capsysbinary.readouterr().out.decode()
    assert 'OpenAI(base_url="http://127.0.0.1:8400/v1")' in text
    assert "http://127.0.0.1:8400/u/vllm" in text
    assert "geheim" not in text


def test_config_shows_value_source_and_meaning(
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    serving.show_settings(load(port=8500), as_json=False)
    lines = capsysbinary.readouterr().out.decode().splitlines()
    rows = dict(line.split("\t", 1) for line in lines)
    assert rows["port"].startswith("8500\t--port\tTCP port")


def test_config_as_json_has_one_object_a_setting(
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    serving.show_settings(load(), as_json=True)
    rows = [json.loads(line) for line in capsysbinary.readouterr().out.splitlines()]
    assert {"name", "value", "source", "meaning"} == set(rows[0])
    assert len(rows) > 20
