"""The documentation says what is so: its commands, options, links and tables are checked."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.tables import PAGES, all_commands, rewritten
from shalt.settings import TABLES, Settings

ROOT = Path(__file__).parent.parent
COMMANDS = all_commands()
GROUPS = {name.partition(" ")[0] for name in COMMANDS if " " in name}
TARGETS = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def identify(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def code_lines(text: str) -> Iterator[str]:
    """Lines of fenced blocks and pieces in backquotes, continued lines joined."""
    for block in re.findall(r"```(?:sh|console)\n(.*?)```", text, re.DOTALL):
        yield from block.replace("\\\n", " ").splitlines()
    yield from re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text)


def commands(text: str) -> Iterator[list[str]]:
    """Every `shalt …` in the code of a page, as its words."""
    for line in code_lines(text):
        words = shlex.split(line.removeprefix("$ ").partition(" # ")[0].partition(" | ")[0])
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            del words[0]
        if words[:1] == ["shalt"] and len(words) > 1:
            yield words[1:]


@pytest.mark.parametrize("page", PAGES, ids=identify)
def test_the_tables_are_what_the_code_says(page: Path) -> None:
    text = page.read_text()
    assert rewritten(text) == text, "run: make docs"


@pytest.mark.parametrize("page", PAGES, ids=identify)
def test_commands_and_their_options_exist(page: Path) -> None:
    for name, *arguments in commands(page.read_text()):
        if name.startswith("-"):
            continue
        if name in GROUPS and arguments and not arguments[0].startswith("-"):
            name = f"{name} {arguments.pop(0)}"
        assert name in COMMANDS, f"shalt {name}"
        known = {option for param in COMMANDS[name].params for option in param.opts}
        for argument in arguments:
            if argument.startswith("--"):
                assert argument.partition("=")[0] in known | {"--help"}, f"shalt {name} {argument}"


@pytest.mark.parametrize("page", PAGES, ids=identify)
def test_make_targets_exist(page: Path) -> None:
    for line in code_lines(page.read_text()):
        if line.removeprefix("$ ").startswith("make "):
            assert line.removeprefix("$ ").split()[1] in TARGETS, line


@pytest.mark.parametrize("page", PAGES, ids=identify)
def test_variables_are_settings(page: Path) -> None:
    known = {f"SHALT_{name.upper()}" for name in Settings.model_fields}
    for name in re.findall(r"\bSHALT_[A-Z_]*[A-Z]\b", page.read_text()):
        first, *rest = name.split("__")
        assert first in known, name
        assert not rest or rest[-1].lower() in TABLES[first[6:].lower()].model_fields, name


@pytest.mark.parametrize("page", PAGES, ids=identify)
def test_links_inside_the_repository_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        if not re.match(r"\w+:", target):
            found = (page.parent / path) if path else page
            assert found.exists(), target
            assert not anchor or anchor in anchors(found.read_text()), target


def test_every_page_is_reached_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    for page in PAGES[1:]:
        assert f"](docs/{page.name})" in readme, page.name


def anchors(text: str) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
