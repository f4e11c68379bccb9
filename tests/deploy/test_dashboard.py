"""The dashboard asks Prometheus for what shalt exposes, in a language Prometheus understands."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.deploy.exposed import exposed_names

DEPLOY = Path(__file__).parents[2] / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboards" / "shalt.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel["targets"]]
VARIABLES = {each["name"]: each for each in DASHBOARD["templating"]["list"]}


def test_every_expression_names_metrics_that_there_are() -> None:
    asked = [
        *EXPRESSIONS,
        *(each["definition"] for each in VARIABLES.values() if "definition" in each),
    ]
    for expression in asked:
        names = set(re.findall(r"\bshalt_\w+", expression))
        assert names, expression
        assert names <= exposed_names(), expression


def test_every_drift_metric_of_a_feature_or_window_is_shown() -> None:
    shown = {name for each in EXPRESSIONS for name in re.findall(r"\bshalt_drift_\w+", each)}
    assert {
        "shalt_drift_detected",
        "shalt_drift_feature_effect_lower_ratio",
        "shalt_drift_unseen_category_ratio",
        "shalt_drift_domain_classifier_auc_ratio",
        "shalt_drift_novel_traffic_lower_ratio",
        "shalt_drift_window_traces",
        "shalt_drift_last_evaluation_timestamp_seconds",
        "shalt_drift_reference_created_timestamp_seconds",
    } <= shown


def test_expressions_use_no_variable_that_is_not_declared() -> None:
    for expression in EXPRESSIONS:
        used = set(re.findall(r"\$(\w+)", expression)) - {"__rate_interval"}
        assert used <= VARIABLES.keys(), expression


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_prometheus_understands_every_expression(tmp_path: Path) -> None:
    plain = [re.sub(r"\$\w+", "5m", expression) for expression in EXPRESSIONS]
    rules = [{"record": f"panel:{n}", "expr": each} for n, each in enumerate(plain)]
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    run = subprocess.run(
        ["promtool", "check", "rules", str(path)], capture_output=True, text=True, check=False
    )
    assert f"{len(rules)} rules found" in run.stdout, run.stdout + run.stderr
    assert run.returncode == 0


def test_panels_have_names_of_their_own_and_do_not_overlap() -> None:
    assert len({panel["title"] for panel in PANELS}) == len(PANELS)
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
