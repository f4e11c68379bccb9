"""A real PostgreSQL server for the tests, and databases made from a migrated template.

One server a test session, of Debian's package (/usr/lib/postgresql/*/bin) or what is on the PATH,
in a temporary directory, on a Unix socket alone. Its texts sort as ICU's English does, which is
not how SQLite sorts: what does not ask for its own order shows. It does not sync, unless asked.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from storage.database import open_engine, upgrade
from storage.partitions import Partitions
from tests.stores import lay

ACCOUNTS = ("postgres", "nobody")  # the server refuses to run as root
KINDS = ("sqlite", "postgresql")  # parameters of a fixture that uses `fresh_url`
TEMPLATE = "migrated"
WAIT_SECONDS = 120.0  # a crash recovery on a busy machine
TIME_OF_TESTS_NS = 1_790_000_000_000_000_000  # most tests have their clocks stand here

_numbers = count(1)


@dataclass
class Server:
    """A running server, on a socket in its own directory."""

    programs: Path
    directory: Path
    sync: bool
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers; after a crash it recovers first."""
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.directory),
            "fsync": "on" if self.sync else "off",
            "full_page_writes": "on" if self.sync else "off",
            "max_connections": "200",
            "recovery_init_sync_method": "syncfs",
        }
        settings = [word for name in options.items() for word in ("-c", "=".join(name))]
        data = self.directory / "data"
        self.process = _start(self._log, self.programs / "postgres", "-D", data, *settings)
        wait_until(self._answers)

    def kill(self) -> None:
        """Kill all its processes, as far as one can at once."""
        assert self.process is not None
        pids = [self.process.pid, *_children(self.process.pid)]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        self.process.wait(60)
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))

    def stop(self) -> None:
        """End it at once; what it holds is thrown away."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(60)

    def url(self, database: str) -> str:
        """The URL of a database, as a setting would have it."""
        return f"postgresql://shalt@/{database}?host={self.directory}"

    def create(self, template: str = "template0") -> str:
        """Make a database; return its name.

        Its files are copied: by way of the log, as is the default, that takes twice the time.
        """
        name = f"test_{next(_numbers)}"
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
        with self._connection() as connection:
            connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
        return name

    def prepare_template(self) -> None:
        """Make the database that stores are copied from."""
        with self._connection() as connection:
            connection.execute(f"CREATE DATABASE {TEMPLATE}")
        engine = open_engine(self.url(TEMPLATE))
        upgrade(engine)
        Partitions(engine).prepare(["0" * 32], now_ns=TIME_OF_TESTS_NS)
        engine.dispose()

    def drop(self, url: str) -> None:
        """Drop a database, whoever is connected to it."""
        name = url.partition("@/")[2].partition("?")[0]
        with self._connection() as connection:
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )

    @property
    def _log(self) -> Path:
        return self.directory / "log"

    def _connection(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            host=str(self.directory), user="shalt", dbname="postgres", autocommit=True
        )

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self._log.read_text()
        try:
            self._connection().close()
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def running_postgres(*, sync: bool = False) -> Iterator[Server]:
    """Make and start a server; `sync` it if it is to be killed. Skip the test where there is none.

    Its directory has a short name, because paths of sockets end at 107 characters.
    """
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL 15 or newer is not installed: apt-get install postgresql")
    directory = Path(tempfile.mkdtemp(prefix="shalt-pg-"))
    account = _account()
    try:
        if account is not None:
            os.chown(directory, account.pw_uid, account.pw_gid)
        made = _start(
            directory / "log",
            *(programs / "initdb", "-D", directory / "data", "--username=shalt", "--auth=trust"),
            *("--encoding=UTF8", "--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en"),
            "--no-sync",
        )
        assert made.wait(60) == 0, (directory / "log").read_text()
        server = Server(programs, directory, sync)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(directory)


@contextmanager
def fresh_url(
    request: pytest.FixtureRequest, directory: Path, *, migrated: bool = True
) -> Iterator[str]:
    """Name a store nobody has used, of the kind that is the fixture's parameter.

    One that is `migrated` has its tables already: a copy is quicker.
    """
    if request.param == "sqlite":
        url = f"sqlite:///{directory / 'shalt.sqlite'}"
        yield lay(url) if migrated else url
        return
    server: Server = request.getfixturevalue("postgres")
    url = server.url(server.create(TEMPLATE if migrated else "template0"))
    yield url
    server.drop(url)


def _programs() -> Path | None:
    """Find the newest installed server's programs."""
    found = [
        path.parent
        for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")
        if path.parts[-3].isdigit() and int(path.parts[-3]) >= 15
    ]
    if found:
        return max(found, key=lambda path: int(path.parts[-2]))
    on_path = shutil.which("postgres")
    return Path(on_path).parent if on_path and shutil.which("initdb") else None


def _account() -> pwd.struct_passwd | None:
    """Find a user to run the server as, None where we are no root ourselves."""
    if os.geteuid() != 0:
        return None
    known = {account.pw_name: account for account in pwd.getpwall()}
    return next(known[name] for name in ACCOUNTS if name in known)


def _start(log: Path, *command: Path | str) -> subprocess.Popen[bytes]:
    account = _account()
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
            extra_groups=[] if account else None,
        )


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.01)


def _children(parent: int) -> list[int]:
    """The processes that a server has started."""
    return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
