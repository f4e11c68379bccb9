"""Tests of importers.otlp_spans."""

import json
import re
from base64 import b64encode

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from importers.otlp_spans import SpansError, decode_json, decode_protobuf
from tests.importers.reading import CORPUS


def as_protobuf(text: str) -> bytes:
    """Turn OTLP's JSON into protobuf by protobuf's own reader, whose ids are base64."""
    hexadecimal = re.compile(r'"(traceId|spanId|parentSpanId)": "([0-9a-f]*)"')
    message = json_format.Parse(
        hexadecimal.sub(
            lambda found: f'"{found[1]}": "{b64encode(bytes.fromhex(found[2])).decode()}"', text
        ),
        ExportTraceServiceRequest(),
    )
    return message.SerializeToString()


@pytest.mark.parametrize("line", (CORPUS / "otlp.jsonl").read_text().splitlines(), ids=len)
def test_json_and_protobuf_say_the_same(line: str) -> None:
    spans = list(decode_json(line.encode()))
    assert spans == list(decode_protobuf(as_protobuf(line)))
    assert len(spans) >= 3


def test_every_kind_of_value_is_plain_afterwards() -> None:
    values = {
        "text": {"stringValue": "x"},
        "number": {"intValue": "9007199254740993"},
        "small": {"intValue": 7},
        "ratio": {"doubleValue": 0.5},
        "odd": {"doubleValue": "NaN"},
        "flag": {"boolValue": False},
        "list": {"arrayValue": {"values": [{"stringValue": "a"}, {}]}},
        "pairs": {"kvlistValue": {"values": [{"key": "k", "value": {"intValue": "1"}}]}},
        "bytes": {"bytesValue": "AAE="},
        "nothing": {},
    }
    attributes = [{"key": key, "value": value} for key, value in values.items()]
    spans = [{"traceId": "AA" * 16, "spanId": "BB" * 8, "attributes": attributes}]
    body = {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}
    (span,) = decode_json(json.dumps(body).encode())
    assert (span.trace_id, span.span_id, span.parent_span_id) == ("aa" * 16, "bb" * 8, "")
    assert span.attributes == {
        "text": "x", "number": 9007199254740993, "small": 7, "ratio": 0.5, "odd": "NaN",
        "flag": False, "list": ["a", None], "pairs": {"k": 1}, "bytes": "AAE=", "nothing": None,
    }  # fmt: skip
    assert list(decode_protobuf(as_protobuf(json.dumps({"resourceSpans": []})))) == []


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"{", b'{"resourceSpans": [7]}', b"\xff"])
def test_json_that_is_no_export_is_refused(data: bytes) -> None:
    with pytest.raises(SpansError):
        list(decode_json(data))


def test_bytes_that_are_no_export_are_refused() -> None:
    with pytest.raises(SpansError):
        list(decode_protobuf(b"\xff\xff not protobuf"))


@pytest.mark.parametrize("levels", [10, 100, 250])
def test_values_nested_too_deep_are_said_to_be(levels: int) -> None:
    value: object = {"intValue": "1"}
    for _ in range(levels):
        value = {"arrayValue": {"values": [value]}}
    span = {"attributes": [{"key": "a", "value": value}]}
    body = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
    (found,) = decode_json(json.dumps(body).encode())
    assert ("nested deeper" in str(found.attributes["a"])) == (levels > 64)
