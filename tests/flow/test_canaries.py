"""A key of its own in every field of a call: none is in anything that shalt writes or shows.

While the recorder is stopped, the spool is searched; then the store with its bodies decoded, logs,
metrics, pages, the API and every file of the data directory.
"""

import base64
import gzip
import json
import os
import re
import signal
import threading
import urllib.error
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import brotli
import msgspec
import pytest
import zstandard
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from shalt.recording import open_store
from shalt.settings import load
from storage.capture import Capture
from storage.encoding import decode
from storage.feed import assemble
from storage.replay import Frame, SpoolReader
from storage.segments import writers
from tests.client import request
from tests.relaying import wait_until
from tests.serving import Shalt, running_shalt
from tests.shalt.test_otlp_routes import PROTOBUF, one_span
from tests.sockets import running_sockets
from tests.upstream import running_upstream

# Each canary has a number in it, and ends in a text that every one of them has: so pieces are seen.
CORE = "CanaryA1b2C3d4"
END = "Zz9Yy8Xx7"
MAIL = "canary.mail@example-canary.org"
CONFIG = "[redaction.email]\n[upstreams.gone]\nbase_url = 'http://127.0.0.1:9/v1'\n"


class Canaries:
    """Makes canaries, and knows how each was planted."""

    def __init__(self) -> None:
        self.planted: list[str] = []

    def key(self, where: str) -> str:
        """A provider's key."""
        self.planted.append(where)
        return f"sk-{len(self.planted):03}{CORE}{END}"

    def word(self, where: str) -> str:
        """A secret that is none by its form."""
        return self.key(where).removeprefix("sk-")


class _Speaker(BaseHTTPRequestHandler):
    """Sends what was prepared for a path, in the pieces it was prepared in."""

    prepared: dict[str, tuple[str, list[bytes]]] = {}

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        kind, pieces = self.prepared[self.path]
        self.send_response(401 if "error" in self.path else 200)
        self.send_header("content-type", kind)
        self.send_header("x-contact", f"ask {MAIL}")
        self.send_header("content-length", str(sum(map(len, pieces))))
        self.end_headers()
        for piece in pieces:
            self.wfile.write(piece)
            self.wfile.flush()

    def log_message(self, *_: object) -> None: ...


@contextmanager
def speaking() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Speaker)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join()


def plant_in_requests(port: int, canaries: Canaries) -> None:
    """Heads, addresses and bodies of requests; most are answered with what was sent."""
    key, word = canaries.key, canaries.word
    for name in ("authorization", "x-api-key", "api-key", "x-goog-api-key", "helicone-auth"):
        request(port, "/v1/plain", headers={name: f"Bearer {word(name)}"})
        request(port, "/v1/echo", headers={name: f"Bearer {key(name + ' echoed')}"})
    basic = base64.b64encode(f"user:{word('basic')}".encode()).decode()
    request(port, "/v1/plain", headers={"authorization": f"Basic {basic}"})
    request(port, "/v1/plain", headers={"cookie": f"session={word('cookie')}"})
    request(port, "/v1/echo", headers={"x-anything": key("any header")})
    mail = MAIL.replace("@", "\\u0040")
    quoted = f'{{"api_key": "{word("header member")}", "to": "{mail}"}}'
    request(port, "/v1/echo", headers={"x-metadata": quoted})
    mails = {
        "x-user": MAIL,
        "x-shalt-tag-owner": MAIL,
        "x-shalt-session": f"of {MAIL}",
        "from": MAIL,
    }
    request(port, f"/v1/{MAIL}/plain?user={MAIL}&{MAIL}=1", headers=mails)
    escaped = MAIL.replace("@", "%40").replace("n", "%6e")
    request(port, f"/v1/{escaped}/plain?user=of+{escaped}&x=a%26{escaped}%2F&y", headers=mails)
    request(port, f"/v1/plain?x={key('escaped').replace('-', '%2D')}")
    request(port, f"/v1/{key('escaped path').replace('-', '%2D')}/plain")
    request(port, f"/u/{MAIL}/plain?user={escaped}", headers=mails)
    request(port, f"/u/gone/plain?user={MAIL}", headers=mails)
    request(port, "/v1/echo", headers={"x-shalt-tag-note": key("tag"), "x-shalt-session": key("s")})
    request(port, f"/v1/plain?key={word('query')}&x={key('query value')}&sig={word('sig')}")
    request(port, f"/v1/{key('path')}/plain")
    request(port, f"/u/{key('no upstream')}/plain")
    request(port, "/v1/plain", headers={"x-shalt-project": key("bad project")})
    request(port, f"/u/gone/plain?key={word('unreachable')}", headers={"x-api-key": word("gone")})
    chat = '{"messages": [{"role": "user", "content": "use %s or ask %s"}], "api_key": "%s"}'
    for name, encode in (
        ("identity", bytes), ("gzip", gzip.compress), ("br", brotli.compress),
        ("zstd", zstandard.compress),
    ):  # fmt: skip
        body = chat % (key(name), MAIL.replace("@", "\\u0040"), word(f"{name} member"))
        for path in ("/v1/plain", "/v1/late-echo"):
            request(port, path, encode(body.encode()), headers={"content-encoding": name})
    form = '--b\r\ncontent-disposition: form-data; name="note"\r\n\r\n'
    form += f"{key('form field')} {MAIL}\r\n"
    form += '--b\r\ncontent-disposition: form-data; name="file"; filename="batch.jsonl"\r\n\r\n'
    form += f'{{"custom_id": "1", "body": {{"user": "{key("form file")} {MAIL}"}}}}\r\n--b--\r\n'
    kind = {"content-type": "multipart/form-data; boundary=b"}
    request(port, "/v1/echo", form.encode(), headers=kind)


