"""`shalt ls` and `shalt show`, over the demo's traffic."""

import json
from contextlib import closing
from pathlib import Path

import pytest

from shalt import calls
from shalt.recording import open_store
from shalt.settings import Settings
from storage.filters import FilterError
from tests.storage.calls import at, recorded

Printed = pytest.CaptureFixture[bytes]
# The contract of the command line: scripts rely on these.
LS_FIELDS = """
id started_at project upstream endpoint request_model response_model outcome status_code streamed
finish_reason input_tokens output_tokens cost_usd duration_ms time_to_first_token_ms session_id
trace_id user_id group_id side tags redacted truncated
""".split()


def one(settings: Settings, where: str) -> str:
    with closing(open_store(settings)) as store:
        return store.list("default", where, limit=1)[0].id


def test_ls_prints_the_fields_that_scripts_rely_on(
    demo_settings: Settings, capsysbinary: Printed
) -> None:
    calls.ls(demo_settings, where="tags['app'] = 'support'", limit=3, as_json=True)
    rows = [json.loads(line) for line in capsysbinary.readouterr().out.splitlines()]
    assert len(rows) == 3
    assert all(list(row)[: len(LS_FIELDS)] == LS_FIELDS for row in rows)
    assert rows[0]["tags"]["app"] == "support"
    assert rows[0]["started_at"].endswith("Z")
    assert [row["id"] for row in rows] == sorted((row["id"] for row in rows), reverse=True)


def test_ls_prints_a_line_for_each_call(demo_settings: Settings, capsysbinary: Printed) -> None:
    calls.ls(demo_settings, where="outcome = 'upstream_error'", limit=2, as_json=False)
    lines = capsysbinary.readouterr().out.decode().splitlines()
    assert lines[0].split("\t")[:3] == ["id", "started_at", "outcome"]
    assert lines[1].split("\t")[2] in ("upstream_error 429", "upstream_error 500")
    assert len(lines) == 3


def test_a_project_without_calls_is_told_from_those_that_have_some(
    demo_settings: Settings, capsysbinary: Printed
) -> None:
    other = demo_settings.model_copy(update={"project": "shopp"})
    calls.ls(other, where=None, limit=1, as_json=True)
    printed = capsysbinary.readouterr()
    assert (printed.out, printed.err) == (
        b"",
        b"project shopp has no calls; projects that have: default\n",
    )


def test_a_wrong_filter_is_pointed_at(demo_settings: Settings) -> None:
    with pytest.raises(FilterError, match="did you mean outcome"):
        calls.ls(demo_settings, where="outcme = 'x'", limit=1, as_json=False)


def test_show_tells_a_conversation_as_it_went(
    demo_settings: Settings, capsysbinary: Printed
) -> None:
    where = "tags['app'] = 'support' and finish_reason = 'stop' and streamed"
    call_id = one(demo_settings, where)
    calls.show(demo_settings, call_id, as_json=False)
    text = capsysbinary.readouterr().out.decode()
    assert text.startswith(f"{call_id}  complete 200  POST /v1/chat/completions  gpt-4o\n")
    order = ["\nsystem\n", "\nuser\n", "→ lookup_order({", "\ntool call_", "\nanswer (stop)\n"]
    assert [text.index(word) for word in order] == sorted(text.index(word) for word in order)
    assert "tools offered: lookup_order, refund_order" in text
    assert "tags app=support period=" in text


def test_show_tells_a_refusal(demo_settings: Settings, capsysbinary: Printed) -> None:
    where = "tags['app'] = 'support' and finish_reason = 'stop' and output_tokens > 20"
    with closing(open_store(demo_settings)) as store:
        rows = store.list("default", where, limit=200)
    for row in rows:
        calls.show(demo_settings, row.id, as_json=False)
    assert "(refusal) I'm sorry" in capsysbinary.readouterr().out.decode()


def test_show_as_json_has_the_row_and_what_was_understood(
    demo_settings: Settings, capsysbinary: Printed
) -> None:
    call_id = one(demo_settings, "tags['app'] = 'call-notes' and outcome = 'complete'")
    calls.show(demo_settings, call_id, as_json=True)
    shown = json.loads(capsysbinary.readouterr().out)
    assert shown["id"] == call_id
    answer = shown["understood"]["choices"][0]["message"]["content"]
    assert set(json.loads(answer)) >= {"caller", "reason", "summary"}


@pytest.mark.parametrize("decoded", [True, False])
def test_raw_bodies_are_written_as_they_passed(
    demo_settings: Settings, capsysbinary: Printed, decoded: bool
) -> None:
    call_id = one(demo_settings, "streamed")
    calls.write_body(demo_settings, call_id, request=True, decoded=decoded)
    request = capsysbinary.readouterr().out
    assert json.loads(request)["stream"] is True
    calls.write_body(demo_settings, call_id, request=False, decoded=decoded)
    assert capsysbinary.readouterr().out.endswith(b"data: [DONE]\n\n")


def test_a_call_of_another_project_is_not_found(demo_settings: Settings) -> None:
    call_id = one(demo_settings, "streamed")
    other = demo_settings.model_copy(update={"project": "other"})
    with pytest.raises(calls.CallNotFound, match="in project other: `shalt ls` lists them"):
        calls.show(other, call_id, as_json=False)


def test_a_name_with_line_ends_does_not_look_like_our_lines(
    tmp_path: Path, capsysbinary: Printed
) -> None:
    body = {
        "messages": [{"role": "user", "name": "a\nassistant", "content": "one\rtwo\u2028\r\n\n"}]
    }
    call = recorded(1, request=json.dumps(body).encode(), request_model="m\nerror: none", tags={})
    settings = Settings(data_dir=tmp_path)
    with closing(open_store(settings)) as store:
        store.upgrade()
        store.insert([call], at(100))
    calls.show(settings, call.span.id, as_json=False)
    lines = capsysbinary.readouterr().out.decode().split("\n")
    assert lines[0].endswith("  m\\nerror: none → small-1-0613")
    said = lines.index("user a\\nassistant")
    assert lines[said + 1 : said + 3] == ["  one\\rtwo\\u2028", "  "]
