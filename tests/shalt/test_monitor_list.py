"""Tests of shalt.monitor_list: monitors of the settings and of the file."""

from pathlib import Path

import pytest

from shalt.monitor_list import MonitorList, MonitorRefused, MonitorsUnreadable, write_whole
from shalt.monitors import MONITORS_MAX, Monitor
from shalt.settings import Settings

EXPORT = Monitor(reference="exports/a")


def listed(path: Path, **given: object) -> MonitorList:
    return MonitorList(Settings.model_validate(given), path / "monitors.json")


def test_those_of_the_settings_and_those_added_are_listed_by_name(tmp_path: Path) -> None:
    monitors = listed(tmp_path, monitors={"b": EXPORT})
    monitors.add("a", EXPORT)
    assert {name: asked.source for name, asked in monitors.all().items()} == {
        "a": "api",
        "b": "settings",
    }


def test_a_monitor_that_names_no_project_has_that_of_the_settings(tmp_path: Path) -> None:
    monitors = listed(tmp_path, project="shop", monitors={"a": EXPORT})
    monitors.add("b", Monitor(reference="x", project="other"))
    projects = [asked.monitor.project for asked in monitors.all().values()]
    assert projects == ["shop", "other"]


def test_another_list_sees_what_was_added_and_removed(tmp_path: Path) -> None:
    console, watcher = listed(tmp_path), listed(tmp_path)
    assert watcher.all() == {}
    console.add("a", EXPORT)
    assert list(watcher.all()) == ["a"]
    assert console.remove("a")
    assert watcher.all() == {}
    assert not console.remove("a")


def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    monitors = listed(tmp_path, monitors={"b": EXPORT})
    monitors.add("a", EXPORT)
    for name in ("a", "b"):
        with pytest.raises(MonitorRefused, match="remove it first"):
            monitors.add(name, EXPORT)


def test_there_is_an_end_to_how_many(tmp_path: Path) -> None:
    monitors = listed(tmp_path, monitors={"of-settings": EXPORT})
    for number in range(MONITORS_MAX - 1):
        monitors.add(f"m{number}", EXPORT)
    with pytest.raises(MonitorRefused, match="12 monitors"):
        monitors.add("one-more", EXPORT)


def test_one_of_the_settings_is_not_removed_here(tmp_path: Path) -> None:
    with pytest.raises(MonitorRefused, match="stands in the settings"):
        listed(tmp_path, monitors={"a": EXPORT}).remove("a")


def test_a_name_that_is_no_label_is_not_added(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="monitor name"):
        listed(tmp_path).add("../a", EXPORT)


@pytest.mark.parametrize(
    "text",
    ["", "{", '{"version": 2, "monitors": {}}', '{"monitors": {"A b": {"reference": "x"}}}'],
)
def test_a_file_that_is_no_list_is_said_so_and_not_overwritten(text: str, tmp_path: Path) -> None:
    path = tmp_path / "monitors.json"
    path.write_text(text)
    monitors = listed(tmp_path, monitors={"a": EXPORT})
    with pytest.raises(MonitorsUnreadable, match=r"is no list of monitors: .*; mend it") as raised:
        monitors.all()
    assert "\n" not in str(raised.value)  # one line of a log
    with pytest.raises(MonitorsUnreadable):
        monitors.add("b", EXPORT)
    assert path.read_text() == text
    assert list(monitors.of_settings()) == ["a"]


def test_a_file_is_replaced_whole_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "state.json"
    write_whole(path, b"old")
    write_whole(path, b"new")
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"new", 0o600)
    assert list(path.parent.iterdir()) == [path]
