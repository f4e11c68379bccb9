"""The pages over a store of their own, asked without a server between."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from starlette.applications import Starlette
from starlette.types import Message

from exporters.report_drawing import draw
from review.judging import Judging
from review.routes import routes
from storage.labels import Label, Said, check_label
from storage.rows import Checkpoint, Recorded
from storage.store import TraceStore
from tests.review.calls import START_NS, Page
from tests.stores import lay


@dataclass
class Clock:
    """A clock that stands an hour after the first call."""

    def wall_ns(self) -> int:
        return START_NS + 3_600_000_000_000

    def monotonic_ns(self) -> int:
        return 0


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def page(self) -> Page:
        """The page as a browser reads it."""
        return Page(self.body.decode())


@dataclass
class Site:
    """The pages, and the store they show."""

    store: TraceStore
    application: Starlette
    batches: int = 0

    def record(self, *calls: Recorded) -> None:
        """Store calls."""
        self.batches += 1
        self.store.insert(calls, Checkpoint("f" * 32, 1, self.batches))

    def get(self, path: str, method: str = "GET", **query: str) -> Answer:
        """Ask for a page."""
        written = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
        path, _, more = path.partition("?")
        return asyncio.run(_ask(self.application, method, path, written or more))

    def post(self, path: str, site: str = "same-origin", **form: str) -> Answer:
        """Send a form as a browser does; `site` is where the browser says that it is from."""
        return asyncio.run(_ask(self.application, "POST", path, "", urlencode(form).encode(), site))

    def keep(self, said: Sequence[Said]) -> None:
        """Check and store what was said."""
        for each in said:
            if isinstance(each, Label):
                check_label(each)
        self.batches += 1
        self.store.insert([], Checkpoint("f" * 32, 1, self.batches), said=said)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    yield from _site(tmp_path, searchable=False)


@pytest.fixture
def searchable_site(tmp_path: Path) -> Iterator[Site]:
    yield from _site(tmp_path, searchable=True)


def _site(directory: Path, *, searchable: bool) -> Iterator[Site]:
    url = f"sqlite:///{directory / 'shalt.sqlite'}"
    store = TraceStore(lay(url), clock=Clock(), searchable=searchable)
    store.upgrade()
    site = Site(store, Starlette())
    judging = Judging(site.keep, b"a key of the test's own", Clock())
    site.application = Starlette(
        routes=list(routes(store, "default", Clock(), judging, draw_report=draw))
    )
    yield site
    store.close()


async def _ask(
    application: Starlette, method: str, path: str, query: str, body: bytes = b"", site: str = ""
) -> Answer:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"host", b"127.0.0.1:8400")]
    if site:
        headers.append((b"sec-fetch-site", site.encode()))
    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(),
        "query_string": query.encode(), "headers": headers,
        "http_version": "1.1", "scheme": "http", "server": ("127.0.0.1", 8400), "root_path": "",
    }  # fmt: skip
    await application(scope, receive, send)
    came = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], came, b"".join(part.get("body", b"") for part in sent[1:]))
