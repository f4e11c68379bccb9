"""Run the numbered Alembic revisions that lie in the top-level package `migrations`.

A module of its own because importing Alembic takes longer than most commands run; only
`storage.database.upgrade` loads it, and only when there is something to do.
"""

from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

SCRIPTS = Path(__file__).parent.parent / "migrations"  # beside `storage`, installed or not


def run_migrations(
    connection: Connection,
    revision: str = "head",
    progress: Callable[[str], None] = lambda _done: None,
) -> None:
    """Bring the database of this connection to a revision, in its open transaction.

    `progress` is told each revision that is done, with what it is about.
    """
    config = _config()
    config.attributes |= {"connection": connection, "progress": progress}
    command.upgrade(config, revision)


def newest_revision() -> str:
    """Return the number of the last script."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None, f"no revisions in {SCRIPTS}"
    return head


def _config() -> Config:
    config = Config()
    # Alembic interpolates its options: a percent sign in the path is written twice.
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    return config
