"""Monitors over a PostgreSQL store: evaluated by real processes, hour after hour."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shalt.monitors import Monitor
from shalt.settings import Settings
from shalt.watch_commands import watch_once
from tests.monitored import captured, filled
from tests.postgres import fresh_url


@pytest.fixture(params=["postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with fresh_url(request, tmp_path) as made:
        yield made


def test_a_monitor_over_postgresql_finds_what_changed(
    url: str, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    now = datetime.now(UTC)
    reference = f"{(now - timedelta(hours=48)).isoformat()}..{(now - timedelta(1)).isoformat()}"
    monitor = Monitor(reference=reference, windows=("1h", "1d"))
    settings = Settings(data_dir=tmp_path, store=url, monitors={"live": monitor})
    old = [captured(number, 2023, hours_ago=30) for number in range(250)]
    new = [captured(1000 + number, 2024, hours_ago=6) for number in range(250)]
    with filled(settings, old + new):
        assert watch_once(settings, as_json=True) == 3
    said = [json.loads(line) for line in capsysbinary.readouterr().out.splitlines()]
    assert [(each["window"], each["verdict"]) for each in said] == [
        ("1h", "insufficient"),
        ("1d", "drift"),
    ]
    assert "prompt_years" in said[1]["why"]
    assert said[1]["report"]
