"""The commands `label` and `feedback`: with a server, without, and what they refuse."""

import json
from contextlib import closing
from pathlib import Path

import pytest

from shalt import calls, labelling, state
from shalt.acceptance import CallNotKnown
from shalt.labelling import Correction, LabelFileUnreadable, LabelNotFound
from shalt.places import Places
from shalt.recording import open_store
from shalt.settings import Settings
from storage.labels import Label, LabelError, LabelSource, Score, Status
from storage.trace import Message, ToolCall
from tests.client import request
from tests.serving import running_shalt
from tests.storage.calls import at, id_of, recorded
from tests.stores import laid
from tests.upstream import running_upstream

TOOLS = b'{"messages": [], "tools": [{"type": "function", "function": {"name": "find"}}]}'


@pytest.fixture(name="settings")
def _settings(tmp_path: Path) -> Settings:
    """A data directory that nobody records into, with calls 1 and 2; 2 offered a tool."""
    settings = Settings(data_dir=tmp_path / "data")
    Places(settings.data_dir).prepare()
    with closing(open_store(laid(settings))) as store:
        store.upgrade()
        store.insert([recorded(1), recorded(2, request=TOOLS)], at(1))
    return settings


def correction(
    text: str | None = None, path: Path | None = None, force: bool = False, model: bool = False
) -> Correction:
    source = LabelSource.MODEL if model else LabelSource.HUMAN
    return Correction(text, path, source, "ada", "because", force)


def labels_of(settings: Settings, number: int) -> tuple[Label, ...]:
    with closing(open_store(settings)) as store:
        return store.labels([id_of(number)]).get(id_of(number), ())


def scores_of(settings: Settings, number: int) -> tuple[Score, ...]:
    with closing(open_store(settings)) as store:
        return store.scores([id_of(number)]).get(id_of(number), ())


def test_a_label_is_stored_at_once_where_nobody_records(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    labelling.label(settings, id_of(1), correction("Paris."))
    (made,) = labels_of(settings, 1)
    assert (made.message, made.status) == (Message("assistant", "Paris."), Status.ACCEPTED)
    assert (made.author, made.note) == ("ada", "because")
    assert capsys.readouterr().out == (f"label {made.id} of call {id_of(1)} (accepted): stored\n")
    assert not list(Places(settings.data_dir).spool.iterdir())


def test_a_label_of_a_test_call_says_what_that_changes(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    for side, told in (("train", False), ("test", True)):
        with closing(open_store(settings)) as store, store.engine.begin() as connection:
            connection.exec_driver_sql(f"UPDATE call SET side = '{side}'")
        labelling.label(settings, id_of(1), correction(f"Paris, {side}."))
        assert ("of the test side" in capsys.readouterr().err) is told


def test_a_proposed_label_is_accepted_and_rejected_by_its_beginning(settings: Settings) -> None:
    labelling.label(settings, id_of(1), correction("Paris.", model=True))
    (made,) = labels_of(settings, 1)
    assert made.status is Status.PROPOSED
    for status in (Status.ACCEPTED, Status.REJECTED):
        labelling.judge(settings, id_of(1), made.id[:12], status, note="", author="ada")
        assert [each.status for each in labels_of(settings, 1)] == [status]
    with pytest.raises(LabelNotFound, match=f"it has {made.id}"):
        labelling.judge(settings, id_of(1), "ffff", Status.ACCEPTED, note="", author="")


def test_a_tool_call_must_be_one_that_was_offered(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "answer.json"
    for name in ("find", "lose"):
        file.write_text(json.dumps({"tool_calls": [{"name": name, "arguments": {"a": 1}}]}))
        if name == "find":
            labelling.label(settings, id_of(2), correction(path=file))
    assert labels_of(settings, 2)[0].message.tool_calls == (ToolCall("find", '{"a":1}'),)
    with pytest.raises(LabelError, match="offered no tool lose: there are find"):
        labelling.label(settings, id_of(2), correction(path=file))
    labelling.label(settings, id_of(2), correction(path=file, force=True))
    assert len(labels_of(settings, 2)) == 2


def test_a_score_is_a_boolean_a_number_or_a_text_and_kept_once(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (("thumbs", "true"), ("quality", "4"), ("tone", "curt"), ("tone", "curt")):
        labelling.score(settings, id_of(1), name, value, comment="", author="")
    assert [each.value for each in scores_of(settings, 1)] == [True, 4.0, "curt"]
    printed = capsys.readouterr().out
    assert "score thumbs = true of call " in printed
    assert printed.endswith("said before, nothing is added\n")


def test_what_was_said_is_shown_with_the_call(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    labelling.label(settings, id_of(1), correction("Paris."))
    labelling.score(settings, id_of(1), "thumbs", "false", comment="wrong", author="bob")
    capsys.readouterr()
    calls.show(settings, id_of(1), as_json=False)
    text = capsys.readouterr().out
    assert "(human by ada, accepted)\n  Paris.\n  note: because\n" in text
    assert "score thumbs = false (human by bob)  wrong" in text


def test_what_was_said_is_in_the_json_of_a_call(
    settings: Settings, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    labelling.label(settings, id_of(1), correction("Paris."))
    labelling.score(settings, id_of(1), "thumbs", "false", comment="wrong", author="bob")
    capsysbinary.readouterr()
    calls.show(settings, id_of(1), as_json=True)
    shown = json.loads(capsysbinary.readouterr().out)
    assert shown["labels"][0]["message"]["content"] == "Paris."
    assert shown["scores"][0]["value"] is False
    state.status(settings, as_json=True)
    assert json.loads(capsysbinary.readouterr().out)["feedback"] == {"waiting": 0}


def test_what_is_wrong_is_said(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(CallNotKnown):
        labelling.label(settings, "0" * 32, correction("Paris."))
    with pytest.raises(LabelError, match="neither"):
        labelling.label(settings, id_of(1), correction(""))
    with pytest.raises(LabelFileUnreadable, match="No such file"):
        labelling.label(settings, id_of(1), correction(path=tmp_path / "none.json"))
    assert labels_of(settings, 1) == ()


def test_a_recorder_that_runs_stores_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(labelling, "WAIT_SECONDS", 60.0)  # the recorder may have to wait for a core
    with running_upstream() as upstream, running_shalt(tmp_path / "data", upstream.url) as shalt:
        call_id = request(shalt.port, "/v1/plain").header("x-shalt-call-id")
        settings = Settings(data_dir=tmp_path / "data")
        labelling.label(settings, call_id, correction("Paris."))
        assert capsys.readouterr().out.endswith("(accepted): stored\n")
        assert len(json.loads(shalt.get(f"/api/calls/{call_id}/labels"))) == 1
