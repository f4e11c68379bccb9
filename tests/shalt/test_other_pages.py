"""Which requests of browsers are let through."""

import pytest
from fastapi import HTTPException
from starlette.requests import Request

from shalt.other_pages import is_of_another_page, refuse_other_pages


def asked(method: str, **headers: str) -> Request:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": method, "path": "/", "headers": raw})


@pytest.mark.parametrize("site", ["none", "same-origin", None])
def test_our_own_pages_and_programs_are_let_through(site: str | None) -> None:
    headers = {"content_type": "application/json; charset=utf-8"}
    refuse_other_pages(asked("POST", **headers, **({"sec_fetch_site": site} if site else {})))


@pytest.mark.parametrize("site", ["cross-site", "same-site", "anything"])
def test_pages_of_other_sites_are_refused(site: str) -> None:
    assert is_of_another_page(asked("DELETE", sec_fetch_site=site))
    with pytest.raises(HTTPException, match="403"):
        refuse_other_pages(asked("DELETE", sec_fetch_site=site))


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://10.0.0.7:8401"])
def test_where_only_the_origin_tells_pages_of_other_sites_are_refused(origin: str) -> None:
    assert is_of_another_page(asked("DELETE", origin=origin, host="10.0.0.7:8400"))


def test_where_only_the_origin_tells_our_own_pages_are_let_through() -> None:
    origin = "http://10.0.0.7:8400"
    assert not is_of_another_page(asked("DELETE", origin=origin, host="10.0.0.7:8400"))
    assert not is_of_another_page(asked("DELETE", origin="null", sec_fetch_site="same-origin"))


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_what_a_form_can_send_is_refused(kind: str) -> None:
    with pytest.raises(HTTPException, match="415"):
        refuse_other_pages(asked("POST", content_type=kind))
