"""Checks count everything that is wrong, and word a few."""

from exporters.checks import PROBLEMS_SHOWN, Check, Problems, State


def test_a_check_without_problems_is_ok() -> None:
    assert Problems().check("files", "12 files") == Check("files", State.OK, "12 files")


def test_of_many_problems_the_first_few_are_worded() -> None:
    problems = Problems()
    for number in range(1000):
        problems.add(f"row {number}")
    check = problems.check("format", "rows")
    assert (check.state, check.problem_count) == (State.FAILED, 1000)
    assert check.problems == tuple(f"row {number}" for number in range(PROBLEMS_SHOWN))
