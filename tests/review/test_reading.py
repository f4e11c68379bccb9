"""Tests of review.reading: one call as a page."""

import gzip
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from storage.capture import Body, Outcome
from tests.review.calls import HOSTILE, PNG, Page, capture_of, chat, id_of, number_of, recorded
from tests.review.conftest import Site


def read(site: Site, number: int, **query: str) -> Page:
    answer = site.get(f"/review/calls/{id_of(number)}", **query)
    assert answer.status == 200
    return answer.page


def test_a_conversation_reads_from_top_to_bottom(site: Site) -> None:
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "look_up", "arguments": '{"order":7}'},
    }
    site.record(
        chat(
            1,
            [
                {"role": "system", "content": "Be kind."},
                {"role": "user", "content": "Where is my tent?"},
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "call_1", "content": '{"state":"lost"}'},
            ],
            {"role": "assistant", "content": "It is lost.", "reasoning_content": "Say it."},
            tools=[{"type": "function", "function": {"name": "look_up", "parameters": {}}}],
            temperature=0.5,
        )
    )
    text = read(site, 1).text
    said = ["Be kind.", "Where is my tent?", '"order": 7', '"state": "lost"', "It is lost."]
    places = [text.index(each) for each in said]
    assert places == sorted(places)
    assert "tool result · look_up" in text
    assert "answer · stop" in text
    assert "1 tool offered" in text
    assert '"temperature": 0.5' in text


def test_hostile_content_is_text_wherever_it_stands(site: Site) -> None:
    calls = [
        {"id": text, "type": "function", "function": {"name": text, "arguments": text}}
        for text in HOSTILE
    ]
    messages: list[object] = [{"role": text, "content": text, "name": text} for text in HOSTILE]
    messages += [
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": text}}]}
        for text in HOSTILE
    ]
    messages += [{"role": "tool", "tool_call_id": text, "content": text} for text in HOSTILE]
    everything = " ".join(HOSTILE)
    site.record(
        chat(
            1,
            messages,
            {"role": "assistant", "content": everything, "refusal": everything,
             "reasoning_content": everything, "tool_calls": calls},
            model=everything,
            session=everything.encode("ascii", "ignore").decode().translate({27: "", 7: ""}),
            user=everything,
            tools=[{"type": "function", "function": {"name": t, "description": t,
                                                     "parameters": {t: t}}} for t in HOSTILE],
            metadata={everything: everything},
        )
    )  # fmt: skip
    page = read(site, 1, where=everything)
    assert len(page.all("script")) == 1
    assert not page.all("img")
    assert not [name for _, attributes in page.elements for name in attributes if name[:2] == "on"]
    assert all(link.startswith(("/review", "/api/calls/", "#")) for link in page.links())
    assert not [char for char in page.text if char in "\x1b\x07\u202e\u2066\U000e0049"]


def test_images_that_a_message_carries_are_shown(site: Site) -> None:
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
    ]
    site.record(chat(1, [{"role": "user", "content": parts}]))
    page = read(site, 1)
    assert [image["src"] for image in page.all("img")] == [f"data:image/png;base64,{PNG}"]
    assert "image, https://example.com/a.png" in page.text


def test_a_long_text_is_cut_and_the_rest_is_linked_to(site: Site) -> None:
    site.record(chat(1, [{"role": "user", "content": "word " * 100_000}]))
    answer = site.get(f"/review/calls/{id_of(1)}")
    assert len(answer.body) < 100_000
    assert "480,000 more characters are not shown" in answer.page.text
    assert f"/api/calls/{id_of(1)}/request" in answer.page.links()


def test_a_failed_call_says_what_happened(site: Site) -> None:
    failed = capture_of(
        1, {"model": "m", "messages": []}, None, outcome=Outcome.UPSTREAM_TIMEOUT,
        status_code=None, error="no byte within 600 s",
    )  # fmt: skip
    refused = capture_of(
        2, {"model": "m", "messages": []}, {"error": {"message": "Slow down.", "code": "limit"}},
        outcome=Outcome.UPSTREAM_ERROR, status_code=429,
    )  # fmt: skip
    site.record(recorded(failed), recorded(refused))
    text = read(site, 1).text
    assert "There is no answer: upstream timeout." in text
    assert "no byte within 600 s" in text
    assert "limit: Slow down." in read(site, 2).text


