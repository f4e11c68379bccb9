"""`shalt query`: answers as a table, JSON and CSV, and Ctrl-C."""

import csv
import json
import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from shalt import querying
from shalt.querying import Form
from shalt.recording import open_store
from shalt.settings import Settings
from tests.relaying import wait_until
from tests.storage.calls import at, recorded

Printed = pytest.CaptureFixture[bytes]
CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = Settings(data_dir=tmp_path_factory.mktemp("query"))
    with closing(open_store(settings)) as store:
        store.upgrade()
        calls = [recorded(n, request_model=f"m{n % 2}", tags={"a": "x, y"}) for n in range(4)]
        store.insert([*calls, recorded(9, project="other")], at(1))
    return settings


def ask(
    settings: Settings, printed: Printed, sql: str, form: Form, *, all_projects: bool = False
) -> str:
    querying.query(settings, sql, where=None, all_projects=all_projects, form=form)
    return printed.readouterr().out.decode()


def test_an_answer_is_a_table(filled: Settings, capsysbinary: Printed) -> None:
    sql = "SELECT request_model, count(*) AS n, NULL AS nothing FROM calls GROUP BY 1 ORDER BY 1"
    text = ask(filled, capsysbinary, sql, "table")
    assert text.splitlines() == ["request_model\tn\tnothing", "m0\t2\tNULL", "m1\t2\tNULL"]


def test_an_answer_is_json_an_object_a_line(filled: Settings, capsysbinary: Printed) -> None:
    sql = (
        "SELECT sum(input_tokens) AS sum, min(started_at) AS first, any_value(tags) AS tags,"
        " [1, NULL] AS list, 1.50 AS decimal, 'inf'::float AS infinite, INTERVAL 1 DAY AS day,"
        " '\\xC3\\xA9'::blob AS blob FROM calls"
    )
    assert json.loads(ask(filled, capsysbinary, sql, "json")) == {
        "sum": 28,
        "first": "2026-09-21T14:13:20",
        "tags": {"a": "x, y"},
        "list": [1, None],
        "decimal": 1.5,
        "infinite": None,
        "day": "P0M1DT0S",
        "blob": "c3a9",
    }


def test_an_empty_map_is_an_empty_object(filled: Settings, capsysbinary: Printed) -> None:
    sql = "SELECT MAP {} AS none, [MAP {'a': 1}] AS list"
    assert json.loads(ask(filled, capsysbinary, sql, "json")) == {
        "none": {},
        "list": [{"a": 1}],
    }
    assert ask(filled, capsysbinary, "SELECT MAP {} AS none", "table") == "none\n{}\n"


def test_an_integer_beyond_64_bits_is_a_text_in_json(
    filled: Settings, capsysbinary: Printed
) -> None:
    sql = "SELECT 18446744073709551615::hugeint AS fits, 18446744073709551616::hugeint AS large"
    assert json.loads(ask(filled, capsysbinary, sql, "json")) == {
        "fits": 18446744073709551615,
        "large": "18446744073709551616",
    }


def test_csv_acts_on_no_terminal(
    filled: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sql = "SELECT chr(27) || '[31mred' AS model"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    querying.query(filled, sql, where=None, all_projects=False, form="csv")
    assert capsys.readouterr().out == "model\n\\x1b[31mred\n"


def test_an_answer_is_csv_that_quotes(filled: Settings, capsysbinary: Printed) -> None:
    sql = "SELECT request_model AS model, tags['a'] AS a, NULL AS n FROM calls ORDER BY id LIMIT 1"
    text = ask(filled, capsysbinary, sql, "csv")
    assert list(csv.reader(text.splitlines())) == [["model", "a", "n"], ["m0", "x, y", ""]]


def test_other_projects_are_seen_only_when_asked_for(
    filled: Settings, capsysbinary: Printed
) -> None:
    sql = "SELECT count(*) AS n FROM calls"
    assert json.loads(ask(filled, capsysbinary, sql, "json")) == {"n": 4}
    assert json.loads(ask(filled, capsysbinary, sql, "json", all_projects=True)) == {"n": 5}


def test_ctrl_c_ends_a_long_query(filled: Settings) -> None:
    sql = "SELECT count(*) FROM range(1_000_000_000_000) WHERE range % 7 = 3"
    command = [sys.executable, "-m", "shalt", "query", sql, "--data-dir", str(filled.data_dir)]
    with subprocess.Popen(command, cwd=CHECKOUT, start_new_session=True) as process:
        try:
            _wait_for_work(process)
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 130
        finally:
            if process.poll() is None:
                process.kill()


def _wait_for_work(process: subprocess.Popen[bytes]) -> None:
    """Wait until it has used four seconds of CPU: no start takes that long."""

    def cpu_seconds() -> float:
        assert process.poll() is None
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    wait_until(lambda: cpu_seconds() > 4, 180, every_seconds=0.05)  # of which others take most
