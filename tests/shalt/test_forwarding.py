"""`shalt forward` against a real HTTP server that decodes what it gets."""

import gzip
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from importers.otlp_spans import OtlpSpan, decode_protobuf
from shalt import forwarding, importing
from shalt.forwarding import BadForward, CollectorRefused
from shalt.importing import Wanted
from shalt.places import DataDirError
from shalt.settings import Settings
from tests.importers.reading import CORPUS
from tests.relaying import wait_until
from tests.serving import ROOT, running_shalt

SINCE = "2026-09-01"
CALLS = 13  # of otlp.jsonl and litellm.jsonl
SQL = """
    SELECT coalesce(nullif(trace_id, ''), id), session_id, user_id, request_model,
        response_model, input_tokens, output_tokens, cached_tokens, streamed, outcome,
        status_code, duration_ms, time_to_first_token_ms, started_at, usage_estimated,
        provider_id, upstream, group_id
    FROM call ORDER BY started_at, trace_id
"""


@dataclass
class Collector:
    """What the collector has got. `answers`: what it says to the next requests, else 200."""

    url: str = ""
    requests: list[dict[str, str]] = field(default_factory=list)
    spans: list[OtlpSpan] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    batch_max: int = 1_000  # more spans at once are 413

    def ids(self) -> list[object]:
        return [span.attributes["shalt.call.id"] for span in self.spans]


@pytest.fixture(name="collector")
def _collector() -> Iterator[Collector]:
    with running_collector() as collector:
        yield collector


@contextmanager
def running_collector() -> Iterator[Collector]:
    seen = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["content-length"]))
            seen.requests.append({"path": self.path, **dict(self.headers.items())})
            status, headers = seen.answers.pop(0) if seen.answers else (200, {})
            spans = list(decode_protobuf(gzip.decompress(data)))
            if len(spans) > seen.batch_max:
                status = 413
            if status == 200:
                seen.spans += spans
            self.send_response(status)
            for name, value in {"content-length": "0", **headers}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    seen.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(name="settings")
def _settings(tmp_path: Path) -> Settings:
    settings = Settings(data_dir=tmp_path / "data")
    load(settings, "otlp.jsonl", "litellm.jsonl")
    return settings


def load(settings: Settings, *names: str) -> None:
    wanted = Wanted(None, {}, None, synthetic=False, strict=False)
    importing.import_files(settings, [CORPUS / name for name in names], wanted, as_json=True)


def send(
    settings: Settings,
    url: str,
    *,
    since: str | None = None,
    headers: str = "",
    content: bool = False,
) -> int:
    return forwarding.forward(
        settings, url=url, headers=headers, since=since, content=content, once=True
    )


def test_calls_since_a_time_are_sent_in_order_and_once(
    settings: Settings, collector: Collector
) -> None:
    assert send(settings, collector.url, since=SINCE) == 0
    assert len(collector.ids()) == CALLS
    assert collector.ids() == sorted(map(str, collector.ids()))
    assert send(settings, collector.url) == 0
    assert len(collector.ids()) == CALLS


def test_without_since_only_what_comes_from_now_on_is_sent(
    settings: Settings, collector: Collector
) -> None:
    send(settings, collector.url)
    assert collector.spans == []


def test_what_was_sent_is_sent_again_when_asked(settings: Settings, collector: Collector) -> None:
    send(settings, collector.url, since=SINCE)
    send(settings, collector.url, since=SINCE)
    assert len(collector.ids()) == 2 * CALLS
    assert len({span.span_id for span in collector.spans}) == CALLS


def test_the_request_is_otlp_over_http(settings: Settings, collector: Collector) -> None:
    send(settings, collector.url + "/otlp/", since=SINCE, headers="x-key=a%20b, x-other=c")
    (head,) = collector.requests
    assert head["path"] == "/otlp/v1/traces"
    assert head["content-type"] == "application/x-protobuf"
    assert head["content-encoding"] == "gzip"
    assert (head["x-key"], head["x-other"]) == ("a b", "c")


def test_content_is_left_at_home_unless_it_is_wanted(
    settings: Settings, collector: Collector
) -> None:
    send(settings, collector.url, since=SINCE)
    assert not any("gen_ai.input.messages" in span.attributes for span in collector.spans)
    send(settings, collector.url, since=SINCE, content=True)
    assert any("gen_ai.input.messages" in span.attributes for span in collector.spans)


