"""A request that cannot be met is refused before the store is asked."""

import msgspec
import pytest

from exporters.request import ExportError, ExportRequest, check_request


def test_an_unknown_format_is_refused_with_those_there_are() -> None:
    with pytest.raises(ExportError, match="choose one of openai"):
        check_request(ExportRequest(format="stone tablets"))


def test_a_request_is_read_from_json_and_a_misspelt_field_is_refused() -> None:
    read = msgspec.json.decode(b'{"project": "p", "turns": "last"}', type=ExportRequest)
    assert (read.project, read.turns) == ("p", "last")
    with pytest.raises(msgspec.ValidationError, match="turn"):
        msgspec.json.decode(b'{"turn": "last"}', type=ExportRequest)