def plant_in_answers(port: int, canaries: Canaries) -> None:
    """Answers: errors, and streams of which every event, or every read, cuts a key elsewhere."""
    plain = f'{{"error": {{"message": "bad key {canaries.key("error")} of {MAIL}"}}}}'
    _Speaker.prepared["/v1/error"] = ("application/json", [plain.encode()])
    key = canaries.key("stream")
    event = 'data: {"choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n'
    for cut in range(1, len(key), 3):
        events = [event % "use ", event % key[:cut], event % (key[cut:] + " now"), event % "."]
        mails = [event % " ask ", event % MAIL[:cut], event % MAIL[cut:], event % " x"]
        stream = "".join(events + mails).encode()
        middle = stream.index(key[cut:].encode())
        pieces = [stream[: middle - cut], stream[middle - cut : middle], stream[middle:]]
        _Speaker.prepared[f"/v1/stream{cut}"] = ("text/event-stream", pieces)
        _Speaker.prepared[f"/v1/cut{cut}"] = (
            "text/event-stream",
            [(event % key[:cut]).encode()[: -4 - 3], (event % key).encode()],
        )
    for path in _Speaker.prepared:
        request(port, path.replace("/v1/", "/u/speaker/"))


def plant_in_sockets(port: int, canaries: Canaries) -> None:
    """The handshake, and messages both ways: they are echoed."""
    protocol = f"openai-insecure-api-key.{canaries.key('protocol')}"
    there = f"ws://127.0.0.1:{port}/u/sockets/realtime?key={canaries.word('socket query')}&u={MAIL}"
    offered = [Subprotocol("realtime"), Subprotocol(protocol)]
    mails = {"x-user": MAIL}
    with connect(there, additional_headers=mails, subprotocols=offered, compression=None) as socket:
        socket.recv(timeout=60)
        key = canaries.key("frames")
        for text in (f"whole {key} of {MAIL}", " " + key[:9], key[9:], " end"):
            socket.send(json.dumps({"type": "x", "delta": text}))
            socket.recv(timeout=60)


def plant_in_what_is_said(shalt: Shalt, canaries: Canaries) -> None:
    """Feedback, corrections, spans, and questions to the console."""
    call_id = request(shalt.port, "/v1/plain").header("x-shalt-call-id")
    json_kind = {"content-type": "application/json"}
    said = {
        "id": call_id,
        "name": "why",
        "value": f"value {canaries.key('score')} {MAIL}",
        "comment": f"comment {canaries.key('comment')} {MAIL}",
        "correction": f"better {canaries.key('correction')} {MAIL}",
    }
    answer = request(shalt.port, "/feedback", json.dumps(said).encode(), headers=json_kind)
    assert answer.status in (200, 202), answer.body
    text = json.dumps([{"role": "user", "content": f"{canaries.key('span')} {MAIL}"}])
    span = one_span(
        1, gen_ai__operation__name="chat", gen_ai__request__model="m", gen_ai__input__messages=text
    )
    assert request(shalt.port, "/otlp/v1/traces", span, headers=PROTOBUF).status == 200
    for path in ("/api/calls?where=", "/nowhere?", "/review?where=", "/api/why/"):
        request(shalt.port, path + canaries.key(path), b"", "GET")
        request(shalt.port, path + MAIL, b"", "GET")


