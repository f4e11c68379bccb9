"""Tests of shalt.redacting: whole calls, and what is said of calls."""

import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from proxy.redact import Redactor
from shalt.places import Places
from shalt.redacting import Redacting, build_bodies
from shalt.settings import load
from storage.labels import Label, LabelSource, Score, ScoreSource, Status, Verdict
from storage.trace import Message, ToolCall
from tests.captures import plain_capture

KEY = "sk-" + "proj-a1B2c3D4e5F6g7H8i9J0"
WHEN = datetime(2026, 11, 23, tzinfo=UTC)
SAID = f"ask bob@x.de, his key is {KEY}"
REDACTED = r"ask <email:\w{12}>, his key is redacted:\w{8}"


@pytest.fixture
def redacting(tmp_path: Path) -> Redacting:
    config = tmp_path / "shalt.toml"
    config.write_text("[redaction.email]\n")
    settings = load(config, data_dir=tmp_path)
    Places(tmp_path).prepare()
    return Redacting(settings)


def test_a_call_from_elsewhere_is_searched_like_any_other(redacting: Redacting) -> None:
    request = b'{"messages": [{"role": "user", "content": "ask bob@x.de"}]}'
    capture = plain_capture(
        request,
        b"{}",
        project="shop",
        target=f"/v1/chat/completions?key={KEY}",
        request_headers=[(b"authorization", KEY.encode())],
    )
    clean = redacting.capture(capture)
    assert clean.redacted
    body = clean.request_body
    assert (body.length, body.kept) == (len(request), len(body.data))
    assert body.sha256 == hashlib.sha256(request).hexdigest()
    assert clean.response_body is capture.response_body
    assert not re.search(rb"bob@|sk-proj", msgspec.msgpack.encode(clean))


def test_comments_values_and_corrections_are_searched(redacting: Redacting) -> None:
    about = ("1" * 32, "shop", "2" * 32, "", "", WHEN)
    score = redacting.said(Score(*about, "why", SAID, SAID, ScoreSource.HUMAN, "ana"))
    assert isinstance(score, Score)
    assert re.fullmatch(REDACTED, str(score.value))
    assert re.fullmatch(REDACTED, score.comment)
    call = ToolCall("mail", f'{{"to": "bob@x.de", "key": "{KEY}"}}')
    message = Message("assistant", SAID, (call,))
    label = redacting.said(Label(*about, message, SAID, LabelSource.HUMAN, "ana", Status.ACCEPTED))
    assert isinstance(label, Label)
    assert re.fullmatch(REDACTED, label.note)
    assert re.fullmatch(REDACTED, label.message.text)
    assert not re.search("bob@|sk-proj", label.message.tool_calls[0].arguments)
    verdict = Verdict("1" * 32, "shop", "2" * 32, "3" * 32, WHEN, Status.REJECTED, SAID, "ana")
    judged = redacting.said(verdict)
    assert isinstance(judged, Verdict)
    assert re.fullmatch(REDACTED, judged.note)


def test_what_holds_no_secret_stays_as_it_is(redacting: Redacting) -> None:
    score = Score("1" * 32, "shop", "", "p", "", WHEN, "ok", True, "fine", ScoreSource.HUMAN, "")
    assert redacting.said(score) == score


def test_nothing_is_searched_where_nothing_is_wanted(tmp_path: Path) -> None:
    settings = load(data_dir=tmp_path, redact_bodies=False)
    assert build_bodies(settings, Redactor(b"key")) is None
