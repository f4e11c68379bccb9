"""Tests of review.addresses."""

from starlette.datastructures import QueryParams

from review import addresses
from review.addresses import Selection


def test_a_selection_survives_its_own_address() -> None:
    selection = Selection("shop", "tags['a'] = 'b&c=d#e+f'", '"a b" -c')
    query = QueryParams(selection.list().partition("?")[2])
    assert Selection.of(query, "default") == selection


def test_what_is_not_chosen_is_not_in_the_address() -> None:
    assert Selection("default").list() == "/review?project=default"
    assert Selection("a").call("1") == "/review/calls/1?project=a"


def test_an_id_cannot_lead_to_another_page() -> None:
    assert Selection("a").call("../x?y").startswith("/review/calls/..%2Fx%3Fy?")
    assert addresses.body("a/b", "request", decoded=True) == "/api/calls/a%2Fb/request?decoded=1"
