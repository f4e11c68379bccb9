"""Embed the prompts of two windows, where the settings name a model (`[drift] embedding_model`).

Prompts of at most CALLS_MAX sampled calls of each window, evenly over time, go to the upstream's
`/embeddings` as OpenAI has it (https://platform.openai.com/docs/api-reference/embeddings), under
the key that shalt holds: content leaves for where calls go anyway, and only then. Calls whose
bodies are gone are left out.

Vectors are kept in DATA_DIR/drift/embeddings.sqlite by model and call, for a reference is compared
every hour. They are content of a kind, so at every use those of calls that are no longer kept are
deleted, and those not used for KEPT_DAYS; at most KEPT_MAX stay.

Never a reason not to compare: what goes wrong is said in the report's notes. Limits: TEXT_CHARS_MAX
of a prompt, BATCH_TEXTS a request, REQUEST_SECONDS for an answer, TRIES of a busy upstream,
DIMENSIONS_MAX.
"""

import logging
import sqlite3
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx2
import msgspec
import numpy as np

from exporters.mean_discrepancy import VectorArray
from exporters.text_differences import Embeddings
from exporters.windows import Window
from shalt.places import Places
from shalt.settings import Settings
from shalt.upstreams import Upstream
from storage.capture import Clock
from storage.derive import derive
from storage.features import prompt_of
from storage.store import TraceStore

log = logging.getLogger(__name__)

CALLS_MAX: Final = 1_000  # a shift of a tenth of the topics is seen among so many
TEXT_CHARS_MAX: Final = 2_000  # some 500 tokens: what common models read at least
BATCH_TEXTS: Final = 64
REQUEST_SECONDS: Final = 30.0
TRIES: Final = 3
PAUSE_SECONDS: Final = 1.0  # doubled with every try
DIMENSIONS_MAX: Final = 8_192
ANSWER_BYTES_MAX: Final = BATCH_TEXTS * DIMENSIONS_MAX * 32
KEPT_DAYS: Final = 8
KEPT_MAX: Final = 20_000
LOCK_SECONDS: Final = 10.0  # another evaluation writes its vectors

_AGAIN: Final = frozenset({408, 429, 500, 502, 503, 504})
_DAY_NS: Final = 86_400 * 10**9


class EmbeddingFailed(Exception):
    """No vectors: the upstream refuses, does not answer, or has no key. The message says which."""


class _Vector(msgspec.Struct, frozen=True):
    index: int
    embedding: list[float]


class _Answer(msgspec.Struct, frozen=True):
    data: list[_Vector]


_decode = msgspec.json.Decoder(_Answer).decode


@dataclass(frozen=True)
class Embedded:
    """The vectors of both windows, or why there are none; both empty where none are wanted."""

    embeddings: Embeddings | None = None
    notes: tuple[str, ...] = ()


def embedded(
    settings: Settings,
    store: TraceStore,
    windows: tuple[Window, Window],
    *,
    project: str,
    clock: Clock,
) -> Embedded:
    """Embed prompts of the reference and the current window, if the settings name a model."""
    model = settings.drift.embedding_model
    if not model:
        return Embedded()
    name = settings.drift.embedding_upstream or settings.default_upstream
    try:
        if name not in settings.upstreams:
            raise EmbeddingFailed(f"there is no upstream {name!r}")
        upstream = settings.upstreams[name]
        path = Places(settings.data_dir).drift / "embeddings.sqlite"
        with closing(_Kept(path, f"{upstream.base_url} {model}", clock)) as kept:
            embedder = _Embedder(store, project, kept, upstream, model)
            reference, current = (embedder.embed(_chosen(window)) for window in windows)
            kept.tidy(store)
    except (EmbeddingFailed, sqlite3.Error) as error:
        log.warning("prompts not embedded reason=%s", error)
        return Embedded(notes=(f"Prompts were not embedded: {error}.",))
    return Embedded(
        Embeddings(
            reference.vectors,
            current.vectors,
            reference_call_ids=reference.call_ids,
            current_call_ids=current.call_ids,
        )
    )


