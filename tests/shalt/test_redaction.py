"""Tests of shalt.redaction: rules in the settings, and what is said of wrong ones."""

from pathlib import Path

import pytest

from shalt.settings import SettingsError, explain, load


def test_rules_are_tables_by_name(tmp_path: Path) -> None:
    config = tmp_path / "shalt.toml"
    config.write_text(
        '[redaction.email]\n[redaction.badge]\npattern = "badge [0-9]+"\nprojects = ["shop"]\n'
        'replace = "mask"\n'
    )
    settings = load(config)
    assert settings.redaction["email"].rule("email").pattern == ""
    badge = settings.redaction["badge"].rule("badge")
    assert (badge.pattern, badge.projects, badge.replace) == ("badge [0-9]+", ("shop",), "mask")
    shown = {row.name: row.value for row in explain(settings)}
    assert shown["redaction.badge.pattern"] == "badge [0-9]+"


def test_a_rule_can_come_from_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHALT_REDACTION__EMAIL__REPLACE", "mask")
    assert load().redaction["email"].replace == "mask"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('[redaction.mine]\npattern = "(a"', "redaction.mine: pattern is none of RE2: missing"),
        ("[redaction.mine]", "redaction.mine: pattern is missing; email, phone"),
        ('[redaction."A B"]\npattern = "a"', "redaction name 'A B' must match"),
        ("[redaction.email]\nprojetcs = []", "is not a setting.*projects"),
    ],
)
def test_a_wrong_rule_is_an_error_at_the_start(tmp_path: Path, table: str, message: str) -> None:
    config = tmp_path / "shalt.toml"
    config.write_text(table)
    with pytest.raises(SettingsError, match=message):
        load(config)
