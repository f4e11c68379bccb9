"""Tests of shalt.otlp_routes, through a running shalt."""

import gzip
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from shalt.otlp_routes import BODY_BYTES_MAX
from tests.client import Answer, request
from tests.importers.reading import CORPUS
from tests.relaying import wait_until
from tests.serving import Shalt, running_shalt

PATH = "/otlp/v1/traces"
PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json; charset=utf-8"}


@pytest.fixture(scope="module", name="shalt")
def _shalt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shalt]:
    with running_shalt(tmp_path_factory.mktemp("otlp") / "data", "http://127.0.0.1:9") as running:
        yield running


def one_span(number: int, **attributes: str) -> bytes:
    message = ExportTraceServiceRequest()
    span = message.resource_spans.add().scope_spans.add().spans.add()
    span.trace_id = b"\1" * 16
    span.span_id = number.to_bytes(8)
    span.name = "chat"
    span.start_time_unix_nano = 1_790_000_000_000_000_000 + number
    for key, value in attributes.items():
        pair = span.attributes.add()
        pair.key = key.replace("__", ".")
        pair.value.string_value = value
    return message.SerializeToString()


def chat(number: int) -> bytes:
    return one_span(number, gen_ai__operation__name="chat", gen_ai__request__model="small-1")


def rows(shalt: Shalt, where: str = "1 = 1") -> int:
    with closing(sqlite3.connect(shalt.data_dir / "shalt.sqlite")) as database:
        found = database.execute(f"SELECT count(*) FROM call WHERE {where}").fetchone()
    return int(found[0])


def partial(answer: Answer) -> tuple[int, str]:
    said = ExportTraceServiceResponse.FromString(answer.body).partial_success
    return said.rejected_spans, said.error_message


def test_json_of_several_conventions_is_taken_and_the_rest_is_counted(shalt: Shalt) -> None:
    rejected = []
    for line in (CORPUS / "otlp.jsonl").read_bytes().splitlines():
        answer = request(shalt.port, PATH, line, headers=JSON)
        assert (answer.status, answer.header("content-type")) == (200, "application/json")
        rejected.append(answer.json())
    assert rejected[:2] == [{}, {}]
    said = rejected[2]["partialSuccess"]
    assert isinstance(said, dict)
    assert said["rejectedSpans"] == "2"
    wait_until(lambda: rows(shalt, "trace_id = '4bf92f3577b34da6a3ce929d0e0e4736'") == 9)
    assert rows(shalt, "source = 'otlp' AND group_id = 'conv-1'") == 1


def test_protobuf_is_taken_plain_and_compressed(shalt: Shalt) -> None:
    packed = {**PROTOBUF, "content-encoding": "gzip"}
    assert partial(request(shalt.port, PATH, chat(1), headers=PROTOBUF)) == (0, "")
    assert request(shalt.port, PATH, gzip.compress(chat(2), mtime=0), headers=packed).status == 200
    wait_until(lambda: rows(shalt, "request_model = 'small-1'") >= 2)


def test_a_retried_export_is_stored_once_and_counted_once(shalt: Shalt) -> None:
    before = shalt.status()["accepted"]
    for _ in range(5):
        assert request(shalt.port, PATH, chat(77), headers=PROTOBUF).status == 200
    wait_until(shalt.settled)
    assert request(shalt.port, PATH, chat(77), headers=PROTOBUF).status == 200
    assert shalt.status()["accepted"] == before + 1


def test_other_spans_are_told_in_the_partial_success(shalt: Shalt) -> None:
    answer = request(shalt.port, PATH, one_span(5, http__route="/"), headers=PROTOBUF)
    assert answer.status == 200
    assert partial(answer) == (1, "1 of 1 spans asked no model and were not kept")


def test_a_project_can_be_chosen(shalt: Shalt) -> None:
    answer = request(shalt.port, f"{PATH}?project=shop", chat(9), headers=PROTOBUF)
    assert answer.status == 200
    wait_until(lambda: rows(shalt, "project = 'shop'") == 1)
    assert request(shalt.port, f"{PATH}?project=a/b", chat(9), headers=PROTOBUF).status == 400


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        (PROTOBUF, b"\xff\xff", 400),
        (JSON, b"{}", 400),
        ({"content-type": "text/plain"}, b"{}", 415),
        ({**JSON, "content-encoding": "br"}, b"{}", 415),
        ({**JSON, "content-encoding": "gzip"}, b"{}", 400),
        ({**JSON, "content-encoding": "gzip"}, gzip.compress(b"{}" * 99, mtime=0)[:-9], 400),
        (
            {**JSON, "content-encoding": "gzip"},
            gzip.compress(bytes(BODY_BYTES_MAX + 1), mtime=0),
            413,
        ),
        (JSON, bytes(BODY_BYTES_MAX + 1), 413),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_no_export_is_refused_with_the_reason(
    shalt: Shalt, headers: dict[str, str], body: bytes, status: int
) -> None:
    answer = request(shalt.port, PATH, body, headers=headers)
    assert answer.status == status
    if headers is PROTOBUF:
        assert answer.body[0] == 0x12
        assert answer.body[2:].startswith(b"the body is not an ExportTraceServiceRequest")
    else:
        assert json.loads(answer.body)["message"]


def test_an_empty_export_is_fine(shalt: Shalt) -> None:
    answer = request(shalt.port, PATH, b"", headers=PROTOBUF)
    assert (answer.status, answer.body) == (200, b"")