def _chosen(window: Window) -> list[str]:
    """Choose calls of the sample, evenly over the window, which is in order of time."""
    terms = window.terms.get("prompt_terms")
    rows = np.arange(len(window)) if terms is None else terms.rows
    if len(rows) > CALLS_MAX:
        rows = rows[np.linspace(0, len(rows) - 1, CALLS_MAX).astype(np.int64)]
    return [window.call_ids[row] for row in rows.tolist()]


@dataclass(frozen=True, eq=False)
class _Vectors:
    call_ids: tuple[str, ...]
    vectors: VectorArray


class _Embedder:
    """Gets the vectors of calls: those that are kept, and of the others from the upstream."""

    def __init__(
        self, store: TraceStore, project: str, kept: "_Kept", upstream: Upstream, model: str
    ) -> None:
        self._store = store
        self._project = project
        self._kept = kept
        self._upstream = upstream
        self._model = model

    def embed(self, call_ids: Sequence[str]) -> _Vectors:
        vectors = self._kept.get(call_ids)
        missing = [call_id for call_id in call_ids if call_id not in vectors]
        with self._client() as client:
            for batch in self._batches(missing):
                texts = [text for _, text in batch]
                found = dict(zip([id for id, _ in batch], self._ask(client, texts), strict=True))
                self._kept.add(found)
                vectors.update(found)
        have = [call_id for call_id in call_ids if call_id in vectors]
        if len({len(vectors[call_id]) for call_id in have}) > 1:
            raise EmbeddingFailed(f"{self._model} gives vectors of more than one length")
        rows = [vectors[call_id] for call_id in have]
        return _Vectors(tuple(have), np.array(rows) if rows else np.zeros((0, 1), np.float32))

    def _batches(self, call_ids: Sequence[str]) -> Iterator[list[tuple[str, str]]]:
        batch: list[tuple[str, str]] = []
        for call_id in call_ids:
            call = self._store.get(call_id, self._project)
            if call is None or call.capture is None:
                continue
            text = prompt_of(derive(call.capture))[:TEXT_CHARS_MAX].strip()
            if text:
                batch.append((call_id, text))
            if len(batch) == BATCH_TEXTS:
                yield batch
                batch = []
        if batch:
            yield batch

    def _client(self) -> httpx2.Client:
        upstream = self._upstream
        headers = {}
        if upstream.secret is not None:
            headers["authorization"] = f"Bearer {upstream.secret.get_secret_value()}"
        proxy = None
        if (egress := upstream.egress) is not None:
            if not egress.speaks_http:
                raise EmbeddingFailed(f"by way of {egress.url} no embeddings are asked for here")
            authorization = egress.authorization
            proxy = httpx2.Proxy(
                egress.url,
                headers={b"proxy-authorization": authorization} if authorization else None,
                ssl_context=(
                    _trusting(upstream.proxy_ca_file) if egress.scheme == "https" else None
                ),
            )
        trusted = _trusting(upstream.ca_file)
        return httpx2.Client(
            headers=headers,
            timeout=REQUEST_SECONDS,
            verify=trusted,
            proxy=proxy,
            trust_env=False,  # the upstream's settings have read it
        )

    def _ask(self, client: httpx2.Client, texts: Sequence[str]) -> list[VectorArray]:
        """Ask for the vectors of a batch, in its order. Raises EmbeddingFailed."""
        url = self._upstream.base_url.rstrip("/") + "/embeddings"
        asked = {"model": self._model, "input": list(texts), "encoding_format": "float"}
        said = ""
        for each in range(TRIES):
            if each:
                time.sleep(PAUSE_SECONDS * 2 ** (each - 1))
            try:
                answer = client.post(url, json=asked)
            except httpx2.TransportError as error:
                said = f"{url} is not reached ({type(error).__name__})"
                continue
            if answer.is_success:
                return _read(answer.content, len(texts), url)
            said = f"{url} answers {answer.status_code}"
            if answer.status_code in (401, 403) and self._upstream.secret is None:
                said += ": shalt holds no key of it (set its `key` to env:NAME)"
            if answer.status_code not in _AGAIN:
                break
        raise EmbeddingFailed(said)


