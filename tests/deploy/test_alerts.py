"""The alert rules do what they say, by Prometheus' tests of rules, and ask for what there is."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.deploy.exposed import FOREIGN, exposed_names

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = [DEPLOY / "shalt_alerts.yml", DEPLOY / "drift_alerts.yml"]

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed"
)


def promtool(*words: str) -> str:
    run = subprocess.run(
        ["promtool", *words], cwd=DEPLOY, capture_output=True, text=True, check=False, timeout=60
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def alerts(path: Path) -> list[dict[str, str]]:
    """Every rule of a file."""
    return [rule for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]


@needs_promtool
@pytest.mark.parametrize("path", RULES, ids=lambda path: path.stem)
def test_the_rules_pass_their_tests(path: Path) -> None:
    promtool("check", "rules", path.name)
    promtool("test", "rules", f"{path.stem}_test.yml")


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.stem)
def test_every_rule_has_a_test_in_which_it_fires(path: Path) -> None:
    cases = yaml.safe_load(path.with_name(f"{path.stem}_test.yml").read_text())["tests"]
    tried = {
        each["alertname"]
        for case in cases
        for each in case["alert_rule_test"]
        if each["exp_alerts"]
    }
    assert {rule["alert"] for rule in alerts(path)} == tried


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.stem)
def test_the_rules_ask_for_metrics_that_there_are(path: Path) -> None:
    for rule in alerts(path):
        asked = set(re.findall(r"\b(?:shalt_\w+|up)\b", rule["expr"]))
        assert asked, rule["alert"]
        assert asked <= exposed_names() | FOREIGN, rule["alert"]


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.stem)
def test_every_alert_says_how_grave_it_is_and_what_is_wrong(path: Path) -> None:
    for rule in yaml.safe_load(path.read_text())["groups"][0]["rules"]:
        assert rule["labels"]["severity"] in ("page", "ticket", "info"), rule["alert"]
        assert rule["annotations"]["summary"], rule["alert"]


@needs_promtool
def test_prometheus_takes_the_configuration_and_its_rules() -> None:
    promtool("check", "config", "prometheus.yml")
