"""The forms of a call's page: what they say is kept, and nobody else can say it."""

from typing import Any

import pytest

from review.judging import EDITED_CHARS_MAX, FormError, draft_of, read_form
from storage.labels import Label, Score, Status
from storage.trace import Message, ToolCall
from tests.review.calls import HOSTILE, chat, id_of
from tests.review.conftest import Answer, Site

PAGE = f"/review/calls/{id_of(1)}"
TOOL_CALL: dict[str, Any] = {
    "role": "assistant",
    "content": "Looking.",
    "tool_calls": [
        {"id": "call_1", "type": "function", "function": {"name": "find", "arguments": "{}"}}
    ],
}


def send(site: Site, act: str, **form: str) -> Answer:
    """Send a form with the token of the page."""
    token = next(
        field["value"] for field in site.get(PAGE).page.all("input") if field["name"] == "token"
    )
    return site.post(PAGE + "/said", token=token, act=act, **form)


def labels(site: Site) -> tuple[Label, ...]:
    return site.store.labels([id_of(1)]).get(id_of(1), ())


def scores(site: Site) -> tuple[Score, ...]:
    return site.store.scores([id_of(1)]).get(id_of(1), ())


def test_a_thumb_is_a_score_and_shown(site: Site) -> None:
    site.record(chat(1))
    answer = send(site, "down", note="wrong city", author=" ada ")
    assert (answer.status, answer.headers["location"]) == (303, f"{PAGE}?project=default#said")
    (score,) = scores(site)
    assert (score.name, score.value, score.comment, score.author) == (
        "thumbs",
        False,
        "wrong city",
        "ada",
    )
    text = site.get(PAGE).page.text
    assert "thumbs = false" in text
    assert "human · ada" in text


def test_a_corrected_text_is_a_label_with_its_changes(site: Site) -> None:
    site.record(chat(1, answer={"role": "assistant", "content": "It is\nLyon."}))
    assert send(site, "answer", text="It is\r\nParis.", note="capital").status == 303
    (label,) = labels(site)
    assert label.message == Message("assistant", "It is\nParis.")
    page = site.get(PAGE).page
    assert (len(page.all("del")), len(page.all("ins"))) == (1, 1)
    assert "capital" in page.text


def test_arguments_of_tool_calls_are_json_and_keep_their_names(site: Site) -> None:
    site.record(chat(1, answer=TOOL_CALL))
    refused = send(site, "answer", **{"text": "Looking.", "arguments-0": "{city}"})
    assert refused.status == 400
    assert "the arguments of find are no JSON" in refused.page.text
    assert "{city}" in refused.page.text  # what was typed is still there
    send(site, "answer", **{"text": "", "arguments-0": '{"city": "Paris"}'})
    (label,) = labels(site)
    assert label.message == Message(
        "assistant", None, (ToolCall("find", '{"city": "Paris"}', "call_1"),)
    )


def test_what_is_as_it_was_is_no_correction(site: Site) -> None:
    site.record(chat(1, answer=TOOL_CALL))
    refused = send(site, "answer", **{"text": "Looking.", "arguments-0": "{}"})
    assert "as it was recorded" in refused.page.text
    assert labels(site) == ()


def test_a_label_is_rejected_and_accepted_with_buttons(site: Site) -> None:
    site.record(chat(1))
    send(site, "answer", text="Better.")
    (label,) = labels(site)
    for act, status in (("reject", Status.REJECTED), ("accept", Status.ACCEPTED)):
        assert act in [button.get("value") for button in site.get(PAGE).page.all("button")]
        assert send(site, act, label=label.id).status == 303
        assert labels(site)[0].status is status
    assert send(site, "accept", label="0" * 32).status == 400


@pytest.mark.parametrize("form", [{}, {"token": "0" * 64}, {"token": "ü"}])
def test_a_form_without_the_token_of_its_page_is_refused(site: Site, form: dict[str, str]) -> None:
    site.record(chat(1), chat(2))
    assert site.post(PAGE + "/said", act="up", **form).status == 400
    assert scores(site) == ()


def test_the_token_of_another_call_does_not_do(site: Site) -> None:
    site.record(chat(1), chat(2))
    fields = site.get(f"/review/calls/{id_of(2)}").page.all("input")
    token = next(field["value"] for field in fields if field["name"] == "token")
    assert site.post(PAGE + "/said", token=token, act="up").status == 400


@pytest.mark.parametrize("origin", ["cross-site", "same-site"])
def test_a_page_elsewhere_is_refused(site: Site, origin: str) -> None:
    site.record(chat(1))
    assert site.post(PAGE + "/said", origin, act="up").status == 403


def test_an_unknown_act_or_call_is_refused(site: Site) -> None:
    site.record(chat(1))
    assert send(site, "burn").status == 400
    assert site.post(f"/review/calls/{id_of(9)}/said", act="up").status == 404


def test_hostile_answers_stay_within_their_fields(site: Site) -> None:
    seen = "\n".join(text for text in HOSTILE if text.isprintable())
    site.record(chat(1, answer={"role": "assistant", "content": seen}))
    send(site, "answer", text="\n".join(reversed(HOSTILE)), note=HOSTILE[0], author=HOSTILE[1])
    page = site.get(PAGE).page
    assert page.all("textarea")
    assert len(page.all("script")) == 1  # ours
    assert not page.all("img")
    assert not [1 for _, attributes in page.elements if any(a.startswith("on") for a in attributes)]


def test_an_answer_too_long_for_a_form_has_none(site: Site) -> None:
    assert draft_of(Message("assistant", "x" * (EDITED_CHARS_MAX + 1))) is None
    site.record(chat(1, answer={"role": "assistant", "content": "x" * (EDITED_CHARS_MAX + 1)}))
    page = site.get(PAGE).page
    assert page.all("textarea") == []
    assert "shalt label" in page.text


def test_an_answer_with_what_is_not_seen_has_no_form() -> None:
    for text in ("zero\u200bwidth", "\u202eback", "half \ud800", "nul \0"):
        assert draft_of(Message("assistant", text)) is None
    assert draft_of(Message("assistant", "日本\tnaïve\n👍")) is not None


def test_what_is_no_form_is_refused() -> None:
    assert read_form(b"a=1%0D%0A2&b=") == {"a": "1\n2", "b": ""}
    for data in (b"\xff", b"a=%ff", b"&".join([b"a=1"] * 1_000)):
        with pytest.raises(FormError):
            read_form(data)
