"""A rule that finds personal data in recorded bodies, as the settings have it: `[redaction.NAME]`.

What rules find and what stands in its place: proxy.personal. At most RULES_MAX rules, all of which
search every body of their projects.
"""

import re
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from proxy.personal import PATTERN_CHARS_MAX, RULES_MAX, BadRule, Rule, check

__all__ = ["RULES_MAX", "Redaction", "check_rule"]

RULE_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}")
PROJECTS_MAX: Final = 1000


class Redaction(BaseModel):
    """One kind of personal data that is kept out of recorded bodies."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True
    )

    pattern: Annotated[str, Field(max_length=PATTERN_CHARS_MAX)] = ""
    """RE2 pattern of a value, or of its first group; empty: what comes with shalt by that name."""
    projects: Annotated[tuple[str, ...], Field(max_length=PROJECTS_MAX)] = ()
    """Projects whose calls are searched; empty: all."""
    replace: Literal["consistent", "mask"] = "consistent"
    """What is kept: `<name:9f86d081884c>`, the same for the same value, or `mask`: `<name>`."""

    def rule(self, name: str) -> Rule:
        """Return the rule as the relay takes it."""
        return Rule(name, self.pattern, self.projects, self.replace)


def check_rule(name: str, redaction: Redaction) -> None:
    """See that a rule can be used. Raise ValueError, which says what is wrong."""
    if not RULE_NAME.fullmatch(name):
        raise ValueError(f"redaction name {name!r} must match {RULE_NAME.pattern}")
    try:
        check(redaction.rule(name))
    except BadRule as error:
        raise ValueError(f"redaction.{name}: {error}") from None
