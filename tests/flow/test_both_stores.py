"""The same calls, labels and scores in SQLite and in PostgreSQL give the same export, byte by byte.

PostgreSQL sorts here as ICU's English does, rounds and compares in its own way, and reads bodies by
other statements: none of it may show.
"""

import json
import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from exporters.dataset import export
from exporters.request import ExportRequest
from exporters.selection import Turns
from storage.capture import Capture, Outcome
from storage.labels import Said
from storage.rows import Checkpoint, Recorded
from storage.store import TraceStore
from storage.targeted import create_test_set
from tests.exporters.calls import chat, record, said
from tests.exporters.conftest import StillClock, make_store
from tests.exporters.forged import text, traffic
from tests.postgres import Server
from tests.storage.saying import label, score

SESSIONS = (
    "a",
    "B",
    "Ä",
    "ä",
    "Z",
    "é",
    "e\u0301",
    "_x",
    "x y",
    "X-1",
    "x-1",
    "x1",
    "Ω",
    "中",
    "😀",
    "",
)
REQUESTS = {
    "plain": ExportRequest(),
    "filtered": ExportRequest(
        where="scores['good'] >= 0.3 or request_model = 'tiny' or labelled",
        accept_bias="both",
        turns=Turns.LAST,
        subsets=(12.5, 50.0),
    ),
    "pairs": ExportRequest(format="openai-dpo", regenerations=True),
    "apart": ExportRequest(
        time_holdout="1970-01-20..1970-01-25", format="parquet", max_duplicates=1
    ),
}


def odd_calls() -> Iterator[Capture]:
    """Calls whose groups sort in other orders elsewhere, and whose texts are seldom seen."""
    chance = random.Random(3)
    for number, session in enumerate(SESSIONS):
        for turn in range(3):
            asked = said("user", f"{text(chance)} {session} \u0000 \u2028 {turn}")
            answer = said("assistant", text(chance) + session)
            outcome = Outcome.COMPLETE if (number + turn) % 7 else Outcome.UPSTREAM_ERROR
            yield chat(
                2**20 + 16 * number + turn,
                [asked],
                answer,
                session=session,
                outcome=outcome,
                model=f"tiny {session}",
                started_at_ns=number * 10**9 + turn,
            )


def filled(url: str) -> TraceStore:
    """Make a store of many calls, labelled, scored, some of them a set of their own."""
    store = make_store(url)
    calls = [*traffic(100), *odd_calls()]
    record(store, calls)
    ids = [call.id for call in calls]
    said_of: list[Said] = [
        *(score(n, call_id=ids[3 * n], value=n / 40) for n in range(40)),
        *(label(100 + n, call_id=ids[5 * n], text=f"better {n}") for n in range(30)),
        *(label(200 + n, call_id=id) for n, id in enumerate(ids[-12:])),
    ]
    none: list[Recorded] = []
    store.insert(none, Checkpoint("f" * 32, 0, 2), said=said_of)
    where = "request_model = 'large' and substr(id, 31, 1) = '3'"
    create_test_set(store, "default", "large", where, clock=StillClock())
    return store


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, postgres: Server) -> Path:
    """A directory with each request's export, of both stores."""
    directory = tmp_path_factory.mktemp("both")
    url = postgres.url(postgres.create("migrated"))
    for kind, where in (("sqlite", f"sqlite:///{directory}/s.sqlite"), ("postgresql", url)):
        with closing(filled(where)) as store:
            for name, request in REQUESTS.items():
                export(store, request, directory / kind / name, processes=1)
    postgres.drop(url)
    return directory


@pytest.mark.parametrize("name", REQUESTS)
def test_both_stores_give_the_same_bytes(exported: Path, name: str) -> None:
    one, other = (
        {path.name: path.read_bytes() for path in sorted((exported / kind / name).iterdir())}
        for kind in ("sqlite", "postgresql")
    )
    assert one.keys() == other.keys()
    assert [file for file in one if one[file] != other[file]] == []


def test_what_is_compared_has_labels_sets_and_groups_that_sort_otherwise(exported: Path) -> None:
    ids = (exported / "postgresql" / "filtered" / "ids.jsonl").read_text()
    assert '"answer":"human"' in ids
    assert "targeted-large.jsonl" in ids
    lines = (exported / "postgresql" / "plain" / "ids.jsonl").read_text().splitlines()
    groups = [json.loads(line)["group"] for line in lines]
    assert {"B", "a", "ä", "😀"} <= set(groups)
    assert groups == sorted(groups)
    assert groups != sorted(groups, key=str.lower)
