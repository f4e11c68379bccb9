"""Tests of review.listing: the list as a page."""

import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec

from review.listing import PAGE_CALLS
from storage.capture import Outcome
from tests.review.calls import HOSTILE, chat, id_of, number_of
from tests.review.conftest import Answer, Site


def ids(answer: Answer) -> list[int]:
    opened = [a["href"] for a in answer.page.all("a") if a.get("class") == "open"]
    return [number_of(href.removeprefix("/review/calls/")[:32]) for href in opened]


def test_calls_are_listed_newest_first(site: Site) -> None:
    site.record(*(chat(number) for number in range(3)))
    assert ids(site.get("/review")) == [2, 1, 0]


def test_pages_lead_to_older_and_back_to_newer_calls(site: Site) -> None:
    count = 2 * PAGE_CALLS + 10
    site.record(*(chat(number) for number in range(count)))
    first = site.get("/review")
    second = site.get(first.page.link(rel="next"))
    third = site.get(second.page.link(rel="next"))
    everything = ids(first) + ids(second) + ids(third)
    assert everything == list(reversed(range(count)))
    assert {"rel": "next"}.items() not in [a.items() for a in third.page.all("a")]
    back = site.get(third.page.link(rel="prev"))
    assert ids(back) == ids(second)
    assert ids(site.get(back.page.link(rel="prev"))) == ids(first)


def test_lists_do_without_bodies(site: Site, tmp_path: Path) -> None:
    site.record(chat(1))
    with closing(sqlite3.connect(tmp_path / "shalt.sqlite")) as database:
        database.execute("UPDATE body SET capture = x'00', codec = 99")
        database.commit()
    assert ids(site.get("/review")) == [1]


def test_a_filter_narrows_the_list_and_stays_in_its_links(site: Site) -> None:
    site.record(*(chat(number, tags={"n": str(number)}) for number in range(3)))
    answer = site.get("/review", where="tags['n'] = '1'")
    assert ids(answer) == [1]
    opened = next(a["href"] for a in answer.page.all("a") if a.get("class") == "open")
    assert "where=tags" in opened
    assert answer.page.all("input")[0]["value"] == "tags['n'] = '1'"


def test_every_link_in_the_list_leads_to_a_page(site: Site) -> None:
    site.record(
        *(chat(n, session="it's", tags={"a'b": "c"}, model=f"m{n}") for n in range(4)),
        chat(5, outcome=Outcome.CLIENT_GONE),
    )
    links = set(site.get("/review", where="side <> 'quarantine'").page.links()) - {"#main"}
    assert len(links) > 20
    assert {site.get(link).status for link in links} == {200}


def test_a_link_in_a_row_adds_its_condition_to_the_filter(site: Site) -> None:
    site.record(chat(1, model="large"), chat(2, model="small"))
    page = site.get("/review", where="streamed or status_code = 200").page
    narrowed = next(link for link in page.links() if "request_model+%3D+%27small" in link)
    assert ids(site.get(narrowed)) == [2]


def test_a_chosen_offer_leads_back_to_the_list_without_it(site: Site) -> None:
    site.record(chat(1), chat(2, outcome=Outcome.CLIENT_GONE))
    answer = site.get("/review", where="outcome = 'client_gone'")
    chosen = [a["href"] for a in answer.page.all("a") if a.get("class") == "chosen"]
    assert ids(site.get(chosen[0])) == [2, 1]


def test_a_wrong_filter_is_400_and_the_place_is_marked(site: Site) -> None:
    site.record(chat(1))
    answer = site.get("/review", where="streamed and outcom = 'x'")
    assert answer.status == 400
    assert b"streamed and <mark>outcom</mark> = " in answer.body
    assert "did you mean" in answer.page.text
    assert answer.page.all("input")[0]["aria-invalid"] == "true"


def test_a_filter_that_breaks_off_is_marked_at_its_end(site: Site) -> None:
    answer = site.get("/review", where="streamed and")
    assert (answer.status, answer.body.count(b"<mark>")) == (400, 1)


