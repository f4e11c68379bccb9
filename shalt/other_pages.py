"""Requests that change something, refused where a page of another site sends them.

A browser says where a request comes from, and asks before it sends JSON for a page of another
origin; it is never told yes. It says so by Sec-Fetch-Site, or, to a plain http address that is not
this machine's, by Origin alone. What is no browser says neither, and is let through.
"""

from urllib.parse import urlsplit

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
    site = asked.headers.get("sec-fetch-site")
    if site is not None:
        return site not in _OURS
    origin = asked.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != asked.headers.get("host")
