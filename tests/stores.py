"""Stores of the tests: a file that is migrated already is copied, for migrating takes a while.

The file is what `upgrade` makes where there is none. Tests of that begin with none: of storage
test_sqlite.py and test_migration.py, of shalt test_demo.py.
"""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from sqlalchemy import Engine, insert

from shalt.settings import Settings
from storage.database import open_engine, upgrade, writing
from storage.schema import split_policy

PREFIX = "sqlite:///"
SALT = "0123456789abcdef" * 2


def lay(url: str) -> str:
    """Put an empty store where a URL names a SQLite file that is not there; return the URL."""
    if url.startswith(PREFIX):
        lay_file(Path(url.removeprefix(PREFIX).partition("?")[0]))
    return url


def laid(settings: Settings) -> Settings:
    """Put an empty store where settings have theirs; return the settings."""
    lay(settings.store_url)
    return settings


def lay_file(path: Path) -> None:
    """Put an empty store there, unless there is a file."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copy(_migrated(), path)


def lay_salt(
    engine: Engine, salt: str = SALT, *, test_ratio: float = 0.10, val_ratio: float = 0.05
) -> None:
    """Make the first policy with a salt that is known: groups fall as they did in every run."""
    with writing(engine) as connection:
        connection.execute(
            insert(split_policy).values(
                project="default",
                version=1,
                salt=salt,
                test_ratio=test_ratio,
                val_ratio=val_ratio,
                created_at=0,
            )
        )


@cache
def _migrated() -> Path:
    """Make the file that stores are copied from, once a process."""
    directory = tempfile.mkdtemp(prefix="shalt-migrated-")
    atexit.register(shutil.rmtree, directory)
    path = Path(directory) / "shalt.sqlite"
    engine = open_engine(f"{PREFIX}{path}")
    upgrade(engine)
    engine.dispose()
    assert [each.name for each in path.parent.iterdir()] == [path.name], "all is in the one file"
    return path
