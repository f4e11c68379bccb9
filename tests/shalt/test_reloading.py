"""Tests of shalt.reloading: its steps, with children that do nothing. All of it: tests.flow."""

from pathlib import Path

import pytest

from shalt.child import Orders
from shalt.children import Child
from shalt.reloading import (
    FIXED,
    NotReloadable,
    Progress,
    Reloads,
    Replacement,
    read_reloads,
    refuse_fixed,
)
from shalt.settings import Settings


class Idle(Child):
    """A child without a process, that is ready or has ended as the test says."""

    def __init__(self) -> None:
        orders = Orders(settings=Settings(), console_socket=Path("/nowhere"))
        super().__init__("worker", orders, Path("/nowhere"))
        self.done: list[str] = []
        self.ready = self.ended = False

    def start(self) -> None:
        self.done.append("start")

    def retire(self) -> None:
        self.done.append("retire")

    def is_ready(self) -> bool:
        return self.ready

    def has_ended(self) -> bool:
        return self.ended

    def look_after(self) -> bool:
        self.done.append("look after")
        return False


def test_an_old_worker_retires_when_its_successor_serves_and_not_before() -> None:
    old, new = [Idle(), Idle()], [Idle(), Idle()]
    replacement = Replacement(old, new)
    for _ in range(3):
        assert replacement.step() is Progress.GOING_ON
    assert [each.done for each in (*old, *new)] == [[], [], ["start"], []]
    new[0].ready = True
    replacement.step()
    assert replacement.retired == old[:1]
    replacement.step()
    new[1].ready = True
    replacement.step()
    assert replacement.step() is Progress.DONE
    assert [each.done for each in (*old, *new)] == [["retire"], ["retire"], ["start"], ["start"]]


def test_where_the_first_does_not_come_up_all_stays_as_it_was() -> None:
    old, new = [Idle(), Idle()], [Idle(), Idle()]
    replacement = Replacement(old, new)
    replacement.step()
    new[0].ended = True
    assert replacement.step() is Progress.FAILED
    assert old[0].done == []


def test_where_a_later_one_dies_it_is_started_again() -> None:
    old, new = [Idle(), Idle()], [Idle(), Idle()]
    replacement = Replacement(old, new)
    new[0].ready = new[1].ended = True
    for _ in range(4):
        assert replacement.step() is Progress.GOING_ON
    assert new[1].done[:2] == ["start", "look after"]
    assert old[1].done == []


@pytest.mark.parametrize("name", FIXED)
def test_what_is_fixed_at_the_start_cannot_be_reloaded(name: str) -> None:
    values = {
        "host": "::1",
        "port": 1,
        "data_dir": Path("/x"),
        "store": "sqlite:///y",
        "workers": 9,
    }
    changed = Settings(**{name: values[name]})  # type: ignore[arg-type]
    with pytest.raises(NotReloadable, match=f"{name} cannot change"):
        refuse_fixed(Settings(), changed)


def test_everything_else_can_and_a_directory_is_one_however_it_is_named(tmp_path: Path) -> None:
    refuse_fixed(Settings(), Settings(project="shop", sample_ratio=0.5))
    refuse_fixed(Settings(data_dir=Path("x")), Settings(data_dir=Path("x").absolute()))


def test_what_became_of_reloads_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "reload.json"
    assert read_reloads(path) is None
    Reloads(12, 1, 2, "why").write(path)
    assert read_reloads(path) == Reloads(12, 1, 2, "why")
    path.write_text("{")
    assert read_reloads(path) is None
