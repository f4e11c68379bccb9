"""Those who make datasets, for tests of pages: what lies in a directory, and what was asked for."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Progress:
    stage: str = ""
    done: int = 0
    total: int = 0


@dataclass
class Asked:
    name: str
    state: str = "done"
    error: str = ""
    report: Progress = field(default_factory=Progress)


@dataclass
class Shelf:
    """Datasets in a directory, and those asked for that are not there."""

    directory: Path
    asked: dict[str, Asked] = field(default_factory=dict)

    def list(self) -> list[Asked]:
        there = sorted(path.parent.name for path in self.directory.glob("*/manifest.json"))
        return [*map(Asked, there), *self.asked.values()]

    def find(self, name: str) -> Asked | None:
        return next((each for each in self.list() if each.name == name), None)

    def path(self, name: str) -> Path:
        return self.directory / name
