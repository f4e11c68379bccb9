"""Where the pages are: every URL of the review page is written here.

A list is a project, a filter, a search, and a place in it; a call's page remembers the list it
was opened from, so that older and newer mean those of that list.
"""

from typing import Self
from urllib.parse import quote, urlencode

import msgspec
from starlette.datastructures import QueryParams

LIST = "/review"
CALLS = "/review/calls"
STATIC = "/review/static"
BODIES = "/api/calls"


class Selection(msgspec.Struct, frozen=True):
    """Which calls a list shows: of a project, those that meet a filter."""

    project: str
    where: str = ""

    @classmethod
    def of(cls, query: QueryParams, project: str) -> Self:
        """Read a selection from the query of a URL; `project` is meant where it names none."""
        return cls(query.get("project", "").strip() or project, query.get("where", "").strip())

    def list(self, *, where: str | None = None, before: str = "", after: str = "") -> str:
        """Address the list, or with `where` one with another filter, from its newest call on."""
        chosen = self.where if where is None else where
        return _address(LIST, project=self.project, where=chosen, before=before, after=after)

    def call(self, call_id: str) -> str:
        """Address the page of a call within this list."""
        return _address(
            f"{CALLS}/{quote(call_id, safe='')}", project=self.project, where=self.where
        )

    def neighbour(self, call_id: str, direction: str) -> str:
        """Address what leads on to the `older` or `newer` call of this list."""
        return _address(
            f"{CALLS}/{quote(call_id, safe='')}/{direction}",
            project=self.project,
            where=self.where,
        )


def body(call_id: str, half: str, *, decoded: bool) -> str:
    """Address a recorded body, `request` or `response`, as a file."""
    return _address(f"{BODIES}/{quote(call_id, safe='')}/{half}", decoded="1" if decoded else "")


def _address(path: str, **query: str) -> str:
    given = {name: value for name, value in query.items() if value}
    return f"{path}?{urlencode(given)}" if given else path
