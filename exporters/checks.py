"""What a verifier says: one line for each thing it looked at, and whether all of it holds.

`Problems` counts everything that is wrong and words the first few: a file of a million bad rows
makes a short message.
"""

from enum import StrEnum

import msgspec

PROBLEMS_SHOWN = 5


class State(StrEnum):
    """What became of a check. `skipped`: nothing is wrong, but nothing could be said either."""

    OK = "ok"
    FAILED = "FAILED"
    SKIPPED = "skipped"


class Check(msgspec.Struct, frozen=True):
    """One thing looked at. `says`: what was found, with its number. `problems`: the first few of
    `problem_count`, each with the file, the row and what to do."""

    name: str
    state: State
    says: str
    problem_count: int = 0
    problems: tuple[str, ...] = ()


class Problems:
    """What is wrong, as it is found."""

    def __init__(self) -> None:
        self.count = 0
        self.shown: list[str] = []

    def add(self, problem: str) -> None:
        """Take in one more."""
        self.count += 1
        if len(self.shown) < PROBLEMS_SHOWN:
            self.shown.append(problem)

    def check(self, name: str, says: str) -> Check:
        """Sum up: ok where nothing was added."""
        state = State.FAILED if self.count else State.OK
        return Check(name, state, says, self.count, tuple(self.shown))
