"""Tests of shalt.unseen: values the reference never had, at the first call."""

import json
import time
from pathlib import Path

import pytest
from sqlalchemy import event, select

from shalt import unseen
from shalt.monitor_state import WindowState
from shalt.monitors import Monitor
from shalt.settings import Settings
from shalt.unseen import Unseen
from storage.features import FEATURE_VERSION
from storage.schema import tool_set
from storage.store import TraceStore
from tests.exporters.calls import record
from tests.monitored import captured, filled

KNOWN = {"prompt_years": frozenset({"2023"}), "response_model": frozenset({"tiny-1-0613"})}
MONITOR = Monitor(reference="a", project="default")


@pytest.fixture
def settings(store_url: str, tmp_path: Path) -> Settings:
    """Settings of a store of each kind: a test runs twice."""
    return Settings(data_dir=tmp_path, store=store_url)


def window(groups: int = 0, **ratios: float) -> dict[str, WindowState]:
    """A window that was evaluated with so many groups."""
    state = WindowState("quiet", "", 0.001, 0.0, 0.0, 0.1, 1000, groups, (), (), ratios)
    return {"1h": state}


def watch(since: float = 0.0, monitor: Monitor = MONITOR) -> Unseen:
    return Unseen(monitor, KNOWN, FEATURE_VERSION, since)


def ratios(
    looking: Unseen, store: TraceStore, groups: int = 0, **before: float
) -> dict[str, float]:
    looking.look(store, time.time())
    return looking.ratios(window(groups, **before))["1h"]


def test_the_first_call_with_a_new_value_raises_its_share(settings: Settings) -> None:
    with filled(settings, [captured(1, 2023)]) as store:
        looking = watch()
        assert ratios(looking, store) == {"prompt_years": 0, "response_model": 0}
        record(store, [captured(2, 2024)], offset=2)
        assert ratios(looking, store) == {"prompt_years": 0.5, "response_model": 0}
        record(store, [captured(3, 2023, model="tiny-2")], offset=3)
        assert ratios(looking, store)["response_model"] == pytest.approx(1 / 3)


def test_a_choice_of_known_tools_is_no_new_tool(settings: Settings) -> None:
    both = captured(1, 2023, tools=("look_up", "refund"))
    with filled(settings, [both]) as store:
        with store.reading() as connection:
            tools = connection.execute(select(tool_set.c.tools)).scalar_one()
        known = {"tools": frozenset(json.loads(tools))}
        looking = Unseen(MONITOR, known, FEATURE_VERSION, 0.0)
        record(store, [captured(2, 2023, tools=("refund",))], offset=2)
        assert ratios(looking, store) == {"tools": 0}
        record(store, [captured(3, 2023, tools=("refund", "close"))], offset=3)
        assert ratios(looking, store)["tools"] == pytest.approx(1 / 3)


def test_the_share_is_of_the_last_evaluation_and_what_came_since(settings: Settings) -> None:
    with filled(settings, [captured(1, 2024), captured(2, 2023)]) as store:
        found = ratios(watch(), store, 98, prompt_years=0.5)
        assert found["prompt_years"] == pytest.approx((49 + 1) / 100)


def test_what_was_evaluated_already_is_not_counted_twice(settings: Settings) -> None:
    with filled(settings, [captured(1, 2024, hours_ago=0.1)]) as store:
        assert ratios(watch(since=time.time() - 60), store)["prompt_years"] == 0


def test_a_call_that_is_stored_late_is_seen(settings: Settings) -> None:
    with filled(settings, [captured(1, 2023)]) as store:
        looking = watch()
        looking.look(store, time.time())
        # It began ten minutes before the one that was looked at.
        record(store, [captured(2, 2024, hours_ago=1 / 6)], offset=2)
        assert ratios(looking, store)["prompt_years"] == 0.5


def test_after_an_evaluation_only_what_came_late_or_since_is_counted(settings: Settings) -> None:
    calls = [captured(1, 2024, hours_ago=0.1), captured(2, 2024)]
    with filled(settings, calls) as store:
        before = watch()
        before.look(store, time.time())
        before.mark()  # an evaluation of windows that end a minute ago begins here
        record(store, [captured(3, 2023, hours_ago=0.1)], offset=2)
        after = watch(since=time.time() - 60)
        after.follow(before)
        # The second, for it began since; the third, which the evaluation may not have had.
        assert ratios(after, store)["prompt_years"] == 0.5


def test_a_call_is_looked_at_once(settings: Settings) -> None:
    with filled(settings, [captured(1, 2024)]) as store:
        looking = watch()
        looking.look(store, time.time())
        statements: list[str] = []
        event.listen(
            store.engine,
            "before_cursor_execute",
            lambda _connection, _cursor, statement, *_: statements.append(statement),
        )
        looking.look(store, time.time())
        assert not [each for each in statements if "JOIN feature" in each]


def test_only_the_newest_calls_are_read_where_there_are_too_many(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unseen, "CALLS_MAX", 1)
    calls = [captured(1, 2023, hours_ago=0.01), captured(2, 2024)]
    with filled(settings, calls) as store:
        assert ratios(watch(), store)["prompt_years"] == 1


def test_the_filter_of_the_monitor_holds(settings: Settings) -> None:
    tiny = MONITOR.model_copy(update={"where": "request_model = 'tiny-1'"})
    calls = [captured(1, 2023), captured(2, 2023, model="tiny-2")]
    with filled(settings, calls) as store:
        assert ratios(watch(monitor=tiny), store)["response_model"] == 0


def test_calls_measured_otherwise_are_not_compared(settings: Settings) -> None:
    with filled(settings, [captured(1, 2024)]) as store:
        other = Unseen(MONITOR, KNOWN, FEATURE_VERSION + 1, 0.0)
        assert ratios(other, store)["prompt_years"] == 0


def test_turns_of_a_conversation_count_once(settings: Settings) -> None:
    first = captured(1, 2024)
    again = captured(1, 2024)  # the same messages are the same group
    with filled(settings, [first, captured(2, 2023)]) as store:
        looking = watch()
        looking.look(store, time.time())
        if again.id != first.id:
            record(store, [again], offset=2)
        assert ratios(looking, store)["prompt_years"] == 0.5


def test_a_feature_of_too_many_values_is_not_watched() -> None:
    many = {"prompt_years": frozenset(map(str, range(unseen.VALUES_MAX + 1)))}
    assert Unseen(MONITOR, many, 2, 0.0).ratios(window())["1h"] == {}
