"""Reports are drawn by a process of their own, as they would be here."""

import subprocess
import sys

import pytest

from exporters import drawing
from exporters.advice import with_actions
from exporters.drawing import NotDrawn, Wanted, draw, draw_apart
from exporters.report import report_json
from tests.exporters.found import finding, full_report, report, term
from tests.serving import ROOT


def test_a_report_is_drawn_apart_as_it_is_drawn_here() -> None:
    told = report_json(with_actions(full_report()))
    wanted = Wanted(told, "shop", "/review/drift/1/export", "0123")
    drawn = draw_apart(wanted)
    assert drawn == draw(wanted)
    assert "<svg" in drawn.element
    assert 'value="0123"' in drawn.element


def test_what_draws_is_not_loaded_by_who_asks() -> None:
    heavy = "{'scipy', 'altair', 'vl_convert', 'pyarrow'}"
    code = f"import sys, review.routes; assert not {heavy} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_each_finding_has_the_selection_that_its_command_has() -> None:
    told = with_actions(report(finding(), finding("response_model", "tiny-2"), term("date 2024")))
    selections = draw(Wanted(report_json(told), "")).selections
    actions = [found.action for found in told.findings]
    assert [bool(each) for each in selections] == [bool(each and each.command) for each in actions]
    assert selections[0] is not None
    assert actions[0] is not None
    assert selections[0].where == actions[0].where
    assert selections[0].name in actions[0].command


def test_a_report_of_another_version_is_a_problem_and_no_drawing() -> None:
    drawn = draw(Wanted(b'{"version": 9}', ""))
    assert (drawn.element, "another version" in drawn.problem) == ("", True)


def test_a_drawing_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "DRAWING_SECONDS_MAX", 0.01)
    with pytest.raises(NotDrawn, match="longer than"):
        draw_apart(Wanted(b"{}", ""))
