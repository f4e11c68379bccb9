"""What is asked of drift monitors: what is compared with what, how often, how surely.

A monitor compares the newest calls of a project, in windows of an hour, a day and a week, with a
reference: an exported training set, a range of times, or what came just before. It is asked for in
`shalt.toml` as `[monitors.NAME]`, or over HTTP (shalt.monitor_routes).

Limits: MONITORS_MAX monitors, WINDOWS_MAX windows each: both are labels of metrics.
"""

import re
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, field_validator

from storage.capture import PROJECT_PATTERN

MONITORS_MAX: Final = 12  # a scrape of so many takes 40 ms, most of it writing text
WINDOWS_MAX: Final = 4
EVERY_SECONDS_MIN: Final = 10.0  # an evaluation is a process of its own, of a second or two
EVERY_SECONDS_MAX: Final = 7 * 86_400.0
TEXT_CHARS_MAX: Final = 4096
MONITOR_NAME: Final = re.compile(r"[a-z0-9_-]{1,32}")
_DURATION: Final = re.compile(r"([1-9][0-9]{0,4})(s|m|h|d|w)")
_SECONDS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}

Text = Annotated[str, Field(max_length=TEXT_CHARS_MAX)]


class Monitor(BaseModel):
    """One comparison that is made again and again."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True
    )

    reference: Annotated[Text, Field(min_length=1)]
    """Directory of an export, the name of a dataset, `FROM..TO`, or `previous`: the time before."""
    project: Annotated[str, Field(pattern=f"^({PROJECT_PATTERN})?$")] = ""
    """Project of the calls; empty: the setting `project`."""
    where: Text = ""
    """Only calls for which this holds, in the language of filters; empty: all."""
    windows: Annotated[tuple[str, ...], Field(min_length=1, max_length=WINDOWS_MAX)] = (
        "1h",
        "1d",
        "7d",
    )
    """How far back each comparison looks: hours, days, weeks."""
    alpha: Annotated[float, Field(gt=0, le=0.1)] = 0.001
    """Chance that one evaluation of unchanged traffic says drift; its windows share it."""
    every: str = "1h"
    """Time between two evaluations: `10m`, `1h`, `1d`."""

    @property
    def every_seconds(self) -> float:
        """Seconds between two evaluations."""
        return duration_seconds(self.every)

    @field_validator("windows")
    @classmethod
    def _check_windows(cls, windows: tuple[str, ...]) -> tuple[str, ...]:
        for window in windows:
            if window[-1:] not in "hdw" or not _DURATION.fullmatch(window):
                raise ValueError(f"{window!r} is no window: write hours, days or weeks: 1h, 7d, 2w")
        if len(set(windows)) < len(windows):
            raise ValueError("a window is named twice")
        return windows

    @field_validator("every")
    @classmethod
    def _check_every(cls, every: str) -> str:
        seconds = duration_seconds(every)
        if not EVERY_SECONDS_MIN <= seconds <= EVERY_SECONDS_MAX:
            raise ValueError(f"must be between {EVERY_SECONDS_MIN:g}s and 7d")
        return every


class Drift(BaseModel):
    """What all comparisons share: the model that embeds texts, where one is named."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True
    )

    embedding_model: Text = ""
    """Model that embeds a sample of prompts, for broad shifts of topic; empty: none."""
    embedding_upstream: Text = ""
    """Upstream that has that model, by its name; empty: the default one."""


def duration_seconds(text: str) -> float:
    """Read a duration such as `90s`, `10m`, `1h`, `7d`, `2w`; raise ValueError where it is none."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no duration: write 90s, 10m, 1h, 7d or 2w")
    return int(found[1]) * _SECONDS[found[2]]


def check_name(name: str) -> None:
    """Raise ValueError where a monitor cannot be called so: its name is a label of metrics."""
    if not MONITOR_NAME.fullmatch(name):
        raise ValueError(f"monitor name {name!r} must match {MONITOR_NAME.pattern}")
