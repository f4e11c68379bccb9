"""A browser, and pages of a store on a real port for it to read."""

import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import uvicorn
from starlette.applications import Starlette

from exporters.advice import with_actions
from exporters.dataset import export
from exporters.report import report_json
from exporters.request import ExportRequest
from review.judging import Judging
from review.routes import routes
from storage.capture import SystemClock
from storage.drift_reports import NewReport, add_drift_report
from storage.labels import Said
from storage.rows import Checkpoint
from storage.store import TraceStore
from tests.browser.chromium import Tab, find, running_browser
from tests.exporters.found import full_report
from tests.relaying import wait_until
from tests.review.calls import HOSTILE, PNG, chat
from tests.review.conftest import Clock
from tests.review.datasets import Asked, Shelf
from tests.stores import lay_salt

WORD = "w" * 5_000


def sql_text(text: str) -> str:
    """Write a text as SQL has it, without what a filter does not take."""
    seen = "".join(character for character in text if character.isprintable())
    return "'" + seen.replace("'", "''") + "'"


@pytest.fixture(scope="session")
def site_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Calls 1 to 9 of plain talk, number 10 of what is meant to do harm, on a port."""
    path = tmp_path_factory.mktemp("browser") / "shalt.sqlite"
    store = TraceStore(f"sqlite:///{path}", clock=Clock())
    store.upgrade()
    lay_salt(store.engine)
    everything = " ".join((*HOSTILE, WORD))
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    harm = chat(
        10,
        [
            {"role": "system", "content": everything},
            *({"role": "user", "content": text} for text in HOSTILE),
            {"role": "user", "content": [{"type": "text", "text": WORD}, picture]},
        ],
        {"role": "assistant", "content": everything},
        model="model <b>",
        tags={"k": WORD[:1_000]},
    )
    plain = [chat(number, session="s", tags={"n": str(number)}) for number in range(1, 10)]
    store.insert([*plain, harm], Checkpoint("f" * 32, 1, 1))
    found = with_actions(full_report())
    new = NewReport("default", "live", "7d", found.verdict, "dataset", report_json(found))
    add_drift_report(store, new, clock=Clock())
    counts = iter(range(2, 1_000))

    def keep(said: Sequence[Said]) -> None:
        store.insert([], Checkpoint("f" * 32, 1, next(counts)), said=said)

    judging = Judging(keep, b"a key of the tests' own", SystemClock())
    where = f"tags['n'] <> {sql_text(everything[:1_000])} and tags['n'] >= '3'"
    export(store, ExportRequest(where=where), path.parent / "hostile", processes=1)
    shelf = Shelf(path.parent, {"next": Asked("next", "failed", everything)})
    pages = routes(store, "default", Clock(), judging, datasets=shelf)
    application = Starlette(routes=list(pages))
    server = uvicorn.Server(
        uvicorn.Config(application, ws="none", lifespan="off", log_level="warning")
    )
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    wait_until(lambda: server.started)
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join()
    listening.close()
    store.close()


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    executable = find()
    if executable is None:
        pytest.skip("no Chromium is installed (Debian: apt-get install chromium)")
    with running_browser(executable, Path(tmp_path_factory.mktemp("profile"))) as tab:
        yield tab


@pytest.fixture
def tab(browser: Tab) -> Tab:
    browser.complaints.clear()
    browser.requested.clear()
    browser.ask("Emulation.setScriptExecutionDisabled", value=False)
    browser.ask("Emulation.setEmulatedMedia", features=[])
    browser.size(1200)
    return browser
