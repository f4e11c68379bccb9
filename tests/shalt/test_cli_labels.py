"""What `shalt label` and `shalt feedback` take."""

from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from shalt.cli import app
from shalt.recording import open_store
from shalt.settings import Settings
from storage.labels import Status
from tests.storage.calls import at, id_of, recorded
from tests.stores import laid


@pytest.fixture(name="data_dir")
def _data_dir(tmp_path: Path) -> Path:
    with closing(open_store(laid(Settings(data_dir=tmp_path)))) as store:
        store.upgrade()
        store.insert([recorded(1)], at(1))
    return tmp_path


def run(data_dir: Path, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, [*arguments, "--data-dir", str(data_dir)])
    return result.exit_code, result.output


def test_a_label_is_given_and_rejected(data_dir: Path) -> None:
    assert run(data_dir, "label", id_of(1), "--text", "Paris.", "--author", "ada")[0] == 0
    with closing(open_store(Settings(data_dir=data_dir))) as store:
        (made,) = store.labels([id_of(1)])[id_of(1)]
        assert run(data_dir, "label", id_of(1), "--reject", made.id)[0] == 0
        (judged,) = store.labels([id_of(1)])[id_of(1)]
    assert (judged.author, judged.status) == ("ada", Status.REJECTED)


def test_a_score_is_found_by_a_filter(data_dir: Path) -> None:
    assert run(data_dir, "feedback", id_of(1), "quality", "4", "--comment", "long")[0] == 0
    for where, count in (("scores['quality'] >= 4", 2), ("scores['quality'] > 4", 1)):
        code, output = run(data_dir, "ls", "--where", where)
        assert (code, len(output.splitlines())) == (0, count)


@pytest.mark.parametrize("more", [[], ["--text", "a", "--accept", "b"]])
def test_a_label_is_one_thing(data_dir: Path, more: list[str]) -> None:
    code, output = run(data_dir, "label", id_of(1), *more)
    assert code == 2
    assert "one of --text, --json, --accept" in output
