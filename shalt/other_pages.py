"""Requests that change something, refused where a page of another site sends them.

A browser says where a request comes from (Sec-Fetch-Site), and asks before it sends JSON for a page
of another origin; it is never told yes. What is no browser says neither, and is let through.
"""

from fastapi import HTTPException, Request

_OURS = ("none", "same-origin")


def refuse_other_pages(asked: Request) -> None:
    """Raise HTTPException for what a page elsewhere sends, and for a POST that is no JSON."""
    if is_of_another_page(asked):
        raise HTTPException(403, "a page of another site may not do this")
    kind = asked.headers.get("content-type", "").partition(";")[0].strip().lower()
    if asked.method == "POST" and kind != "application/json":
        raise HTTPException(415, "send it as application/json")


def is_of_another_page(asked: Request) -> bool:
    """Tell whether a browser says that a page of another site sent this."""
    return asked.headers.get("sec-fetch-site", "none") not in _OURS
