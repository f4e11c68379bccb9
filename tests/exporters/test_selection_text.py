"""A selection report as people read it."""

from exporters.findings import Effect
from exporters.selection_report import MeanDifference, SelectionReport, SliceShare, Step
from exporters.selection_text import selection_text

REPORT = SelectionReport(
    version=1,
    where="tags['grade'] = 'good'",
    funnel=(Step("calls", 12_000, 3_000), Step("matching", 4_000, 1_500)),
    groups=3_000,
    calls=9_000,
    kept_ratio=0.3,
    slices=(
        SliceShare(
            feature="request_model",
            value="tiny\x1b[2J",
            before=0.2,
            after=0.05,
            expected=300.0,
            lift=Effect(0.25, 0.2, 0.3),
            smd=Effect(-0.5, -0.6, -0.4),
            p_adjusted=1e-9,
            biased=True,
        ),
    ),
    differences=(
        MeanDifference(
            "prompt_words", "words in the prompt", 38.0, 48.5, Effect(-0.4, -0.5, -0.3), 1e-6, True
        ),
        MeanDifference("tool_count", "tools offered", 1.0, 1.0, Effect(0, -0.1, 0.1), 1.0, False),
    ),
    tests=(),
    auc=Effect(0.7, 0.66, 0.74),
    biased=("calls that ask for tiny?: 20 % of all, 5 % of the kept: 0.25 times their share",),
    undecided="",
)


def test_a_biased_selection_is_called_so_with_its_sentences() -> None:
    text = selection_text(REPORT, 200)
    assert "BIASED" in text
    assert f"  {REPORT.biased[0]}\n" in text
    assert "AUC of 0.70 (0.66 to 0.74" in text


def test_only_what_changed_beyond_chance_is_shown() -> None:
    text = selection_text(REPORT)
    assert "words in the prompt                38.0      48.5  -0.40" in text
    assert "tools offered" not in text


def test_what_a_client_sent_cannot_move_the_cursor() -> None:
    assert "\x1b" not in selection_text(REPORT)


def test_no_verdict_says_why() -> None:
    report = SelectionReport(
        1, "x", (), 0, 0, 0.0, (), (), (), None, (), "there are no conversations to choose from"
    )
    assert "No verdict: there are no conversations to choose from." in selection_text(report)


def test_lines_keep_to_the_width() -> None:
    assert max(map(len, selection_text(REPORT, 80).splitlines())) <= 80
