"""The table of what drift must find, and of what it must leave alone: one `Case` a line.

The reference is drawn from one mix of populations (benchmarks.drift_calls), the current window
from another; where both are one mix, any alarm is a false one. `bar` is the share of comparisons
with verdict `drift`: at most that where nothing changed, at least that where something did; None
where none is set and the line is there to be read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from benchmarks.drift_pools import Mix
from exporters.drift import ALPHA

NOMINAL: Final = 0.05  # at which the bars are set; findings beyond ALPHA are counted beside it

Column = Literal["text", "number", "category", "dataset"]


@dataclass(frozen=True)
class Rival:
    """What Evidently is given of a case, and which of its verdicts ours is held against."""

    sides: tuple[Literal["prompt", "answer"], ...] = ("prompt",)
    categories: tuple[str, ...] = ()
    against: Column = "text"
    repeats: int = 40


_ANSWER: Final = Rival(("answer",))
_ASKED: Final = {"requests": 1.0}


@dataclass(frozen=True)
class Case:
    """One line of the table. `count`: calls a side. `year`: a year that the terms must name."""

    name: str
    kind: str
    reference: Mix
    current: Mix
    count: int
    repeats: int
    bar: float | None
    alpha: float = NOMINAL
    year: str = ""
    embedded: bool = False
    rival: Rival | None = None

    @property
    def unchanged(self) -> bool:
        return self.reference == self.current

    @property
    def title(self) -> str:
        return f"{self.name}, n = {self.count:,}" + (", alpha .001" if self.alpha == ALPHA else "")


def cases(real: bool) -> list[Case]:
    """List the lines of the table: those of real texts too, where they are there."""
    return [*_made(), *(_unchanged() + _planted() if real else ())]


def _unchanged() -> list[Case]:
    sizes = (200, 1_000, 10_000)
    numbers = Rival(against="number")
    labels = Rival(categories=("answer",), against="category")
    mixed = {"all": 1.0}
    log = {"2023": 0.98, "cut": 0.02}
    gpt = {"gpt-4o-2024-05-13": 1.0}
    return [
        *(
            Case("unchanged", "mixed", mixed, mixed, count, 400, NOMINAL, rival=numbers)
            for count in sizes
        ),
        *(Case("unchanged", "mixed", mixed, mixed, count, 200, 0.005, ALPHA) for count in sizes),
        _same("77 labels", "labels", {"labels": 1.0}, 1_000, labels),
        _same("call logs", "logs", log, 1_000, Rival(("prompt", "answer"), against="number")),
        _same("requests", "requests", {"requests": 1.0}, 1_000, numbers),
        _same("60 tool sets", "tools", {"known": 1.0}, 1_000, Rival((), _TOOLS, "category")),
        _same("one model", "models", gpt, 200, Rival(("answer",), against="number")),
        Case(
            *("unchanged: requests, embedded", "requests", {"requests": 1.0}, {"requests": 1.0}),
            *(1_000, 200, NOMINAL),
            embedded=True,
        ),
    ]


def _same(name: str, kind: str, mix: Mix, count: int, rival: Rival) -> Case:
    return Case(f"unchanged: {name}", kind, mix, mix, count, 400, NOMINAL, rival=rival)


def _planted() -> list[Case]:
    text, requests, logs = Rival(), _ASKED, {"2023": 1.0}

    def topic(
        name: str, ratio: float, count: int, bar: float | None, embedded: bool = False
    ) -> Case:
        title = f"{name} topic {ratio:.0%}" + (", embedded" if embedded else "")
        repeats = 200 if count <= 1_000 else 100
        mix = _mixed(requests, name, ratio)
        rival = None if embedded else text
        return Case(
            *(title, "requests", requests, mix, count, repeats, bar), embedded=embedded, rival=rival
        )

    def log(name: str, variant: str, ratio: float, count: int, bar: float, **more: str) -> Case:
        rival = _ANSWER if variant in ("cut", "missing") else text
        mix = _mixed(logs, variant, ratio)
        return Case(
            name, "logs", logs, mix, count, 200, bar, rival=rival, year=more.get("year", "")
        )

    return [
        log("year 2023 to 2024 on 10 %", "2024", 0.10, 200, 0.95, year="2024"),
        log("year 2023 to 2024 on 2 %", "2024", 0.02, 1_000, 0.95, year="2024"),
        log("template sentence on 5 %", "sentence", 0.05, 1_000, 0.95),
        _language("wiki_es", 1_000, 0.95),
        _language("wiki_zh", 1_000, None),
        topic("near", 0.05, 10_000, 0.90),
        topic("far", 0.05, 1_000, 0.85),
        topic("near", 0.10, 1_000, 0.29),
        topic("near", 0.10, 1_000, 0.29, embedded=True),
        Case(
            *("new tool set on 1 %", "tools", {"known": 1.0}, {"known": 0.99, "new": 0.01}),
            *(10_000, 100, 0.95),
            rival=Rival((), _TOOLS, "category"),
        ),
        _swapped("gpt-4o-2024-05-13", "gpt-4o-mini-2024-07-18", 400, 0.75),
        _swapped("claude-2", "claude-2.1", 200, None),
        _swapped("gpt-3.5-turbo-0613", "gpt-3.5-turbo-1106", 200, None),
        _swapped("gpt4_0613", "gpt4_1106_preview", 200, None),
        Case(
            "answers cut short 2 % to 7 %",
            "logs",
            reference={"2023": 0.98, "cut": 0.02},
            current={"2023": 0.93, "cut": 0.07},
            count=1_000,
            repeats=200,
            bar=0.90,
            rival=_ANSWER,
        ),
        _refused(0.01, 0.04, 0.90),
        _refused(0.00, 0.03, None),
        _refused(0.02, 0.05, None),
        log("field missing on 3 %", "missing", 0.03, 1_000, 0.90),
    ]


def _language(name: str, count: int, bar: float | None) -> Case:
    reference, current = (_mixed(_ASKED, each, 0.05) for each in ("wiki", name))
    title = f"5 % in {'Spanish' if name == 'wiki_es' else 'Chinese'}"
    return Case(title, "requests", reference, current, count, 200, bar, rival=Rival())


def _refused(before: float, after: float, bar: float | None) -> Case:
    reference, current = (_mixed({"answered": 1.0}, "refused", each) for each in (before, after))
    title = f"refusals {before:.1%} to {after:.1%}"
    return Case(title, "answers", reference, current, 1_000, 200, bar, rival=_ANSWER)


def _swapped(before: str, after: str, count: int, bar: float | None) -> Case:
    title = f"{before} to {after}"
    return Case(title, "models", {before: 1}, {after: 1}, count, 200, bar, rival=_ANSWER)


def _made() -> list[Case]:
    """Cases of the generator alone: they need nothing beside the checkout."""
    before = {"2023": 1.0}

    def planted(name: str, variant: str, ratio: float, count: int, bar: float | None) -> Case:
        mix = _mixed(before, variant, ratio)
        year = variant if variant == "2024" else ""
        repeats = 200 if count <= 1_000 else 100
        return Case(f"made: {name}", "made", before, mix, count, repeats, bar, year=year)

    return [
        *(
            Case("made: unchanged", "made", before, before, count, 400, NOMINAL)
            for count in (200, 1_000, 10_000)
        ),
        planted("year on 10 %", "2024", 0.10, 200, 0.95),
        planted("year on 2 %", "2024", 0.02, 1_000, 0.95),
        planted("template sentence on 5 %", "sentence", 0.05, 1_000, 0.95),
        planted("new tool on 1 %", "new tool", 0.01, 10_000, 0.95),
        planted("response model on 5 %", "new model", 0.05, 1_000, None),
        planted("all longer by 0.3 sd", "longer", 1.0, 1_000, None),
    ]


_TOOLS: Final = ("tools_hash",)


def _mixed(base: Mix, name: str, ratio: float) -> Mapping[str, float]:
    """Return a mix of which `ratio` is of one population, the rest as in `base`."""
    rest = {each: share * (1 - ratio) for each, share in base.items()}
    return {each: share for each, share in {**rest, name: ratio}.items() if share}
