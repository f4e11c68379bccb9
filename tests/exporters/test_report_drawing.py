"""Reports are drawn by a process of their own, as they would be here."""

from exporters.advice import with_actions
from exporters.report import report_json
from exporters.report_drawing import Wanted, draw, draw_report
from tests.exporters.found import finding, full_report, report, term


def test_a_report_is_drawn_apart_as_it_is_drawn_here() -> None:
    told = report_json(with_actions(full_report()))
    wanted = Wanted(told, "shop", "/review/drift/1/export", "0123")
    drawn = draw_report(wanted)
    assert drawn == draw(wanted)
    assert "<svg" in drawn.element
    assert 'value="0123"' in drawn.element


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
