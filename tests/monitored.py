"""Call logs as an application sends them, dated one year or another, for the tests of monitors."""

import json
import random
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

from shalt.evaluating import Evaluation
from shalt.monitor_state import Evaluated, MonitorState, read_state
from shalt.monitors import Monitor
from shalt.places import Places
from shalt.recording import open_store
from shalt.settings import Settings
from shalt.unseen import WATCHED
from shalt.watching import Start
from storage.capture import Capture, SystemClock
from storage.store import TraceStore
from storage.trace import Json
from tests.exporters.calls import WORDS, chat, record, said
from tests.relaying import wait_until
from tests.stores import laid

SYSTEM = "You extract fields from call logs. Answer in JSON."


def call_log(number: int, year: int) -> tuple[str, str]:
    """Write what is asked and what is answered of one call log."""
    chance = random.Random(number)
    date = f"{year}-{chance.randint(1, 12):02d}-{chance.randint(1, 28):02d}"
    asked = f"{date}: {' '.join(chance.choices(WORDS, k=chance.randint(8, 20)))}"
    return asked, json.dumps({"date": date, "caller": chance.choice(WORDS)})


def captured(
    number: int,
    year: int,
    *,
    hours_ago: float = 0.0,
    model: str = "tiny-1",
    tools: tuple[str, ...] = (),
) -> Capture:
    """Capture a call about a call log; its id begins with when it started."""
    started_ns = time.time_ns() - int(hours_ago * 3.6e12)
    asked, answered = call_log(number, year)
    messages = [said("system", SYSTEM), said("user", asked)]
    call_id = (started_ns // 10**6 << 80) + number
    answer = said("assistant", answered)
    offered: list[Json] = [
        {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
        for name in tools
    ]
    if not tools:
        return chat(call_id, messages, answer, started_at_ns=started_ns, model=model)
    return chat(call_id, messages, answer, started_at_ns=started_ns, model=model, tools=offered)


@contextmanager
def filled(settings: Settings, captures: list[Capture]) -> Iterator[TraceStore]:
    """Store calls where `settings` say; yield the store."""
    Places(settings.data_dir).prepare()
    with closing(open_store(laid(settings))) as store:
        store.upgrade()
        record(store, captures)
        yield store


def state_of(data_dir: Path, name: str) -> MonitorState:
    """Wait until a monitor has been evaluated or has failed; return its state."""

    def found() -> MonitorState | None:
        state = read_state(Places(data_dir).watch_state).monitors.get(name)
        tried = state is not None and any(
            tally.evaluations or tally.failures for tally in state.tallies.values()
        )
        return state if tried else None

    state = wait_until(found, 100)  # what evaluates gives way to all other tests
    assert state is not None
    return state


class AtOnce:
    """An evaluation made in this process: a seam of the watcher, not a process of its own."""

    def __init__(
        self,
        settings: Settings,
        store: TraceStore,
        name: str,
        monitor: Monitor,
        windows: tuple[str, ...],
    ) -> None:
        self.name, self.monitor, self.windows = name, monitor, windows
        self._evaluation = Evaluation(settings, store, name, monitor, SystemClock())

    def result(self) -> Evaluated:
        return self._evaluation.run(self.windows, WATCHED)

    def end(self) -> None:
        pass


def at_once(settings: Settings, store: TraceStore) -> Start:
    """Make what a watcher starts evaluations by, where no process is wanted."""
    return partial(AtOnce, settings, store)
