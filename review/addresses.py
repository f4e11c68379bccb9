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
DRIFT = "/review/drift"
DATASETS = "/review/datasets"
DATASET_FILES = "/api/datasets"
BODIES = "/api/calls"


class Selection(msgspec.Struct, frozen=True):
    """Which calls a list shows: of a project, those that meet a filter and a search."""

    project: str
    where: str = ""
    search: str = ""

    @classmethod
    def of(cls, query: QueryParams, project: str) -> Self:
        """Read a selection from the query of a URL; `project` is meant where it names none."""
        return cls(
            query.get("project", "").strip() or project,
            query.get("where", "").strip(),
            query.get("search", "").strip(),
        )

    def list(
        self,
        *,
        where: str | None = None,
        search: str | None = None,
        before: str = "",
        after: str = "",
    ) -> str:
        """Address the list, or one with another filter or search, from its newest call on."""
        chosen = self._query(where, search)
        return _address(LIST, **chosen, before=before, after=after)

    def call(self, call_id: str) -> str:
        """Address the page of a call within this list."""
        return _address(f"{CALLS}/{quote(call_id, safe='')}", **self._query())

    def neighbour(self, call_id: str, direction: str) -> str:
        """Address what leads on to the `older` or `newer` call of this list."""
        return _address(f"{CALLS}/{quote(call_id, safe='')}/{direction}", **self._query())

    def _query(self, where: str | None = None, search: str | None = None) -> dict[str, str]:
        return {
            "project": self.project,
            "where": self.where if where is None else where,
            "search": self.search if search is None else search,
        }


def drift(project: str, *, before: str = "") -> str:
    """Address the list of drift reports, from its newest or from one older than an id."""
    return _address(DRIFT, project=project, before=before)


def drift_report(report_id: str, **query: str) -> str:
    """Address one drift report."""
    return _address(f"{DRIFT}/{quote(report_id, safe='')}", **query)


def dataset(name: str) -> str:
    """Address one dataset."""
    return f"{DATASETS}/{quote(name, safe='')}"


def dataset_left_out(name: str, which: str, start: int = 0) -> str:
    """Address a list of the calls that a dataset left out, from a line on."""
    return _address(f"{dataset(name)}/left-out", **{"list": which, "from": str(start or "")})


def dataset_file(name: str, file: str) -> str:
    """Address a file of a dataset."""
    return f"{DATASET_FILES}/{quote(name, safe='')}/files/{quote(file, safe='')}"


def dataset_tar(name: str) -> str:
    """Address all files of a dataset in one."""
    return f"{DATASET_FILES}/{quote(name, safe='')}/tar"


def said(call_id: str) -> str:
    """Address what the forms of a call's page send to."""
    return f"{CALLS}/{quote(call_id, safe='')}/said"


def body(call_id: str, half: str, *, decoded: bool) -> str:
    """Address a recorded body, `request` or `response`, as a file."""
    return _address(f"{BODIES}/{quote(call_id, safe='')}/{half}", decoded="1" if decoded else "")


def _address(path: str, **query: str) -> str:
    given = {name: value for name, value in query.items() if value}
    return f"{path}?{urlencode(given)}" if given else path
