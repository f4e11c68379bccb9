"""What it takes to list and to search the calls of a store, for people who look for something.

    python -m benchmarks.store_queries sqlite:////path/to/shalt.sqlite [--reads 200]

Values are taken from calls drawn at random, so that what is frequent in the store is frequent in
the questions; one question in ten names a value that no call has. Lists are the newest 50 with a
model, an outcome, a tag and a range of time from an hour to all; a page from anywhere; failures;
the calls of a session, a user. Searches, where the store has an index of words (without, they
are left out): words that calls have, in one of three of them and rarely, two together, a phrase,
one without another, a word with a filter.
"""

import argparse
import random
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from functools import partial
from typing import Final

from storage import database, search
from storage.capture import SystemClock
from storage.derive import derive
from storage.rows import CallRow
from storage.search_words import Entry, entry_of
from storage.store import TraceStore

PAGE_CALLS: Final = 50
READS: Final = 200
SAMPLES: Final = 200
LIST_MS_MAX: Final = 100.0
SEARCH_MS_MAX: Final = 500.0
HOURS: Final = (1, 24, 7 * 24, 30 * 24)

Question = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", help="SQLAlchemy URL")
    parser.add_argument("--project", default="default")
    parser.add_argument("--reads", type=int, default=READS)
    given = parser.parse_args()
    store = TraceStore(given.store, clock=SystemClock())
    store.check()
    print_questions(store, given.project, reads=given.reads)
    store.close()


