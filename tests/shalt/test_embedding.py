"""Prompts embedded by a real HTTP server: in batches, kept by call, and why not where not."""

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exporters.windows import Window
from shalt import embedding
from shalt.embedding import BATCH_TEXTS, KEPT_DAYS, Embedded, embedded
from shalt.recording import open_store
from shalt.settings import Settings
from storage.store import TraceStore
from tests.exporters.calls import chat, opening, record, said
from tests.exporters.columns_made import made
from tests.stores import laid

CALLS = 70  # more than a batch
DAY_NS = 86_400 * 10**9


@dataclass
class Model:
    """What the server was asked. `answers`: statuses of the next requests, else 200."""

    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    vectors: bool = True

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        if not self.vectors:
            return {"data": []}
        listed = [
            {"index": index, "embedding": [float(len(text)), 1.0]}
            for index, text in enumerate(body["input"])
        ]
        return {"data": listed[::-1]}


@pytest.fixture(name="model")
def _model() -> Iterator[Model]:
    seen = Model()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            assert self.path == "/v1/embeddings"
            seen.asked.append(body)
            seen.keys.append(self.headers.get("authorization"))
            status = seen.answers.pop(0) if seen.answers else 200
            answer = json.dumps(seen.answer(body)).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    seen.url = f"http://127.0.0.1:{server.server_port}/v1"
    yield seen
    server.shutdown()
    thread.join()
    server.server_close()


class FixedClock:
    """Stands still on a day."""

    def __init__(self, day: int) -> None:
        self.day = day

    def wall_ns(self) -> int:
        return self.day * DAY_NS

    def monotonic_ns(self) -> int:
        return 0


@pytest.fixture(name="store")
def _store(tmp_path: Path) -> Iterator[TraceStore]:
    with closing(open_store(laid(Settings(data_dir=tmp_path)))) as store:
        store.upgrade()
        answer = said("assistant", "Yes.")
        record(
            store,
            [chat(number, [said("user", opening(number))], answer) for number in range(CALLS)],
        )
        yield store


def settings_of(tmp_path: Path, model: Model, **upstream: str) -> Settings:
    return Settings.model_validate(
        {
            "data_dir": tmp_path,
            "upstreams": {"local": {"base_url": model.url, **upstream}},
            "drift": {"embedding_model": "tiny"},
        }
    )


def window_of_calls(first: int, last: int) -> Window:
    ids = tuple(f"{number:032x}" for number in range(first, last))
    whole = made(len(ids), terms={"prompt_terms": [{1}] * len(ids)})
    return type(whole)(**{**whole.__dict__, "call_ids": ids})


def run(settings: Settings, store: TraceStore, *, day: int = 20_000, last: int = CALLS) -> Embedded:
    windows = window_of_calls(0, 3), window_of_calls(0, last)
    return embedded(settings, store, windows, project="default", clock=FixedClock(day))


def test_prompts_are_embedded_in_batches_and_in_the_order_of_calls(
    tmp_path: Path, store: TraceStore, model: Model
) -> None:
    found = run(settings_of(tmp_path, model), store)
    assert found.embeddings is not None
    assert found.embeddings.current_call_ids == window_of_calls(0, CALLS).call_ids
    lengths = [float(len(opening(number))) for number in range(CALLS)]
    assert found.embeddings.current[:, 0].tolist() == lengths
    assert found.embeddings.current.dtype == np.float32
    assert [len(body["input"]) for body in model.asked] == [3, BATCH_TEXTS, CALLS - BATCH_TEXTS - 3]
    assert {body["model"] for body in model.asked} == {"tiny"}
    assert model.keys == [None] * 3


def test_vectors_are_kept_and_not_asked_for_again(
    tmp_path: Path, store: TraceStore, model: Model
) -> None:
    settings = settings_of(tmp_path, model)
    first, second = run(settings, store), run(settings, store)
    assert len(model.asked) == 3
    assert first.embeddings is not None
    assert second.embeddings is not None
    assert second.embeddings.current.tolist() == first.embeddings.current.tolist()


def kept(tmp_path: Path) -> int:
    with closing(sqlite3.connect(tmp_path / "drift" / "embeddings.sqlite")) as file:
        count: int = file.execute("SELECT count(*) FROM vector").fetchone()[0]
    return count


def test_vectors_not_used_for_days_are_deleted(
    tmp_path: Path, store: TraceStore, model: Model
) -> None:
    settings = settings_of(tmp_path, model)
    run(settings, store)
    assert kept(tmp_path) == CALLS
    run(settings, store, day=20_000 + KEPT_DAYS + 1, last=5)
    assert kept(tmp_path) == 5


def test_vectors_of_calls_that_are_gone_are_deleted(
    tmp_path: Path, store: TraceStore, model: Model
) -> None:
    settings = settings_of(tmp_path, model)
    run(settings, store)
    other = tmp_path / "other"
    other.mkdir()
    with closing(open_store(laid(Settings(data_dir=other)))) as empty:
        empty.upgrade()
        run(settings, empty)
    assert kept(tmp_path) == 0


def test_no_model_named_is_no_request(tmp_path: Path, store: TraceStore, model: Model) -> None:
    settings = settings_of(tmp_path, model).model_copy(
        update={"drift": Settings(data_dir=tmp_path).drift}
    )
    assert run(settings, store) == Embedded()
    assert model.asked == []


def test_the_key_that_shalt_holds_is_sent(
    tmp_path: Path, store: TraceStore, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMBEDDING_KEY", "sk-test")
    run(settings_of(tmp_path, model, key="env:EMBEDDING_KEY"), store)
    assert set(model.keys) == {"Bearer sk-test"}


def test_a_busy_model_is_asked_again(
    tmp_path: Path, store: TraceStore, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "PAUSE_SECONDS", 0.0)
    model.answers = [429, 503]
    assert run(settings_of(tmp_path, model), store).embeddings is not None


@pytest.mark.parametrize(
    ("answers", "vectors", "says"),
    [([401], True, "holds no key"), ([404], True, "answers 404"), ([], False, "one vector")],
)
def test_a_refusal_is_a_note_and_not_an_error(
    tmp_path: Path, store: TraceStore, model: Model, answers: list[int], vectors: bool, says: str
) -> None:
    model.answers, model.vectors = answers, vectors
    found = run(settings_of(tmp_path, model), store)
    assert found.embeddings is None
    assert says in found.notes[0]


def test_an_upstream_that_is_not_there_is_a_note(
    tmp_path: Path, store: TraceStore, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "PAUSE_SECONDS", 0.0)
    model.url = "http://127.0.0.1:1/v1"
    assert "not reached" in run(settings_of(tmp_path, model), store).notes[0]