def readings(data: bytes) -> Iterator[bytes]:
    """A body as it is; and the texts that a stream's events bring, as one."""
    yield data
    pieces = re.findall(rb'"(?:content|delta)": ?"([^"]*)"', data)
    yield b"".join(pieces)


def spooled(spool: Path) -> Iterator[tuple[str, bytes]]:
    """Everything in the spool, put together."""
    for writer in writers(spool):
        frames: dict[str, list[Frame]] = {}
        for frame in SpoolReader(spool / writer).read(100_000, 2**30):
            if frame.payload is not None:
                yield writer, msgspec.msgpack.encode(frame.payload)
                frames.setdefault(frame.payload.id, []).append(frame)
        for parts in frames.values():
            whole = assemble(parts)
            if whole is not None:
                yield from bodies(whole)


def bodies(capture: Capture) -> Iterator[tuple[str, bytes]]:
    """The bodies of a capture, decoded."""
    for headers, body in (
        (capture.request_headers, capture.request_body),
        (capture.response_headers, capture.response_body),
    ):
        for reading in readings(decode(headers, body.data)[0]):
            yield capture.target, reading


def kept(shalt: Shalt) -> Iterator[tuple[str, bytes]]:
    """Every file, every call of the store with its bodies, every page that shows one."""
    for folder, _, names in os.walk(shalt.data_dir):
        for name in names:
            path = Path(folder, name)
            # Some are there for a moment only, before they get their names; sockets are no files.
            with suppress(FileNotFoundError):
                if path.is_file():
                    yield str(path), path.read_bytes()
    settings = load(shalt.data_dir.parent / "shalt.toml", data_dir=shalt.data_dir)
    with closing(open_store(settings)) as store:
        ids = [str(id) for (id,) in shalt.rows("select id from call")]
        for call_id in ids:
            call = store.get(call_id)
            assert call is not None
            assert call.capture is not None
            yield call_id, repr(call).encode()
            yield from bodies(call.capture)
    pages = ["/metrics", "/api/status", "/api/calls?limit=1000", "/review", "/api/counts"]
    pages += [f"/api/calls/{call_id}" for call_id in ids]
    pages += [f"/review/calls/{call_id}" for call_id in ids[:40]]
    for page in pages:
        try:
            yield page, shalt.get(page)
        except urllib.error.HTTPError as error:
            yield page, error.read()


def leaks(written: Iterator[tuple[str, bytes]]) -> list[str]:
    found = []
    for where, data in written:
        for secret in (CORE, END, MAIL, "canary.mail", "example-ca"):
            at = data.find(secret.encode())
            if at >= 0:
                found.append(f"{where}: …{data[max(at - 60, 0) : at + 40]!r}…")
    return found


def test_a_secret_in_any_field_is_in_nothing_that_is_written(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    canaries = Canaries()
    with speaking() as speaker, running_sockets() as sockets, running_upstream() as upstream:
        others = "".join(
            f"[upstreams.{name}]\nbase_url = 'http://127.0.0.1:{port}/v1'\n"
            for name, port in (("speaker", speaker), ("sockets", sockets.port))
        )
        openai = f"[upstreams.openai]\nbase_url = '{upstream.url}/v1'\ndefault = true\n"
        (tmp_path / "shalt.toml").write_text("search = true\n" + openai + others + CONFIG)
        with running_shalt(tmp_path / "data", "") as shalt, ExitStack() as stack:
            wait_until(shalt.settled)
            recorder = shalt.child("shalt.recording")
            os.kill(recorder, signal.SIGSTOP)
            stack.callback(os.kill, recorder, signal.SIGCONT)
            plant_in_requests(shalt.port, canaries)
            plant_in_answers(shalt.port, canaries)
            plant_in_sockets(shalt.port, canaries)
            plant_in_what_is_said(shalt, canaries)
            wait_until(lambda: shalt.status()["in_flight"] == 0)
            waiting = list(spooled(tmp_path / "data" / "spool"))
            assert len(waiting) > 100
            found = leaks(iter(waiting))
            assert not found, "\n".join(found)
            stack.close()
            wait_until(shalt.settled)
            assert len(shalt.rows("select id from score")) == 1
            found = leaks(kept(shalt))
            assert not found, "\n".join(found)
            assert shalt.stop() == 0
        assert leaks(iter([("log", capfd.readouterr().err.encode())])) == []
        assert len(canaries.planted) > 45
