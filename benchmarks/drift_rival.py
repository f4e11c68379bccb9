"""Evidently's verdict on windows, in a Python of its own: it needs pandas below 3.

    PYTHON benchmarks/drift_rival.py < jobs > verdicts

A job is a line of JSON: `columns` (a Parquet file: texts, numbers and categories of a pool's
calls), `texts`, `numbers`, `categories` (names of columns to compare), `reference` and `current`
(rows). Its answer is a line: whether any text, number or category drifted by Evidently's own tests,
whether the dataset did (half of the columns), and the CPU seconds of the report, without imports.

Everything is Evidently's default: DataDriftPreset over the columns, nothing tuned. One thing is
remembered: the 95th percentile of the AUC of a random classifier, which it draws a thousand times
for windows of up to 1,000 rows with a fixed seed, depends on the sizes alone.
"""

import functools
import json
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

warnings.filterwarnings("ignore")  # of convergence, one for each window

import pandas  # noqa: E402
from evidently import DataDefinition, Dataset, Report  # noqa: E402
from evidently.legacy.utils import data_drift_utils  # noqa: E402
from evidently.presets import DataDriftPreset  # noqa: E402


def main() -> None:
    data_drift_utils.roc_auc_random_classifier_percentile = remembered(
        data_drift_utils.roc_auc_random_classifier_percentile
    )
    for line in sys.stdin:
        print(json.dumps(judge(json.loads(line))), flush=True)


def judge(job: dict[str, Any]) -> dict[str, Any]:
    """Compare two windows of a pool."""
    texts, numbers, categories = job["texts"], job["numbers"], job["categories"]
    pool = read(job["columns"])[[*texts, *numbers, *categories]]
    definition = DataDefinition(
        text_columns=texts, numerical_columns=numbers, categorical_columns=categories
    )
    reference, current = pool.iloc[job["reference"]], pool.iloc[job["current"]]
    started = time.process_time()
    snapshot = Report([DataDriftPreset()], include_tests=True).run(
        Dataset.from_pandas(current, data_definition=definition),
        Dataset.from_pandas(reference, data_definition=definition),
    )
    seconds = time.process_time() - started
    drifted = set()
    for test in snapshot.dict()["tests"]:
        if str(test["status"]).upper().endswith("FAIL"):
            drifted.add(test["metric_config"]["params"].get("column", "dataset"))
    return {
        "text": not drifted.isdisjoint(texts),
        "number": not drifted.isdisjoint(numbers),
        "category": not drifted.isdisjoint(categories),
        "dataset": "dataset" in drifted,
        "seconds": seconds,
    }


@functools.lru_cache(maxsize=2)
def read(path: str) -> pandas.DataFrame:
    return pandas.read_parquet(path)


def remembered(measure: Callable[..., float]) -> Callable[..., float]:
    """Keep what was measured for a split of labels: it is drawn with a fixed seed."""
    known: dict[bytes, float] = {}

    def measure_once(labels: Any, **options: Any) -> float:
        key = labels.to_numpy().tobytes() + repr(options).encode()
        if key not in known:
            known[key] = measure(labels, **options)
        return known[key]

    return measure_once


if __name__ == "__main__":
    main()