def print_questions(store: TraceStore, project: str = "default", *, reads: int = READS) -> None:
    """Ask questions of each kind; print the median, the 95th percentile and the slowest."""
    print(f"{'milliseconds':<34}{'median':>9}{'p95':>9}{'max':>9}{'limit':>8}")
    for name, (limit, questions) in kinds(store, project).items():
        times = sorted(timed(next(questions)) for _ in range(reads))
        middle, high, last = times[reads // 2], times[reads * 95 // 100], times[-1]
        print(f"{name:<34}{middle:>9.1f}{high:>9.1f}{last:>9.1f}{limit:>8.0f}", flush=True)


def kinds(
    store: TraceStore, project: str, seed: int = 5
) -> Mapping[str, tuple[float, Iterator[Question]]]:
    """Make endless questions of each kind, the same for the same store and seed."""
    chance = random.Random(seed)
    rows = _samples(store, project, chance)
    newest_50 = partial(store.list, project, limit=PAGE_CALLS)
    filters: dict[str, Callable[[], str]] = {
        "model + outcome + tag + time": lambda: _four(chance, rows),
        "failures of a model": lambda: (
            f"outcome <> 'complete' and request_model = '{chance.choice(rows).request_model}'"
        ),
        "one outcome, a tag": lambda: (
            f"outcome = '{chance.choice(['client_gone', 'upstream_timeout', 'upstream_error'])}'"
            f" and {_tag(chance, rows)}"
        ),
        "two tags": lambda: f"{_tag(chance, rows)} and {_tag(chance, rows)}",
        "a session": lambda: f"session_id = '{chance.choice(rows).session_id or 'none'}'",
        "a user": lambda: f"user_id = '{chance.choice(rows).user_id}'",
    }
    made: dict[str, tuple[float, Iterator[Question]]] = {
        "list: a page from anywhere": (
            LIST_MS_MAX,
            iter(lambda: partial(newest_50, before=chance.choice(rows).id), None),
        )
    }
    for name, make in filters.items():
        made[f"list: {name}"] = (LIST_MS_MAX, _filtered(newest_50, make))
    with database.reading(store.engine) as connection:
        is_searchable = search.exists(connection)
    if is_searchable:
        words = _Words(store, rows, chance)
        for name, ask in words.searches().items():
            made[f"search: {name}"] = (SEARCH_MS_MAX, _searched(newest_50, ask))
        with_filter = (
            partial(newest_50, where=_four(chance, rows), search=words.common())
            for _ in iter(int, 1)
        )
        made["search: common word + filter"] = (SEARCH_MS_MAX, with_filter)
    return made


def timed(question: Question) -> float:
    """Ask, and return milliseconds."""
    start = time.perf_counter()
    question()
    return (time.perf_counter() - start) * 1e3


class _Words:
    """Words to look for: of calls that are there, so that there is something to find."""

    def __init__(self, store: TraceStore, rows: list[CallRow], chance: random.Random) -> None:
        self._chance = chance
        self._texts = [text for row in rows if (text := _words_of(store, row))]
        counts: dict[str, int] = {}
        for text in self._texts:
            for word in set(text):
                counts[word] = counts.get(word, 0) + 1
        ordered = sorted(counts, key=lambda word: -counts[word])
        third = len(self._texts) * 0.3
        self._common = min(ordered[:100], key=lambda word: abs(counts[word] - third))
        self._frequent = ordered[:50]

    def common(self) -> str:
        """Return a word that three of ten calls have."""
        return self._common

    def searches(self) -> dict[str, Callable[[], str]]:
        """Name the kinds of searches."""
        pick = self._chance.choice
        return {
            "a word of 30 % of calls": self.common,
            "a frequent word": lambda: pick(self._frequent),
            "any word of a call": lambda: pick(pick(self._texts)),
            "two words of a call": lambda: f"{pick(text := pick(self._texts))} {pick(text)}",
            "two words of two calls": lambda: (
                f"{pick(pick(self._texts))} {pick(pick(self._texts))}"
            ),
            "a phrase": self._phrase,
            "a frequent phrase": lambda: f'"{pick(self._frequent)} {pick(self._frequent)}"',
            "frequent without frequent": lambda: f"{pick(self._frequent)} -{pick(self._frequent)}",
            "a word that no call has": lambda: f"nowhere{self._chance.randrange(10**6)}",
        }

    def _any(self) -> str:
        return self._chance.choice(self._chance.choice(self._texts))

    def _phrase(self) -> str:
        text = self._chance.choice(self._texts)
        at = self._chance.randrange(len(text))
        return f'"{" ".join(text[at : at + 3])}"'


def _words_of(store: TraceStore, row: CallRow) -> list[str]:
    found = store.get(row.id)
    if found is None or found.capture is None:
        return []
    entry: Entry = entry_of(derive(found.capture))
    return [*entry.asked, *entry.answered]


def _samples(store: TraceStore, project: str, chance: random.Random) -> list[CallRow]:
    """Draw calls at random moments between the first and the last one."""
    (newest,) = store.list(project, limit=1)
    (oldest,) = store.list(project, limit=1, after="")
    first, last = (int(row.id[:12], 16) for row in (oldest, newest))
    rows: list[CallRow] = []
    while len(rows) < SAMPLES:
        rows += store.list(project, limit=1, before=f"{chance.randint(first + 1, last + 1):012x}")
    return rows


def _filtered(ask: Callable[..., object], make: Callable[[], str]) -> Iterator[Question]:
    while True:
        yield partial(ask, where=make())


def _searched(ask: Callable[..., object], make: Callable[[], str]) -> Iterator[Question]:
    while True:
        yield partial(ask, search=make())


def _four(chance: random.Random, rows: list[CallRow]) -> str:
    """Write the filter of somebody who looks for certain calls of a certain time."""
    end = chance.choice(rows).started_at
    start = end - timedelta(hours=chance.choice(HOURS))
    outcome = chance.choice(["complete"] * 7 + ["upstream_error"] * 2 + ["client_gone"])
    return (
        f"request_model = '{chance.choice(rows).request_model}' and outcome = '{outcome}' "
        f"and {_tag(chance, rows)} "
        f"and started_at >= '{start:%Y-%m-%dT%H:%M:%SZ}' "
        f"and started_at < '{end:%Y-%m-%dT%H:%M:%SZ}'"
    )


def _tag(chance: random.Random, rows: list[CallRow]) -> str:
    tags = list(chance.choice(rows).tags.items())
    if not tags or chance.random() < 0.1:
        return "tags['nobody'] = 'has this'"
    key, value = chance.choice(tags)
    return f"tags['{key}'] = '{value}'"


if __name__ == "__main__":
    main()