def test_a_call_of_no_known_kind_is_shown_as_recorded(site: Site) -> None:
    site.record(recorded(capture_of(1, {"odd": 1}, b"\0\1\2", target="/v1/odd")))
    page = read(site, 1)
    assert '"odd": 1' in page.text
    assert "The body is no text." in page.text
    assert [details for details in page.all("details") if "open" in details]


def test_marks_and_the_note_are_shown(site: Site) -> None:
    body = json.dumps({"model": "m", "messages": []}).encode()
    cut = Body(body[:20], len(body), "0" * 64, truncated=True)
    site.record(recorded(capture_of(1, b"", None, request_body=cut, redacted=True)))
    text = read(site, 1).text
    assert "redacted" in text
    assert "of which only the beginning is kept" in text
    assert f"20 of {len(body)} bytes were kept" in text


def test_an_encoded_body_is_read_decoded_and_linked_both_ways(site: Site) -> None:
    body = gzip.compress(json.dumps({"model": "m", "messages": []}).encode(), mtime=0)
    headers = [(b"content-encoding", b"gzip")]
    site.record(recorded(capture_of(1, body, None, request_headers=headers)))
    page = read(site, 1)
    path = f"/api/calls/{id_of(1)}/request"
    assert {path, f"{path}?decoded=1"} <= set(page.links())
    assert '"messages": []' in page.text


def test_a_call_whose_bodies_are_deleted_is_its_facts(site: Site, tmp_path: Path) -> None:
    site.record(chat(1, session="s"))
    with closing(sqlite3.connect(tmp_path / "shalt.sqlite")) as database:
        database.execute("DELETE FROM body")
        database.commit()
    page = read(site, 1)
    assert "The bodies of this call are deleted" in page.text
    assert "small-1-0613" in page.text
    assert site.get(f"/api/calls/{id_of(1)}/request").status == 410


def test_calls_of_the_session_are_beside_it_in_order(site: Site) -> None:
    site.record(*(chat(number, session="it's" if number % 2 else "other") for number in range(9)))
    page = read(site, 3)
    here = [a for _, a in page.elements if a.get("aria-current") == "page"]
    assert len(here) == 1
    assert id_of(1) in page.link(**{"data-key": "["})
    assert id_of(5) in page.link(**{"data-key": "]"})


def test_a_session_longer_than_is_shown_shows_what_is_near(site: Site) -> None:
    site.record(*(chat(number, session="s") for number in range(100)))
    turns = [
        link for link in read(site, 50).links()
        if link.startswith("/review/calls/") and not link.split("?")[0].endswith(("older", "newer"))
    ]  # fmt: skip
    assert {number_of(link[14:46]) for link in turns} == set(range(38, 63))


def test_older_and_newer_lead_through_the_list_it_was_opened_from(site: Site) -> None:
    site.record(*(chat(number, tags={"even": str(number % 2 == 0)}) for number in range(5)))
    where = "tags['even'] = 'True'"
    page = read(site, 2, where=where)
    older = site.get(page.link(rel="next"))
    newer = site.get(page.link(rel="prev"))
    assert (older.status, newer.status) == (303, 303)
    assert older.headers["location"].startswith(f"/review/calls/{id_of(0)}?")
    assert newer.headers["location"].startswith(f"/review/calls/{id_of(4)}?")
    assert "where=tags" in older.headers["location"]


@pytest.mark.parametrize(("direction", "word"), [("older", "oldest"), ("newer", "newest")])
def test_the_end_of_the_list_says_so(site: Site, direction: str, word: str) -> None:
    site.record(chat(1))
    answer = site.get(f"/review/calls/{id_of(1)}/{direction}")
    assert answer.status == 200
    assert f"come to the {word}" in answer.page.text


def test_every_link_of_a_call_leads_somewhere(site: Site) -> None:
    site.record(*(chat(number, session="it's", tags={"a'b": "c"}) for number in range(3)))
    page = read(site, 1, where="streamed or not streamed")
    links = {link for link in page.links() if not link.startswith("#")}
    assert {site.get(link).status for link in links} <= {200, 303}
    anchors = {link[1:] for link in page.links() if link.startswith("#")}
    assert anchors <= {attributes.get("id") for _, attributes in page.elements}
