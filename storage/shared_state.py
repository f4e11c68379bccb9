"""One state of the store, seen by several processes.

One process pins a state (`share`) and the others join it (`join`) before anybody goes on. In
PostgreSQL a snapshot has a name that others may use. SQLite has no such thing: there the writers
are held off for the moment in which everybody begins to read, so that all begin at the same one.

Limits: `share` waits for the write lock as any writer does, and holds it while `invite` runs: that
must be bounded, for the recorder waits. A state is kept until the block ends; until then SQLite
cannot tidy its log, nor PostgreSQL its tables.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from sqlalchemy import Connection, func, select, text

from storage import database
from storage.reader import StoreReader


@contextmanager
def share(store: StoreReader, invite: Callable[[str], None]) -> Iterator[StoreReader]:
    """Pin one state; `invite` is called with its name, and returns when the others have joined.

    Raise what `invite` raises, and StoreUnavailable where the write lock is not to be had.
    """
    with ExitStack() as stack:
        if store.engine.dialect.name == "postgresql":
            reader = stack.enter_context(store.snapshot())
            with reader.reading() as connection:
                name = connection.execute(select(func.pg_export_snapshot())).scalar_one()
            invite(str(name))
        else:
            with database.writing(store.engine):
                reader = stack.enter_context(store.snapshot())
                with reader.reading() as connection:
                    _begin_to_read(connection)
                invite("")
        yield reader


@contextmanager
def join(store: StoreReader, name: str) -> Iterator[StoreReader]:
    """See the state that `share` has pinned, from within its `invite`."""
    with store.snapshot() as reader:
        with reader.reading() as connection:
            if store.engine.dialect.name == "postgresql":
                quoted = name.replace("'", "''")  # a parameter is not allowed here
                connection.execute(text(f"SET TRANSACTION SNAPSHOT '{quoted}'"))
            else:
                _begin_to_read(connection)
        yield reader


def _begin_to_read(connection: Connection) -> None:
    """Read anything: a transaction of SQLite sees the state of its first read, not of its BEGIN."""
    connection.execute(text("SELECT count(*) FROM sqlite_schema")).scalar_one()
