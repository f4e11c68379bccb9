"""Run migrations with the connection the application hands over.

`storage.migration` puts the connection into the configuration's attributes; its transaction is
the whole upgrade, so a revision that fails leaves nothing behind. When writing a new revision by
hand, name the database: `alembic -x url=sqlite:///shalt.sqlite revision --autogenerate
--rev-id 0002 -m "What it does"`.
"""

from collections.abc import Collection, Mapping
from typing import Any

from alembic import context
from alembic.runtime.migration import MigrationContext, MigrationInfo
from alembic.script import Script
from sqlalchemy import Connection, create_engine

from storage.schema import metadata


def _say(
    ctx: MigrationContext,
    step: MigrationInfo,
    heads: Collection[Any],
    run_args: Mapping[str, Any],
) -> None:
    script, progress = step.up_revision, context.config.attributes.get("progress")
    if isinstance(script, Script) and progress is not None:
        progress(f"revision {script.revision}: {script.doc}")


def _migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        on_version_apply=_say,
        target_metadata=metadata,
        transactional_ddl=True,
        render_as_batch=True,  # SQLite alters a table by copying it
    )
    with context.begin_transaction():
        context.run_migrations()


_connection: Connection | None = context.config.attributes.get("connection")
if _connection is not None:
    _migrate(_connection)
else:
    with create_engine(context.get_x_argument(as_dictionary=True)["url"]).begin() as _opened:
        _migrate(_opened)
