"""Write the generated tables into the pages: settings, columns of a filter, metrics, commands.

    python docs/tables.py

A table stands between `<!-- table: NAME -->` and `<!-- end -->`; what is between them is replaced.
`tests/test_docs.py` fails when a table in a page is not what this would write.
"""

import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import typer.main
from prometheus_client import CollectorRegistry
from pydantic import BaseModel
from typer.core import TyperCommand, TyperGroup

from proxy.metrics import CallMetrics
from shalt.cli import app
from shalt.drift_metrics import DriftCollector
from shalt.metrics import LimitCollector, RestartCollector
from shalt.monitor_list import MonitorList
from shalt.settings import TABLES as SETTING_TABLES
from shalt.settings import Settings
from shalt.sources import variable
from storage.capture import SystemClock
from storage.filter_columns import FEATURES
from storage.filters import COLUMNS
from storage.metrics import RecorderMetrics, SpoolCollector
from storage.store import TraceStore
from storage.upkeep import UpkeepMetrics

DOCS = Path(__file__).parent
PAGES = [DOCS.parent / "README.md", *sorted(DOCS.glob("*.md"))]
_PLACE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> None:
    """Write every table of every page again."""
    for page in PAGES:
        page.write_text(rewritten(page.read_text()))


def rewritten(text: str) -> str:
    """Return a page with its tables as they should be. KeyError for a table that is not known."""
    return _PLACE.sub(lambda found: found[1] + TABLES[found[2]]() + found[3], text)


def settings() -> str:
    """Every setting of the top level."""
    rows = (
        (f"`{name}`", _default(Settings, name), f"`{variable(name)}`", meaning)
        for name, meaning in _meanings(Settings)
        if name not in SETTING_TABLES
    )
    return _table(("setting", "default", "variable", "meaning"), rows)


def settings_of(table: str) -> str:
    """Every setting of an upstream, of a monitor, of drift."""
    model = SETTING_TABLES[table]
    rows = ((f"`{name}`", _default(model, name), meaning) for name, meaning in _meanings(model))
    return _table(("setting", "default", "meaning"), rows)


def columns() -> str:
    """Every column that a filter may name."""
    return _table(("column", "meaning"), ((f"`{name}`", text) for name, text in COLUMNS.items()))


def features() -> str:
    """Every feature that a filter may name."""
    return _table(("feature", "meaning"), ((f"`{name}`", text) for name, text in FEATURES.items()))


def metrics() -> str:
    """Every metric, of all processes."""
    with tempfile.TemporaryDirectory() as directory:
        restarts = Path(directory, "restarts.json")
        restarts.write_text("{}")
        store = TraceStore(f"sqlite:///{directory}/shalt.sqlite", clock=SystemClock())
        registry = CollectorRegistry()
        CallMetrics(registry)
        RecorderMetrics(registry, ())
        UpkeepMetrics(registry)
        registry.register(SpoolCollector(Path(directory, "spool"), store))
        registry.register(RestartCollector(restarts))
        registry.register(LimitCollector(Settings()))
        monitors = MonitorList(Settings(), Path(directory, "monitors.json"))
        registry.register(DriftCollector(monitors, Path(directory, "watch.json")))
        families = sorted(registry.collect(), key=lambda family: family.name)
    rows = (
        (
            f"`{family.name}{'_total' if family.type == 'counter' else ''}`",
            family.type,
            family.documentation,
        )
        for family in families
    )
    return _table(("metric", "kind", "meaning"), rows)


def commands() -> str:
    """Every command, with the first sentence of its help."""
    rows = (
        (f"`shalt {name}`", (command.help or "").partition("\n\n")[0].replace("\n", " "))
        for name, command in all_commands().items()
    )
    return _table(("command", "what it does"), rows)


def all_commands() -> dict[str, TyperCommand | TyperGroup]:
    """Every command by the words it is called with: `ls`, `db rederive`."""
    found: dict[str, TyperCommand | TyperGroup] = {}
    for name, command in typer.main.get_group(app).commands.items():
        inside = {"": command}
        if isinstance(command, TyperGroup):
            inside = {**(inside if command.invoke_without_command else {}), **command.commands}
        for word, each in inside.items():
            assert isinstance(each, TyperCommand | TyperGroup)
            found[f"{name} {word}".rstrip()] = each
    return found


TABLES: dict[str, Callable[[], str]] = {
    "settings": settings,
    **{name: partial(settings_of, name) for name in SETTING_TABLES},
    "columns": columns,
    "features": features,
    "metrics": metrics,
    "commands": commands,
}


def _meanings(model: type[BaseModel]) -> Iterator[tuple[str, str]]:
    for name, field in model.model_fields.items():
        yield name, field.description or ""


def _default(model: type[BaseModel], name: str) -> str:
    field = model.model_fields[name]
    if field.is_required():
        return "required"
    value = field.default
    if isinstance(value, tuple):
        value = ",".join(value)
    elif isinstance(value, bool):
        value = str(value).lower()
    elif name.endswith(("_bytes", "_bytes_max")):
        value = value.human_readable(separator=" ").replace(".0 ", " ")
    return f"`{value}`" if value not in (None, "") else "none"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(_cell(cell) for cell in line)} |\n" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    main()
