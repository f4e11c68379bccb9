"""Real conversations through shalt: every answer right, every call a row, splits and drift true."""

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from datasets import load_dataset
from scipy.stats import binom

from tests.flow.test_recorded_traffic import CLIENTS, SHARED, is_open
from tests.ports import free_port
from tests.relaying import wait_until
from tests.serving import Shalt, running_shalt

DATA_SETS = SHARED / "data" / "datasets"
DIALOGUES = ("sgd", "taskmaster4", "glaive_toolcall_en")
INTENTS = {"clinc150": "clinc/oos-eval", "banking77": "PolyAI-LDN/task-specific-datasets"}

pytestmark = pytest.mark.skipif(
    not DATA_SETS.exists(), reason="the data sets are not beside this checkout"
)


@pytest.fixture(scope="module")
def answers() -> Iterator[int]:
    """Run the upstream that gives the data sets' own answers; yield its port."""
    port = free_port()
    command = [sys.executable, str(CLIENTS / "dataset_upstream.py"), "--port", str(port)]
    command += ["--data", str(DATA_SETS / "*.jsonl")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: is_open(port))
            yield port
        finally:
            process.terminate()


def drive(shalt: Shalt, *names: str, count: int) -> int:
    """Send the conversations of data sets; every answer must be right. Return how many."""
    command = [sys.executable, str(CLIENTS / "drive.py"), "--n", str(count)]
    command += ["--base", f"http://127.0.0.1:{shalt.port}/v1", "--data"]
    command += [str(DATA_SETS / f"{name}.jsonl") for name in names]
    driven = subprocess.run(command, capture_output=True, text=True, check=False)
    assert driven.returncode == 0, driven.stdout + driven.stderr
    verdicts = driven.stdout[: driven.stdout.index("}") + 1].replace("'", '"')
    sent: int = json.loads(verdicts)["ok"]
    wait_until(shalt.settled)
    return sent


def test_a_thousand_calls_of_all_sets_are_answered_and_stored(answers: int, tmp_path: Path) -> None:
    with running_shalt(tmp_path / "data", f"http://127.0.0.1:{answers}/v1") as shalt:
        assert drive(shalt, "*", count=1000) == 1000
        assert shalt.status()["stored"] == 1000
        assert shalt.rows("select distinct outcome, note from call") == [("complete", "")]


def test_dialogues_are_never_divided_and_the_export_loads(answers: int, tmp_path: Path) -> None:
    with running_shalt(tmp_path / "data", f"http://127.0.0.1:{answers}/v1") as shalt:
        sent = drive(shalt, *DIALOGUES, count=2000)
        assert shalt.status()["stored"] == sent
        check_sides(shalt)
        # Some of glaive's dialogues ask nearly the same, and chance may put them on two sides.
        exported = shalt.run("export", tmp_path / "export", "--drop-contaminated")
        assert exported.returncode == 0, exported.stderr
    check_export(tmp_path / "export", tmp_path / "cache")


def check_sides(shalt: Shalt) -> None:
    truth = {}
    for name in DIALOGUES:
        with (DATA_SETS / f"{name}.jsonl").open() as lines:
            for line in lines:
                row = json.loads(line)
                truth[row["id"]] = row["group"]
    sides: dict[str, set[str]] = defaultdict(set)
    for row_id, side in shalt.rows(
        "select value, side from call join tag on call_id = id where key = 'row'"
    ):
        sides[truth[str(row_id)]].add(str(side))
    assert all(len(found) == 1 for found in sides.values())
    counted = shalt.rows("select side, count(distinct group_id) from call group by side")
    groups = {str(side): int(str(count)) for side, count in counted}
    for side, ratio in (("test", 0.10), ("val", 0.05)):
        # The salt is drawn: once in a million runs chance alone is outside.
        low, high = binom.interval(0.999_999, sum(groups.values()), ratio)
        assert low <= groups[side] <= high


def check_export(export: Path, cache: Path) -> None:
    files = {side: str(export / f"{side}.jsonl") for side in ("train", "val", "test")}
    loaded = load_dataset("json", data_files=files, cache_dir=str(cache))
    manifest = json.loads((export / "manifest.json").read_text())
    for side, path in files.items():
        lines = Path(path).read_text().splitlines()
        assert lines
        assert len(loaded[side]) == len(lines)
        for line, row in zip(lines, loaded[side], strict=True):
            assert [m["role"] for m in json.loads(line)["messages"]] == [
                m["role"] for m in row["messages"]
            ]
    assert len(manifest["policy"]["salt"]) == 32


def test_drift_is_quiet_on_halves_and_speaks_between_two_sets(answers: int, tmp_path: Path) -> None:
    with running_shalt(tmp_path / "data", f"http://127.0.0.1:{answers}/v1") as shalt:
        drive(shalt, *INTENTS, count=1500)
        for source in INTENTS.values():
            mine = f"tags['source'] = '{source}' and substr(id, 32, 1)"
            halves = ("--reference", f"where:{mine} < '8'", "--current", f"where:{mine} >= '8'")
            assert shalt.run("drift", *halves).returncode == 0
        both = [f"where:tags['source'] = '{source}'" for source in INTENTS.values()]
        found = shalt.run("drift", "--reference", both[0], "--current", both[1])
        assert found.returncode == 3, found.stdout + found.stderr
