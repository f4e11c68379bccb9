"""Tests of shalt.recording: the recorder alone, as `shalt record` runs it."""

import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from shalt.places import Places
from shalt.recording import open_store
from shalt.settings import load
from storage.capture import SystemClock
from storage.spool import FrameKind, SpoolLimits, SpoolWriter
from tests.relaying import wait_until
from tests.serving import ROOT
from tests.storage.calls import capture_of


def test_a_spool_left_behind_is_stored_by_the_recorder_alone(tmp_path: Path) -> None:
    places = Places(tmp_path)
    places.prepare()
    writer = SpoolWriter(places.spool, limits=SpoolLimits(), clock=SystemClock())
    writer.counters.add("accepted")
    writer.append(FrameKind.CALL, capture_of(1))
    writer.close()
    command = [sys.executable, "-m", "shalt", "record", "--data-dir", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        wait_until(lambda: not writer.directory.exists())
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    with closing(open_store(load(data_dir=tmp_path))) as store:
        assert store.get(capture_of(1).id) is not None
