"""All of the recorded traffic through shalt: the wire is the same, and so is what is stored."""

import gzip
import json
import socket
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from shalt.recording import open_store
from shalt.settings import load
from storage.capture import Capture, Outcome
from tests.ports import free_port
from tests.relaying import wait_until
from tests.serving import ROOT, Shalt, running_shalt
from tests.storage.traffic import Record, body_of, needs_recordings, recordings

SHARED = ROOT.parent / "shared"
TRAFFIC = SHARED / "data" / "traffic" / "recorded.jsonl"
CLIENTS = SHARED / "clients"

pytestmark = needs_recordings


@contextmanager
def replaying(folder: Path, *options: str) -> Iterator[int]:
    """Run the replay upstream; yield its port. It writes what it saw to `seen.jsonl`."""
    port = free_port()
    command = [sys.executable, str(CLIENTS / "replay.py"), "--data", str(TRAFFIC)]
    command += ["--port", str(port), "--log", str(folder / "seen.jsonl"), *options]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as replay:
        try:
            wait_until(lambda: is_open(port))
            yield port
        finally:
            replay.terminate()


def is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def conform(shalt: Shalt, replay: int, folder: Path, *options: str) -> dict[str, object]:
    """Send every recorded request directly and through shalt; return the report."""
    report = folder / "report.json"
    command = [sys.executable, str(CLIENTS / "conform.py"), "--data", str(TRAFFIC)]
    command += ["--dialect", "all", "--direct", f"http://127.0.0.1:{replay}/v1"]
    command += ["--proxy", f"http://127.0.0.1:{shalt.port}/u/replay/v1"]
    command += ["--seen", str(folder / "seen.jsonl"), "--report", str(report), *options]
    subprocess.run(command, check=False, capture_output=True)
    found: dict[str, object] = json.loads(report.read_text())
    return found


def stored(shalt: Shalt) -> dict[str, list[Capture]]:
    """What the store holds, by the id of the recording that was sent."""
    found: dict[str, list[Capture]] = {}
    with closing(open_store(load(data_dir=shalt.data_dir))) as store:
        for call in store.scan("default"):
            assert call.capture is not None
            headers = dict(call.capture.request_headers)
            recording = headers[b"x-conform-tag"].decode().removeprefix("proxy-")
            found.setdefault(recording, []).append(call.capture)
    return found


@pytest.mark.parametrize(
    ("replay_options", "conform_options"),
    [
        (("--chunking", "event"), ()),
        (("--chunking", "random"), ()),
        (("--gzip",), ("--accept-encoding", "gzip")),
    ],
    ids=["event", "random", "gzip"],
)
def test_every_recorded_exchange_passes_unchanged_and_is_stored_once(
    tmp_path: Path, replay_options: tuple[str, ...], conform_options: tuple[str, ...]
) -> None:
    config = tmp_path / "shalt.toml"
    with replaying(tmp_path, *replay_options) as replay:
        config.write_text(f'[upstreams.replay]\nbase_url = "http://127.0.0.1:{replay}"\n')
        options = ("--config", str(config))
        with running_shalt(tmp_path / "data", "", *options) as shalt:
            report = conform(shalt, replay, tmp_path, *conform_options)
            wait_until(shalt.settled)
            calls = stored(shalt)
            assert shalt.stop() == 0
    assert report["problems"] == []
    assert report["headers"] == {}
    sent = [record for record in recordings() if record["method"] not in ("HEAD", "CONNECT")]
    assert report["counts"] == {
        "sent": len(sent),
        "direct = recorded": len(sent),
        "proxy same": len(sent),
        "request forwarded exactly": len(sent),
    }
    assert sorted(calls) == sorted(str(record["id"]) for record in sent)
    for record in sent:
        (capture,) = calls[str(record["id"])]
        check_bytes(record, capture)


def check_bytes(record: Record, capture: Capture) -> None:
    """What is stored of a call is what passed: transfer-decoded, content-encoding kept."""
    assert capture.status_code == record["status"]
    good = isinstance(record["status"], int) and record["status"] < 400
    assert capture.outcome is (Outcome.COMPLETE if good else Outcome.UPSTREAM_ERROR)
    body = capture.response_body
    assert (body.truncated, body.length) == (False, len(body.data))
    data = body.data
    if dict(capture.response_headers).get(b"content-encoding") == b"gzip":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error):
            pass  # recorded with the header but already decoded, and sent on as it was
    if record["status"] not in (204, 304):
        assert data == body_of(record, "response")
    if "no-request" not in str(record["oddities"]):
        assert capture.request_body.data == body_of(record, "request")