def test_a_busy_collector_is_asked_again_when_it_says(
    settings: Settings, collector: Collector
) -> None:
    collector.answers = [(503, {"retry-after": "0"}), (429, {"retry-after": "0"})]
    assert send(settings, collector.url, since=SINCE) == 0
    assert (len(collector.requests), len(collector.spans)) == (3, CALLS)


def test_a_batch_that_is_too_large_is_halved(settings: Settings, collector: Collector) -> None:
    collector.batch_max = 4
    assert send(settings, collector.url, since=SINCE) == 0
    assert len(set(collector.ids())) == len(collector.spans) == CALLS


def test_a_call_that_is_refused_for_good_is_counted_and_passed_over(
    settings: Settings, collector: Collector
) -> None:
    collector.batch_max = 0
    assert send(settings, collector.url, since=SINCE) == 1
    collector.batch_max = 100
    assert send(settings, collector.url) == 0
    assert collector.spans == []


def test_a_collector_that_wants_a_key_ends_it_and_nothing_counts_as_sent(
    settings: Settings, collector: Collector
) -> None:
    collector.answers = [(401, {})]
    with pytest.raises(CollectorRefused, match="401"):
        send(settings, collector.url, since=SINCE)
    assert send(settings, collector.url) == 0
    assert len(collector.spans) == CALLS


def test_a_torn_note_means_that_a_call_is_sent_again(
    settings: Settings, collector: Collector
) -> None:
    send(settings, collector.url, since=SINCE)
    (path,) = (p for p in (settings.data_dir / "forward").iterdir() if not p.suffix)
    ids = collector.ids()
    path.write_text(f"after 0\n{ids[0]}\n{str(ids[1])[:20]}")
    send(settings, collector.url)
    assert collector.ids()[CALLS:] == ids[1:]


def test_two_do_not_forward_the_same(settings: Settings, collector: Collector) -> None:
    collector.answers = [(503, {"retry-after": "60"})]
    command = [
        sys.executable, "-m", "shalt", "forward", "--otlp", collector.url, "--since", SINCE,
        "--data-dir", str(settings.data_dir),
    ]  # fmt: skip
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        wait_until(lambda: collector.requests)
        with pytest.raises(DataDirError, match="already"):
            send(settings, collector.url)
        process.send_signal(signal.SIGTERM)  # it does not wait out the minute
        assert process.stdout is not None
        assert process.stdout.read() == b"0 calls sent, 0 refused\n"
        assert process.wait(60) == 0


def test_it_goes_on_with_what_comes_until_it_is_told_to_end(
    settings: Settings, collector: Collector
) -> None:
    command = [
        sys.executable, "-m", "shalt", "forward", "--otlp", collector.url, "--since", SINCE,
        "--data-dir", str(settings.data_dir),
    ]  # fmt: skip
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        wait_until(lambda: len(collector.spans) == CALLS)
        path = CORPUS / "openai_chat.jsonl"
        wanted = Wanted(None, {}, "2100-01-01", synthetic=False, strict=False)
        importing.import_files(settings, [path], wanted, as_json=True)
        wait_until(lambda: len(collector.spans) == CALLS + 3)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


@pytest.mark.parametrize(
    ("url", "headers", "since"),
    [
        ("collector:4318", "", None), ("ftp://a", "", None), ("http://u:p@a", "", None),
        ("http://a", "no-value", None), ("http://a", "", "soon"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused(
    settings: Settings, url: str, headers: str, since: str | None
) -> None:
    with pytest.raises(BadForward):
        send(settings, url, headers=headers, since=since)


def test_our_own_endpoint_takes_what_we_send(settings: Settings, tmp_path: Path) -> None:
    with running_shalt(tmp_path / "other", "http://127.0.0.1:9") as other:
        url = f"http://127.0.0.1:{other.port}/otlp"
        for _ in range(2):  # the second time nothing is added
            assert send(settings, url, since=SINCE, content=True) == 0
            wait_until(other.settled)
        assert other.status()["stored"] == other.status()["accepted"] == CALLS
        received = other.rows(SQL)
    with closing(sqlite3.connect(settings.data_dir / "shalt.sqlite")) as database:
        assert received == database.execute(SQL).fetchall()
