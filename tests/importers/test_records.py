"""Tests of importers.records."""

import gzip
from pathlib import Path

import pytest
import zstandard

from importers.records import Record, RecordFile

LINES = b'{"a": 1}\n\n{"a": 2}\n'
PRETTY = b'{\n "a": 1,\n "b": "}{[]\\"\\\\"\n}\n{\n "a": 2\n}'
ARRAY = b' [\n {"a": 1, "b": [{}]},\n {"a": 2}\n]\n'


def records(path: Path, data: bytes) -> list[Record]:
    path.write_bytes(data)
    with RecordFile(path) as file:
        found = list(file)
        assert file.position == file.size
    return found


@pytest.mark.parametrize(
    ("data", "lines"), [(LINES, [1, 3]), (PRETTY, [1, 5]), (ARRAY, [2, 3])], ids=str
)
def test_json_is_read_by_lines_as_documents_and_as_an_array(
    tmp_path: Path, data: bytes, lines: list[int]
) -> None:
    found = records(tmp_path / "file", data)
    assert [(each.line, (each.value or {})["a"]) for each in found] == [
        (lines[0], 1),
        (lines[1], 2),
    ]


@pytest.mark.parametrize(
    "pack", [gzip.compress, zstandard.compress, lambda data: b"\xef\xbb\xbf" + data]
)
def test_compression_and_byte_order_mark_show_in_the_bytes(tmp_path: Path, pack: object) -> None:
    assert callable(pack)
    assert len(records(tmp_path / "file.txt", pack(LINES))) == 2


def test_several_frames_and_members_are_one_file(tmp_path: Path) -> None:
    for pack in (gzip.compress, zstandard.compress):
        assert len(records(tmp_path / "file", pack(LINES) + pack(LINES))) == 4


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_a_file_cut_off_gives_what_stands_before_and_says_so(tmp_path: Path, pack: object) -> None:
    assert callable(pack)
    data = pack(b"".join(b'{"a": %d}\n' % number for number in range(100_000)))
    *before, last = records(tmp_path / "file", data[: len(data) - 20])
    assert all(each.value is not None for each in before[:-1])
    assert last.value is None
    assert "cannot be read any further" in last.note


def test_a_bad_line_costs_only_itself(tmp_path: Path) -> None:
    first, second, third = records(tmp_path / "file", b'{"a": 1}\n{"a": \n{"a": 3}')
    assert first.value == {"a": 1}
    assert (second.line, second.value, second.note) == (2, None, "the record is not JSON")
    assert third.value == {"a": 3}


def test_a_torn_first_line_costs_only_itself_too(tmp_path: Path) -> None:
    torn, one, two = records(tmp_path / "file", b'{"torn": "li\n{"a": 1}\n{"a": 2}\n')
    assert (torn.value, one.value, two.value) == (None, {"a": 1}, {"a": 2})
    assert "JSON" in torn.note


def test_what_is_no_object_is_said_to_be_none(tmp_path: Path) -> None:
    assert [each.value for each in records(tmp_path / "file", b'{"a": 1}\n7\n')] == [{"a": 1}, None]
    notes = [each.note for each in records(tmp_path / "file", b'[7, {"a": 1}, "x"]')]
    assert notes == ["something that is not an object", "", "something that is not an object"]


def test_a_document_cut_off_is_said_to_be(tmp_path: Path) -> None:
    found = records(tmp_path / "file", b'[{"a": 1},\n{"a": "')
    assert found[0].value == {"a": 1}
    assert found[1].note == "the record is cut off by the end of the file"


@pytest.mark.parametrize("data", [PRETTY, ARRAY])
def test_a_document_is_cut_the_same_wherever_a_chunk_ends(tmp_path: Path, data: bytes) -> None:
    whole = [each.value for each in records(tmp_path / "file", data)]
    for spaces in range(2**20 - len(data), 2**20 + 1):
        found = records(tmp_path / "file", b"[\n" + b" " * spaces + data.lstrip(b" [") + b" ")
        if data is ARRAY:
            assert [each.value for each in found] == whole
        else:
            assert [each.value for each in found][:2] == whole


def test_a_page_of_a_list_is_the_records_on_it(tmp_path: Path) -> None:
    found = records(tmp_path / "file", b'{"object": "list", "data": [{"a": 1}, 5, {"a": 2}]}\n')
    assert [each.value for each in found] == [{"a": 1}, None, {"a": 2}]


def test_csv_has_a_header_and_fields_of_many_lines(tmp_path: Path) -> None:
    data = b'id,text\n1,"two\nlines, ""quoted"""\n2\n3,caf\xe9\n'
    first, second, third = records(tmp_path / "file", data)
    assert first.value == {"id": "1", "text": 'two\nlines, "quoted"'}
    assert second.note == "the row has 1 fields under 2 names"
    assert third.value == {"id": "3", "text": "caf\\xe9"}


def test_an_empty_file_has_no_records(tmp_path: Path) -> None:
    assert records(tmp_path / "file", b"\n \n") == []


def test_what_was_replaced_in_a_record_is_noted(tmp_path: Path) -> None:
    (found,) = records(tmp_path / "file", b'{"a": "\\ud800"}')
    assert found.value == {"a": "\ufffd"}
    assert "lone surrogates" in found.note
