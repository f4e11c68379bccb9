"""Where settings come from: a TOML file, environment variables, the command line; as trees.

Each source is read into a tree of tables, the trees are laid over one another, and every value
keeps a place (`upstreams.openai.key`) by which its source can be named. Which names exist is for
`shalt.settings` to say.
"""

import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator
from pydantic_settings import NoDecode

PREFIX = "SHALT_"

Tree = dict[str, object]


class SettingsError(Exception):
    """A setting is wrong. The message names its source, what is wrong and what to do."""


def read_file(path: Path) -> Tree:
    """Read a TOML file. Raises `SettingsError` where there is none or it cannot be parsed."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror}); check --config") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: is not valid TOML: {error}") from None


def merge(below: Tree, above: Tree) -> Tree:
    """Lay one tree over another, table by table."""
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        if isinstance(value, dict) and isinstance(under, dict):
            value = merge(under, value)
        merged[key] = value
    return merged


def places(tree: Tree, above: str = "") -> Iterator[str]:
    """Name every value of a tree: `port`, `upstreams.openai.key`."""
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from places(value, f"{above}{key}.")
        else:
            yield f"{above}{key}"


def variable(place: str) -> str:
    """Name the environment variable of a place: `SHALT_UPSTREAMS__OPENAI__KEY`."""
    return PREFIX + place.replace(".", "__").upper()


def option(place: str) -> str:
    """Name the command-line option of a place: `--data-dir`."""
    return "--" + place.replace("_", "-")


def nearest(word: str, known: Iterable[str]) -> str:
    """Say what may have been meant: `; did you mean port?`, or nothing."""
    matches = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {matches[0]}?" if matches else ""


def without_password(url: str) -> str:
    """Mask what is secret in the URL of a database, in its user part or its query."""
    masked = re.sub(r"(?<=://)([^/?:]*):[^/?]*@", r"\1:***@", url)
    return re.sub(r"(?i)([?&][^=&]*(?:password|passwd|secret|key|token))=[^&]*", r"\1=***", masked)


def read_words(value: object) -> object:
    """Read `a,b` or a JSON array where a list comes from a variable."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return json.loads(value)
    return [word.strip() for word in value.split(",") if word.strip()]


Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(read_words)]
