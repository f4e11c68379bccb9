"""The style of this repository, as tests: sizes, names, layers, reading order.

Every source file is read and parsed once and compared with the tables below. Nothing is imported,
so a broken module still gets a useful message here.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# A package imports itself and the packages named here, nothing else of ours.
LAYERS: dict[str, set[str]] = {
    "storage": set(),
    "proxy": {"storage"},
    "exporters": {"storage"},
    "importers": {"storage"},
    "review": {"storage", "exporters"},
    "shalt": {"storage", "proxy", "exporters", "importers", "review"},
}
# A worker must stay small and quick to start: of storage it sees only these.
PROXY_MAY_IMPORT = {"capture", "counters", "encoding", "frames", "metrics", "spool", "sse"}
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
NAMES_BANNED = set("utils util helpers common misc manager managers base core data info".split())

FILES = [path for package in LAYERS for path in sorted((ROOT / package).rglob("*.py"))]
MODULES = [path for path in FILES if path.name not in ("__init__.py", "__main__.py")]
TESTS = sorted((ROOT / "tests").rglob("*.py"))


def identify(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def imports(tree: ast.AST) -> Iterator[str]:
    """Dotted names imported anywhere in the tree, inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import, write it in full"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def reading_order(package: str) -> list[str]:
    """Module names listed in the docstring of the package, in that order."""
    docstring = ast.get_docstring(parsed(ROOT / package / "__init__.py")) or ""
    return re.findall(r"^ {4}(\w+) {2,}\S", docstring, re.MULTILINE)


@pytest.mark.parametrize("path", FILES, ids=identify)
def test_files_and_functions_are_short(path: Path) -> None:
    assert path.read_text().count("\n") <= FILE_LINES_MAX
    for function in functions(parsed(path)):
        assert function.end_lineno is not None
        lines = function.end_lineno - function.lineno + 1
        assert lines <= FUNCTION_LINES_MAX, f"{function.name} has {lines} lines"


@pytest.mark.parametrize("path", FILES, ids=identify)
def test_imports_point_down(path: Path) -> None:
    package, module = path.relative_to(ROOT).parts[0], path.stem
    order = reading_order(package)
    for name in imports(parsed(path)):
        target, _, rest = name.partition(".")
        imported = rest.partition(".")[0]
        if target == package:
            below = order[: order.index(module)] if module in order else []
            assert imported in below, f"{name} is not above {module} in {package}"
        elif target in LAYERS:
            assert target in LAYERS[package], f"{package} may not import {target}"
            is_heavy = package == "proxy" and imported not in PROXY_MAY_IMPORT
            assert not is_heavy, f"proxy may not import {name}: workers stay small"


@pytest.mark.parametrize("package", LAYERS)
def test_the_package_docstring_lists_every_module_in_reading_order(package: str) -> None:
    modules = {path.stem for path in (ROOT / package).glob("*.py")} - {"__init__"}
    assert sorted(reading_order(package)) == sorted(modules)


@pytest.mark.parametrize("path", MODULES, ids=identify)
def test_a_module_has_a_docstring_and_a_test(path: Path) -> None:
    assert path.stem not in NAMES_BANNED
    assert ast.get_docstring(parsed(path))
    assert (ROOT / "tests" / path.relative_to(ROOT).parent / f"test_{path.name}").exists()


@pytest.mark.parametrize("package", LAYERS)
def test_a_test_file_has_its_module(package: str) -> None:
    for path in (ROOT / "tests" / package).glob("test_*.py"):
        assert (ROOT / package / path.name.removeprefix("test_")).exists(), path.name


def test_what_is_left_to_do_has_an_issue() -> None:
    for path in FILES + TESTS:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            left = re.search(r"#.*\b(TO[D]O|FIX[M]E|XX[X])\b(?!.*#\d)", line)
            assert not left, f"{identify(path)}:{number}: {line.strip()}"


def test_the_name_of_a_test_is_a_sentence() -> None:
    for path in TESTS:
        for function in functions(parsed(path)):
            if function.name.startswith("test_"):
                words = function.name.split("_")[1:]
                assert len(words) >= 3, f"{identify(path)}: {function.name}: say what holds"


@pytest.mark.parametrize(
    "lock", ["requirements.lock", "requirements-dev.lock", "requirements-trainers.lock"]
)
def test_a_lock_pins_and_hashes_and_names_no_index(lock: str) -> None:
    lines = (ROOT / lock).read_text().splitlines()
    for line in lines:
        pin = r'[a-z0-9-]+==\S+ (; python_version < "[0-9.]+" )?\\$'
        assert re.match(rf"{pin}|    --hash=sha256:[0-9a-f]{{64}}", line), line


def test_both_locks_pin_the_same_releases() -> None:
    pins = {
        lock: set(re.findall(r"^\S+==\S+", (ROOT / lock).read_text(), re.MULTILINE))
        for lock in ("requirements.lock", "requirements-dev.lock")
    }
    assert pins["requirements.lock"] <= pins["requirements-dev.lock"]


def test_the_lock_of_trainers_changes_no_release_of_the_other_locks() -> None:
    names = [
        set(re.findall(r"^(\S+)==", (ROOT / lock).read_text(), re.MULTILINE))
        for lock in ("requirements-dev.lock", "requirements-trainers.lock")
    ]
    assert not names[0] & names[1]
