"""A disk that is full, and then is not: the application sees nothing of it."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.client import request
from tests.relaying import wait_until
from tests.serving import Shalt, running_shalt
from tests.upstream import running_upstream

DISK_BYTES = 24 * 2**20
LARGE = b"x" * 400_000
RESUMED_SECONDS = 60.0  # the recorder tries every 5 s, and the machine may be busy

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of DISK_BYTES."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


@contextmanager
def filled(disk: Path) -> Iterator[None]:
    """Leave no byte free."""
    with (disk / "filler").open("wb", buffering=0) as filler:
        try:
            while True:
                filler.write(bytes(4096))
        except OSError:
            pass
    yield
    (disk / "filler").unlink()


def call(shalt: Shalt, count: int, body: bytes = b"{}") -> None:
    for _ in range(count):
        assert request(shalt.port, "/v1/plain", body).status == 200


def ledger(shalt: Shalt) -> tuple[int, dict[str, int]]:
    """What was stored, and what was dropped for any reason."""
    status = shalt.status()
    dropped = status["dropped"]
    assert isinstance(dropped, dict)
    return status["stored"], {reason: count for reason, count in dropped.items() if count}


def test_calls_go_on_and_recording_resumes_when_there_is_room(disk: Path) -> None:
    with running_upstream() as upstream, running_shalt(disk / "data", upstream.url) as shalt:
        call(shalt, 5)
        wait_until(lambda: shalt.status()["stored"] == 5)
        with filled(disk):
            call(shalt, 120, LARGE)
            wait_until(lambda: b"failing" in shalt.get("/readyz"))
        wait_until(shalt.settled, RESUMED_SECONDS)
        call(shalt, 5)
        wait_until(shalt.settled, RESUMED_SECONDS)
        stored, dropped = ledger(shalt)
        assert list(dropped) == ["spool_error"]
        assert stored + dropped["spool_error"] == 130
        assert shalt.rows("select count(*) from call") == [(stored,)]
        assert b"failing" not in shalt.get("/readyz")
        assert shalt.stop() == 0


def test_a_worker_that_starts_on_a_full_disk_serves(disk: Path) -> None:
    with running_upstream() as upstream, running_shalt(disk / "data", upstream.url) as shalt:
        call(shalt, 5)
        wait_until(lambda: shalt.status()["stored"] == 5)
        with filled(disk):
            shalt.kill("shalt.worker")
            call(shalt, 20)
            assert b"failing" in shalt.get("/readyz")
        wait_until(shalt.settled, RESUMED_SECONDS)
        wait_until(lambda: shalt.status()["stored"] == 25)
        assert ledger(shalt) == (25, {})
        assert shalt.stop() == 0


def test_a_spool_that_is_taken_away_is_made_again(tmp_path: Path) -> None:
    with running_upstream() as upstream, running_shalt(tmp_path / "data", upstream.url) as shalt:
        call(shalt, 5)
        wait_until(lambda: shalt.status()["stored"] == 5)
        (writer,) = (tmp_path / "data" / "spool").iterdir()
        # Away at once, for what is taken file by file is made again in the midst of it.
        shutil.rmtree(writer.rename(tmp_path / "taken"))
        wait_until((writer / "counters").exists)
        call(shalt, 5)
        wait_until(lambda: shalt.status()["stored"] == 10)
        assert ledger(shalt) == (10, {})
        assert shalt.stop() == 0