def _trusting(authorities: Path | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authorities) if authorities else None)


def _read(data: bytes, count: int, url: str) -> list[VectorArray]:
    """Read the vectors of `count` texts, in the order of the texts."""
    try:
        if len(data) > ANSWER_BYTES_MAX:
            raise ValueError("it is too long")
        listed = sorted(_decode(data).data, key=lambda vector: vector.index)
        if [vector.index for vector in listed] != list(range(count)):
            raise ValueError("it has not one vector for each text")
        vectors = [np.array(vector.embedding, dtype=np.float32) for vector in listed]
        if not all(0 < len(vector) <= DIMENSIONS_MAX for vector in vectors):
            raise ValueError("a vector is empty or too long")
    except (ValueError, msgspec.MsgspecError) as error:
        raise EmbeddingFailed(f"the answer of {url} cannot be used: {error}") from error
    return vectors


class _Kept:
    """Vectors by model and call, in a file of their own; what is in it can be asked for again."""

    def __init__(self, path: Path, model: str, clock: Clock) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._model = model
        self._today = clock.wall_ns() // _DAY_NS
        self._file = sqlite3.connect(path, timeout=LOCK_SECONDS, isolation_level=None)
        self._file.execute(
            "CREATE TABLE IF NOT EXISTS vector (model TEXT, call_id TEXT, used_day INTEGER,"
            " vector BLOB, PRIMARY KEY (model, call_id)) WITHOUT ROWID"
        )
        self._file.execute("PRAGMA secure_delete = ON")

    def close(self) -> None:
        self._file.close()

    def get(self, call_ids: Sequence[str]) -> dict[str, VectorArray]:
        """Find the vectors that are kept of some calls, and note that they are in use."""
        found: dict[str, VectorArray] = {}
        for call_id in call_ids:
            row = self._file.execute(
                "SELECT vector, used_day FROM vector WHERE model = ? AND call_id = ?",
                (self._model, call_id),
            ).fetchone()
            if row is None:
                continue
            found[call_id] = np.frombuffer(row[0], dtype="<f4").astype(np.float32)
            if row[1] != self._today:
                self._file.execute(
                    "UPDATE vector SET used_day = ? WHERE model = ? AND call_id = ?",
                    (self._today, self._model, call_id),
                )
        return found

    def add(self, vectors: dict[str, VectorArray]) -> None:
        """Keep vectors, all of them or none."""
        rows = [
            (self._model, call_id, self._today, vector.astype("<f4").tobytes())
            for call_id, vector in vectors.items()
        ]
        with self._file:
            self._file.execute("BEGIN IMMEDIATE")
            self._file.executemany("INSERT OR REPLACE INTO vector VALUES (?, ?, ?, ?)", rows)

    def tidy(self, store: TraceStore) -> None:
        """Delete vectors not used for long, beyond the limit, or of calls that are gone."""
        self._file.execute("DELETE FROM vector WHERE used_day < ?", (self._today - KEPT_DAYS,))
        self._file.execute(
            "DELETE FROM vector WHERE (model, call_id) IN"
            " (SELECT model, call_id FROM vector ORDER BY used_day DESC LIMIT -1 OFFSET ?)",
            (KEPT_MAX,),
        )
        kept = [row[0] for row in self._file.execute("SELECT DISTINCT call_id FROM vector")]
        known = {row.id for row in store.rows(kept)}
        self._file.executemany(
            "DELETE FROM vector WHERE call_id = ?", [(id,) for id in kept if id not in known]
        )
