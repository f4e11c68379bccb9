"""Comparisons of windows drawn again and again: ours in this process, the rival's in its own.

A draw depends on the case, the seed and the number of the repeat alone, so both judge the same
windows and any number of processes find the same. The rival's verdicts are kept in the scratch
directory, for they take longest and change least.
"""

import hashlib
import json
import subprocess
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from benchmarks.drift_calls import NEW_TOOL
from benchmarks.drift_cases import Case, Rival
from benchmarks.drift_pools import ROOT, IntArray, Pool, code_hash, draw, pool_of, write_columns
from benchmarks.drift_vectors import vectors_of
from exporters.drift import ALPHA, DriftReport, compare
from exporters.findings import Finding
from exporters.naming import beside_unseen
from exporters.text_differences import Embeddings
from exporters.windows import take
from storage.terms import terms_of
from tests.exporters.calls import span_of

UNSEEN_FEATURE: Final = "tools"  # name@hash of each tool
TERMS_SHOWN: Final = 3  # a person reads the first few
RIVAL_READS: Final = ("drift_calls.py", "drift_cases.py", "drift_rival.py", "drift_trials.py")
DESCRIPTORS: Final = (
    *("chars", "words", "sentences", "lines", "word_length", "digits_permille"),
    *("punctuation_permille", "uppercase_permille", "non_ascii_permille", "unique_words_permille"),
)


@dataclass(frozen=True)
class Trial:
    """One comparison. `sure`: drift at the default alpha too; `chance`: p alone was below alpha.

    `named`: one of the first terms holds the year of the case, and so does its example call.
    """

    drift: bool
    sure: bool
    chance: bool
    named: bool
    features: tuple[str, ...]  # that drifted


class RivalTrial(msgspec.Struct, frozen=True):
    """Which of the rival's tests found drift, and its CPU seconds."""

    text: bool
    number: bool
    category: bool
    dataset: bool
    seconds: float


def run_trials(case: Case, seed: int, scratch: Path, repeats: range) -> list[Trial]:
    """Compare the windows of some repeats of a case."""
    pool = pool_of(case.kind, scratch)
    return [_run_trial(case, pool, drawn(case, pool, seed, repeat), scratch) for repeat in repeats]


def first_call_is_unseen(seed: int, scratch: Path, repeats: range) -> list[bool]:
    """Say of windows with one call of a new tool set whether its tool is listed as unseen."""
    pool = pool_of("tools", scratch)
    seen = []
    for repeat in repeats:
        subjects = np.random.default_rng([seed, repeat]).permutation(len(pool.members["known"]))
        known, new = pool.members["known"][subjects], pool.members["new"][subjects]
        reference = take(pool.window, known[:1_000])
        report = compare(reference, take(pool.window, np.append(known[1_000:1_999], new[1_999])))
        values = [
            value.value
            for unseen in report.unseen
            if unseen.feature == UNSEEN_FEATURE
            for value in unseen.values
        ]
        seen.append(any(value.startswith(f"{NEW_TOOL}@") for value in values))
    return seen


def run_rival(
    case: Case, rival: Rival, seed: int, repeats: int, scratch: Path, python: Path
) -> list[RivalTrial]:
    """Let Evidently judge the first repeats of a case, unless it has."""
    kept = scratch / f"rival-{_rival_hash(case, seed, repeats)}.json"
    if not kept.exists():
        pool = pool_of(case.kind, scratch)
        columns = scratch / f"columns-{case.kind}-{code_hash()}.parquet"
        if not columns.exists():
            write_columns(pool, columns)
        jobs = []
        for repeat in range(repeats):
            reference, current = drawn(case, pool, seed, repeat)
            rows = {"reference": reference.tolist(), "current": current.tolist()}
            jobs.append(json.dumps({"columns": str(columns), **_columns_of(rival), **rows}))
        done = subprocess.run(
            [python, ROOT / "benchmarks" / "drift_rival.py"],
            input="\n".join(jobs),
            capture_output=True,
            text=True,
            check=True,
        )
        kept.write_text(done.stdout)
    return [msgspec.json.decode(line, type=RivalTrial) for line in kept.read_text().splitlines()]


def drawn(case: Case, pool: Pool, seed: int, repeat: int) -> tuple[IntArray, IntArray]:
    chance = np.random.default_rng([seed, zlib.crc32(case.name.encode()), case.count, repeat])
    return draw(pool, (case.reference, case.current), (case.count, case.count), chance)


def _run_trial(case: Case, pool: Pool, rows: tuple[IntArray, IntArray], scratch: Path) -> Trial:
    reference, current = pool.windows(rows)
    embeddings = None
    if case.embedded:
        vectors = vectors_of(pool, scratch)
        embeddings = Embeddings(vectors[rows[0]], vectors[rows[1]])
    report = compare(reference, current, alpha=case.alpha, embeddings=embeddings)
    return Trial(
        drift=report.verdict == "drift",
        sure=any(finding.drift and finding.p_adjusted < ALPHA for finding in report.findings),
        chance=any(outcome.p_adjusted < case.alpha for outcome in report.outcomes),
        named=bool(case.year) and names(case.year, report, pool),
        features=tuple(outcome.feature for outcome in report.outcomes if outcome.drift),
    )


def names(year: str, report: DriftReport, pool: Pool) -> bool:
    """Say whether one of the first things found to be said is the year, and truly so.

    A term's finding has its hash; what it reads as comes from the example call's own text, which
    must hold the year. A year itself is a value of `prompt_years`, or told beside what answers make
    of it.
    """
    findings = beside_unseen(report.findings, report.unseen)
    said = [each for each in findings if each.kind in ("term", "set") and each.drift]
    return any(_names(year, finding, pool) for finding in said[:TERMS_SHOWN])


def _names(year: str, finding: Finding, pool: Pool) -> bool:
    row = pool.window.call_ids.index(finding.example_call_ids[0])
    understood = pool.calls[row].understood
    said = " ".join((finding.value, *finding.also))
    if finding.term_hash is not None:
        readable = terms_of(span_of(understood))
        said = readable[finding.feature].get(finding.term_hash, "")
    return year in said and year in understood.messages[-1].text


def _columns_of(rival: Rival) -> dict[str, Sequence[str]]:
    numbers = [f"{side}_{name}" for side in rival.sides for name in DESCRIPTORS]
    return {"texts": rival.sides, "numbers": numbers, "categories": rival.categories}


def _rival_hash(case: Case, seed: int, repeats: int) -> str:
    digest = hashlib.sha256(f"{case!r} {seed} {repeats}".encode())
    for name in RIVAL_READS:
        digest.update((ROOT / "benchmarks" / name).read_bytes())
    return digest.hexdigest()[:16]
