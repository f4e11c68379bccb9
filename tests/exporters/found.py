"""Findings and reports for the tests of what is made of them: written here, nothing measured."""

from typing import Any

import msgspec

from exporters.drift import (
    Classifier,
    DriftReport,
    Outcome,
    ScoreShift,
    SelfCheck,
    WindowSummary,
)
from exporters.findings import (
    Distribution,
    Effect,
    Finding,
    Slice,
    Unseen,
    UnseenValue,
)

HOSTILE = '<script>alert(1)</script>"\u202e\x1b[2J'
IDS = tuple(f"01a0c45073d{number:021x}" for number in range(5))
START_US = 1_769_990_400_000_000  # 2 February 2026
HOUR_US = 3_600_000_000


def finding(
    feature: str = "prompt_years",
    value: str = "2024",
    before: float = 0.0,
    now: float = 0.102,
    **fields: Any,
) -> Finding:
    """Make a finding with drift, of a set unless it is said otherwise."""
    values: dict[str, Any] = {
        "feature": feature,
        "side": "answer" if feature.startswith("answer") else "prompt",
        "kind": "set",
        "value": value,
        "sentence": f"{now:.1%} of calls have {value} now; {before:.1%} in the reference.",
        "reference": before,
        "current": now,
        "effect": Effect(now - before, now - before - 0.03, now - before + 0.04),
        "floor": 0.01,
        "p_value": 1e-29,
        "p_adjusted": 3e-27,
        "unseen": before == 0,
        "drift": True,
        "example_call_ids": IDS[:2],
    }
    return Finding(**values | fields)


def term(text: str, before: float = 0.0, now: float = 0.1, **fields: Any) -> Finding:
    """Make a finding of a term whose word is known."""
    return finding("prompt_terms", text, before, now, kind="term", term_hash=7, **fields)


def bars(*labels: str, edges: int = 0) -> Distribution:
    """Make a distribution: of named values, or of a number with so many bars."""
    count = len(labels) or edges
    share = 1 / count
    places = tuple(float(place * place) for place in range(edges + 1)) if edges else ()
    return Distribution(labels, places, (share,) * count, (share,) * count)


def outcome(feature: str, distribution: Distribution | None = None, **fields: Any) -> Outcome:
    """Say that a feature was tested and did not drift."""
    side = "answer" if feature.startswith("answer") else "prompt"
    kind = "number" if distribution and distribution.edges else "category"
    values: dict[str, Any] = {
        "feature": feature,
        "side": side,
        "kind": kind,
        "p_adjusted": 0.4,
        "drift": False,
        "note": "",
        "effect": Effect(0.01, -0.01, 0.03),
        "floor": 0.05,
        "distribution": distribution,
    }
    return Outcome(**values | fields)


def report(*findings: Finding, **fields: Any) -> DriftReport:
    """Make a report of two windows, of 10,000 and of 2,500 groups."""
    values: dict[str, Any] = {
        "version": 2,
        "verdict": "drift" if findings else "quiet",
        "why": f"{len(findings)} of 41 features changed",
        "alpha": 0.001,
        "feature_version": 2,
        "reference": WindowSummary("dataset", 12_000, 10_000),
        "current": WindowSummary("2026-02-01..2026-02-08", 3_100, 2_500),
        "shared_groups": 3,
        "findings": findings,
        "unseen": (),
        "outcomes": (),
    }
    return DriftReport(**values | fields)


def full_report() -> DriftReport:
    """Make a report that has something of everything, and hostile texts wherever a text may be."""
    over_time = tuple(Slice(START_US + n * 7 * HOUR_US, 100, n / 100) for n in range(24))
    unseen = Unseen("request_model", "call", 1, (UnseenValue(HOSTILE, 0.02, IDS),), 0.02)
    numbers = [outcome(f"{side}_words", bars(edges=16)) for side in ("prompt", "answer")]
    return report(
        finding(over_time=over_time, also=("date 2024", HOSTILE)),
        finding("prompt_words", "> 24", 0.3, 0.42, kind="number", over_time=over_time),
        finding("answer_terms", HOSTILE, 0, 0.03, kind="term", term_hash=5),
        finding("template_hash", "0af3", 0.4, 0.41, kind="category", drift=False),
        why=f"3 of 41 features changed: {HOSTILE}",
        reference=WindowSummary(
            HOSTILE, 12_000, 10_000, 9_000, 8_000, START_US, START_US + HOUR_US, {HOSTILE: HOSTILE}
        ),
        unseen=(unseen,),
        outcomes=(
            *numbers,
            outcome("request_model", bars("gpt-4o", HOSTILE)),
            outcome("cost_usd", note="the same for every call of both windows", effect=None),
        ),
        classifiers=(Classifier("prompt", Effect(0.83, 0.8, 0.85), 0.21, bars(edges=10)),),
        self_check=SelfCheck("quiet", "none of 41 features changed", 0.001, 9_000, 1_000),
        hours="Hours of the week are matched.",
        notes=("Languages are known of the sample alone.", HOSTILE),
        scores=(
            ScoreShift("thumbs", 120, 98, 0.91, 0.72, Effect(-0.19, -0.29, -0.09)),
            ScoreShift(HOSTILE, 0, 1, 0.0, 0.5),
        ),
    )


def many(count: int) -> DriftReport:
    """Make a report with so many findings of everything: as large as one gets."""
    full = full_report()
    findings = tuple(
        finding(
            f"prompt_words_{number}",
            "> 24",
            0.3,
            0.42,
            kind="number",
            over_time=full.findings[0].over_time,
        )
        for number in range(count)
    )
    outcomes = tuple(outcome(each.feature, bars(edges=40)) for each in findings)
    return msgspec.structs.replace(full, findings=findings, outcomes=outcomes)
