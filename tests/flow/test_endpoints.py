"""Every endpoint of the ecosystem, and one that is not invented yet, reached as it is asked for.

OpenAI's are those of its specification 2.3.0. A service whose paths begin with something else than
/v1 has a base URL without it: what follows /u/<name> is its own path, as its client makes it.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.capture import Outcome
from tests.client import request
from tests.relaying import RunningRelay, running_relay, upstream_at
from tests.upstream import Upstream, running_upstream

# Below /v1, of the default upstream: method and path.
OPENAI = """
GET /chat/completions?limit=2 | POST /chat/completions | GET /chat/completions/chatcmpl-1
POST /chat/completions/chatcmpl-1 | DELETE /chat/completions/chatcmpl-1
GET /chat/completions/chatcmpl-1/messages?after=a%2Fb | POST /responses?beta=true
GET /responses/resp_1?stream=true&starting_after=3 | DELETE /responses/resp_1
POST /responses/resp_1/cancel | GET /responses/resp_1/input_items | POST /responses/compact
POST /responses/input_tokens | POST /conversations | DELETE /conversations/conv_1/items/msg_1
POST /completions | POST /embeddings | POST /moderations | GET /models | GET /models/ft:gpt:org::id
DELETE /models/gpt%2F4 | POST /images/generations | POST /images/edits | POST /images/variations
POST /audio/speech | POST /audio/transcriptions | POST /audio/translations | GET /audio/voices
POST /audio/voice_consents | POST /videos | GET /videos/video_1/content?variant=thumbnail
POST /videos/video_1/remix | GET /files | POST /files | GET /files/file-1/content
DELETE /files/file-1 | POST /uploads | POST /uploads/upload_1/parts
POST /uploads/upload_1/complete | POST /batches | POST /batches/batch_1/cancel
POST /fine_tuning/jobs | GET /fine_tuning/jobs/ftjob-1/events
POST /fine_tuning/alpha/graders/run | POST /evals
GET /evals/eval_1/runs/run_1/output_items | POST /vector_stores | POST /vector_stores/vs_1/search
POST /containers | GET /containers/cntr_1/files/cfile_1/content | POST /skills
POST /realtime/calls | POST /realtime/client_secrets | POST /realtime/sessions
POST /realtime/transcription_sessions | POST /chatkit/sessions | POST /assistants
POST /threads/thread_1/runs/run_1/submit_tool_outputs | POST /content_provenance_checks
GET /organization/usage/completions?start_time=1&group_by[]=model | POST /zzz/not/invented/yet
PUT /zzz | PATCH /zzz/1 | OPTIONS /chat/completions | PURGE /zzz
"""
# With the service's own path.
OTHERS = """
POST /v1/messages | POST /v1/messages/count_tokens | POST /v1/messages/batches
GET /v1/messages/batches/msgbatch_1/results | POST /v1/complete
POST /v1beta/models/gemini-2.5-pro:generateContent?key=k
POST /v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse
POST /upload/v1beta/files?uploadType=resumable | POST /v1beta/openai/chat/completions
POST /v1/projects/p/locations/l/publishers/google/models/m:predict
POST /model/anthropic.claude-v2%3A1/invoke | POST /model/a.b/converse-stream
POST /model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fx/converse
POST /openai/deployments/gpt-4/chat/completions?api-version=2024-10-21
POST /openai/v1/responses | POST /api/v1/chat/completions | GET /api/v1/key
POST /tokenize | POST /detokenize | POST /pooling | POST /v1/rerank | POST /rerank | GET /version
POST /v1/score | GET /metrics | GET /health | POST /load_lora_adapter
GET /api/tags | POST /api/chat | POST /api/generate | POST /api/embed | POST /api/pull
DELETE /api/delete | HEAD /api/blobs/sha256:29fd | POST /api/blobs/sha256:29fd | GET /api/ps | GET /
POST /infill | POST /generate | POST /generate_stream | POST /v2/chat | POST /v1/fim/completions
POST /beta/completions | GET /user/balance
"""
BINARY = bytes(range(256)) * 8


def listed(table: str) -> list[tuple[str, str]]:
    lines = table.strip().replace("\n", " | ").split(" | ")
    return [(method, path) for method, _, path in (line.partition(" ") for line in lines)]


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with running_upstream() as seen:
        yield seen


@pytest.fixture(scope="module")
def relay(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRelay]:
    upstreams = [upstream_at(upstream.port), upstream_at(upstream.port, "own", base_path=b"")]
    folder: Path = tmp_path_factory.mktemp("spool")
    with running_relay(folder, upstreams) as running:
        yield running


def check(relay: RunningRelay, upstream: Upstream, method: str, path: str, there: str) -> None:
    """Call a path with a multipart body of any bytes: what arrives is what was sent."""
    body = b"" if method in ("GET", "HEAD", "OPTIONS") else BINARY
    headers = {"content-type": 'multipart/form-data; boundary="a b"', "Range": "bytes=0-9"}
    answer = request(relay.port, path, body, method, headers)
    assert answer.status == 200
    assert "x-shalt-error" not in dict(answer.headers)
    assert upstream.sent().startswith(f"{method} {there} HTTP/1.1\r\n".encode())
    assert b'\r\ncontent-type: multipart/form-data; boundary="a b"\r\n' in upstream.sent()
    assert b"\r\nrange: bytes=0-9\r\n" in upstream.sent()


@pytest.mark.parametrize(
    ("table", "here", "there"), [(OPENAI, "/v1", "/v1"), (OTHERS, "/u/own", "")]
)
def test_every_endpoint_is_reached_at_its_own_path(
    relay: RunningRelay, upstream: Upstream, table: str, here: str, there: str
) -> None:
    before = len(relay.calls(0))
    endpoints = listed(table)
    for method, path in endpoints:
        check(relay, upstream, method, here + path, there + path)
    calls = relay.calls(before + len(endpoints))[before:]
    assert [call.method for call in calls] == [method for method, _ in endpoints]
    assert {call.outcome for call in calls} == {Outcome.COMPLETE}
    assert {call.request_body.data for call in calls} <= {b"", BINARY}


def test_a_mount_without_a_path_is_reached_with_and_without_a_slash(
    relay: RunningRelay, upstream: Upstream
) -> None:
    for path in ("/u/own", "/u/own/", "/u/own?a=1", "/u/own/?a=1"):
        assert request(relay.port, path, b"", "GET").status == 200
        query = path.partition("?")[1] + path.partition("?")[2]
        assert upstream.sent().startswith(f"GET /{query} HTTP/1.1\r\n".encode())