def test_a_project_without_calls_says_how_to_send_some(site: Site) -> None:
    text = site.get("/review").page.text
    assert 'OpenAI(base_url="http://127.0.0.1:8400/v1")' in text
    assert 'Anthropic(base_url="http://127.0.0.1:8400/u/anthropic")' in text
    assert "x-shalt-session" in text


def test_a_filter_that_nothing_meets_offers_others(site: Site) -> None:
    site.record(chat(1))
    answer = site.get("/review", where="status_code = 500")
    assert "No call meets this filter" in answer.page.text
    examples = [link for link in answer.page.links() if "status_code+%3D+429" in link]
    assert site.get(examples[0]).status == 200


def test_every_example_of_a_filter_can_be_read(site: Site) -> None:
    links = site.get("/review", where="status_code = 500").page.links()
    assert {site.get(link).status for link in links if link != "#main"} == {200}


def test_a_search_finds_calls_by_what_was_said_and_stays_in_the_links(
    searchable_site: Site,
) -> None:
    site = searchable_site
    texts = ["Where is my tent?", "Cancel the order.", "A tent, please."]
    site.record(*(chat(n, [{"role": "user", "content": text}]) for n, text in enumerate(texts)))
    answer = site.get("/review", search="tent", where="side <> 'quarantine'")
    assert ids(answer) == [2, 0]
    opened = next(a["href"] for a in answer.page.all("a") if a.get("class") == "open")
    assert "search=tent" in opened
    older = site.get(site.get(opened).page.link(rel="next"))
    assert id_of(0) in older.headers["location"]
    assert {site.get(link).status for link in answer.page.links() if link != "#main"} == {200}


def test_a_search_without_an_index_says_how_to_make_one(site: Site) -> None:
    site.record(chat(1))
    answer = site.get("/review", search="tent")
    assert answer.status == 400
    assert "shalt db search --build" in answer.page.text
    assert site.get(f"/review/calls/{id_of(1)}/older", search="tent").status == 400


def test_a_search_for_nothing_says_what_one_is(searchable_site: Site) -> None:
    searchable_site.record(chat(1))
    answer = searchable_site.get("/review", search="-only")
    assert answer.status == 400
    assert "names no word to look for" in answer.page.text


def test_calls_are_counted_over_time_with_those_not_complete(site: Site) -> None:
    site.record(*(chat(n, outcome=list(Outcome)[n % 2]) for n in range(10)))
    answer = site.get("/review")
    assert "10 calls in 72 minutes, 5 of them not complete" in answer.page.text
    assert [rect["class"] for rect in answer.page.all("rect")] == ["hour", "complete", "failed"]
    assert {"hours-title", "hours-description"} <= {
        attributes.get("id", "") for _, attributes in answer.page.elements
    }


def test_projects_are_offered_and_kept_apart(site: Site) -> None:
    call = chat(2)
    other = msgspec.structs.replace(
        call,
        capture=msgspec.structs.replace(call.capture, project="shop"),
        span=msgspec.structs.replace(call.span, project="shop"),
    )
    site.record(chat(1))
    site.record(other)
    answer = site.get("/review", project="shop")
    assert ids(answer) == [2]
    assert [option["value"] for option in answer.page.all("option")] == ["default", "shop"]


def test_hostile_names_are_text(site: Site) -> None:
    for number, text in enumerate(HOSTILE):
        site.record(chat(number, model=text, session="s", tags={"k": text}, user=text))
    answer = site.get("/review", where="session_id = 's'")
    assert ids(answer) == list(reversed(range(len(HOSTILE))))
    assert len(answer.page.all("script")) == 1
    assert not answer.page.all("img")
    assert not [
        name for _, attributes in answer.page.elements for name in attributes if name[:2] == "on"
    ]
    assert all(link.startswith(("/review", "#")) for link in answer.page.links())
    assert id_of(0) in answer.body.decode()
