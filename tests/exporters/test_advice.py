"""What to do about a finding: how many calls, which ones, and a command that a shell takes."""

import shlex

import pytest

from exporters.advice import TRAINING_CALLS_MIN, calls_needed, with_actions
from exporters.drift import WindowSummary
from exporters.findings import Action, Finding
from storage.filters import compile_filter
from tests.exporters.found import IDS, finding, report, term


def action_of(found: Finding, project: str = "default") -> Action:
    current = WindowSummary("..2026-02-08", 3_100, 2_500)
    (advised,) = with_actions(report(found, current=current), project=project).findings
    assert advised.action is not None
    return advised.action


@pytest.mark.parametrize(
    ("before", "now", "calls"),
    [(0.0, 0.102, 1_136), (0.5, 0.75, 10_000), (0.1, 0.1, 0), (0.2, 0.1, 0), (0.0, 1.0, 10_000)],
)
def test_so_many_calls_bring_the_share_of_training_to_that_of_traffic(
    before: float, now: float, calls: int
) -> None:
    assert calls_needed(10_000, before, now) == calls
    if calls and now < 1:
        assert (before * 10_000 + calls) / (10_000 + calls) == pytest.approx(now, abs=1e-4)


@pytest.mark.parametrize(
    ("found", "condition"),
    [
        (finding(), "has(prompt_years, '2024')"),
        (finding("tools", "refund@1e"), "has(tools_offered, 'refund@1e')"),
        (finding("tools_called", "it's"), "has(tools_called, 'it''s')"),
        (
            finding("parameters", "top_p=0.5"),
            "(parameters like '%\"top\\_p\":0.5,%' or parameters like '%\"top\\_p\":0.5}')",
        ),
        (finding("prompt_words", "> 24", kind="number"), "prompt_words > 24"),
        (
            finding("prompt_digits_permille", "<= 2.5", kind="number"),
            "prompt_digits_permille <= 25",
        ),
        (finding("score:thumbs", "> 0.5", kind="number"), "scores['thumbs'] > 0.5"),
        (finding("input_tokens", "none", kind="number"), "input_tokens is null"),
        (finding("template_hash", "0af3", kind="category"), "template_hash = '0af3'"),
        (finding("refusal", "1", kind="category"), "refusal = 1"),
        (finding("answer_language", "es", kind="category"), "answer_language = 'es'"),
        (
            finding("answer_json", "a,b", kind="category", sentence="one of 2 values that gained"),
            "answer_json in ('a', 'b')",
        ),
        (term("date 2024"), "has(prompt_terms, 'date 2024')"),
    ],
)
def test_a_finding_becomes_a_filter_over_the_current_window(found: Finding, condition: str) -> None:
    where = action_of(found).where
    assert where == f"started_at < '2026-02-08T00:00:00Z' and {condition}"
    compile_filter(where)


@pytest.mark.parametrize(
    "found",
    [
        finding("prompt", "", kind="classifier"),
        finding("request_model", "x" * 2_000, kind="category"),
        finding("request_model", "nul\0", kind="category"),
        finding("request_model", "turned \u202e round", kind="category"),
        finding("nobody_knows", "1", kind="category"),
    ],
)
def test_what_no_filter_can_say_names_its_example_calls(found: Finding) -> None:
    assert action_of(found).where == f"id in ('{IDS[0]}', '{IDS[1]}')"


def test_without_a_filter_and_without_examples_there_is_no_command() -> None:
    made = action_of(finding("nobody_knows", "1", kind="category", example_call_ids=()))
    assert (made.where, made.command) == ("", "")


def test_the_command_is_one_that_a_shell_takes_apart_again() -> None:
    made = action_of(finding("tools_called", "a\"b'$(rm) `c` !"), project="it's")
    words = shlex.split(made.command)
    assert words[:2] == ["shalt", "export"]
    assert words[words.index("--where") + 1] == made.where
    assert words[words.index("--project") + 1] == "it's"
    assert words[2] == "drift-tools-called-a-b-rm-c"


def test_a_filter_stands_in_double_quotes_so_that_it_can_be_read() -> None:
    assert '--where "started_at' in action_of(finding()).command


def test_the_advice_names_a_number_and_why() -> None:
    assert "at least 1,136 calls" in action_of(finding()).advice
    few = action_of(finding(now=0.004))
    assert few.calls == TRAINING_CALLS_MIN
    assert "a trainer learns nothing" in few.advice
    most = action_of(finding(now=0.9))
    assert most.advice.startswith("Train on the current traffic")


def test_of_what_went_away_nothing_is_to_be_added() -> None:
    gone = action_of(finding("prompt_years", "2023", 1.0, 0.9))
    assert (gone.calls, gone.command) == (0, "")
    assert gone.where == "has(prompt_years, '2023')"


def test_no_training_helps_against_another_model_upstream() -> None:
    made = action_of(finding("response_model", "gpt-5", kind="category"))
    assert made.advice.startswith("No training helps")
    assert made.command == ""


@pytest.mark.parametrize(
    "found",
    [
        finding("refusal", "1", 0.01, 0.2, kind="category", side="answer"),
        finding("answer_json", "broken", 0.01, 0.2, kind="category"),
        finding("answer_new_years", "2023", 0.01, 0.2),
    ],
)
def test_faults_of_answers_are_not_to_be_learnt_but_corrected(found: Finding) -> None:
    made = action_of(found)
    assert "training must not learn them" in made.advice
    words = shlex.split(made.command)
    assert words[words.index("--where") + 1] == f"{made.where} and labelled"


def test_more_answers_that_are_well_formed_are_no_fault() -> None:
    made = action_of(finding("answer_json", "object", 0.01, 0.2, kind="category"))
    assert "labelled" not in made.command
    assert "Correct the answers that are wrong first" in made.advice


def test_a_score_that_changed_is_for_people_to_look_at() -> None:
    made = action_of(finding("score:thumbs", "<= 0.5", 0.1, 0.3, kind="number"))
    assert made.command == ""
    assert "scores['thumbs'] <= 0.5" in made.where


def test_the_size_of_training_is_that_of_the_export_where_the_reference_is_a_sample() -> None:
    (advised,) = with_actions(report(finding()), training_rows=1_000_000).findings
    assert advised.action is not None
    assert advised.action.calls == calls_needed(1_000_000, 0.0, 0.102)


def test_a_filter_of_the_window_is_kept_together() -> None:
    current = WindowSummary("where:refusal = 1 OR streamed", 9, 9)
    (advised,) = with_actions(report(finding(), current=current), where="redacted").findings
    assert advised.action is not None
    assert advised.action.where == (
        "(refusal = 1 OR streamed) and redacted and has(prompt_years, '2024')"
    )


def test_other_parameters_are_measured_and_not_trained_on() -> None:
    made = action_of(finding("parameters", "max_tokens=900"))
    assert made.advice.startswith("No training helps")
    assert (made.command, made.calls) == ("", 0)


def test_calls_that_are_streamed_now_do_not_take_longer() -> None:
    made = action_of(finding("time_to_first_token_ms", "none", kind="number"))
    assert "streamed" in made.advice
    assert "longer" not in made.advice


def test_a_command_names_the_options_it_is_given() -> None:
    options = ["--data-dir", "/srv/our data"]
    told = with_actions(report(finding()), project="shop", options=options)
    assert told.findings[0].action is not None
    words = shlex.split(told.findings[0].action.command)
    assert words[-4:] == ["--project", "shop", *options]
