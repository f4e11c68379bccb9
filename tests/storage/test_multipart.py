"""Forms: fields as texts, files as what is said of them, and bytes that are no form."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.multipart import FIELD_BYTES_MAX, FIELDS_MAX, FormFile, read_fields
from storage.wire import Notes


def field(name: str, value: bytes, more: str = "") -> bytes:
    disposition = f'Content-Disposition: form-data; name="{name}"{more}\r\n\r\n'
    return b"--xYz\r\n" + disposition.encode() + value + b"\r\n"


FILE = field(
    "file", b"RIFF\0\r\n--xY\r\n\r\n", '; filename="tide é.wav"\r\nContent-Type: audio/wav'
)
FORM = field("model", b"whisper-1") + FILE + field("language", "fré".encode()) + b"--xYz--\r\n"
SOUND = FormFile("file", "tide é.wav", "audio/wav", 15)


def test_a_form_gives_its_fields_and_what_is_said_of_its_files() -> None:
    notes: Notes = []
    assert read_fields(FORM, notes) == ({"model": "whisper-1", "language": "fré"}, [SOUND])
    assert notes == []


def test_a_repeated_field_is_a_list() -> None:
    form = (
        field("include[]", b"a") + field("include[]", b"b") + field("include[]", b"") + b"--xYz--"
    )
    assert read_fields(form, []) == ({"include": ["a", "b", ""]}, [])


def test_json_is_read_as_json() -> None:
    assert read_fields(b'{"model": "m"}', []) == ({"model": "m"}, [])


@pytest.mark.parametrize("cut", range(1, len(FORM) - 4))
def test_a_form_cut_anywhere_gives_what_is_whole_and_says_so(cut: int) -> None:
    notes: Notes = []
    fields, files = read_fields(FORM[:cut], notes)
    assert notes
    assert fields.items() <= {"model": "whisper-1", "language": "fré"}.items()
    assert all(file.filename == SOUND.filename for file in files)


def test_limits_are_kept_and_said() -> None:
    notes: Notes = []
    long = field("prompt", b"x" * (FIELD_BYTES_MAX + 1)) + b"--xYz--"
    assert read_fields(long, notes)[0]["prompt"] == "x" * FIELD_BYTES_MAX
    many = b"".join(field(f"f{number}", b"1") for number in range(FIELDS_MAX + 9)) + b"--xYz--"
    assert len(read_fields(many, notes)[0]) == FIELDS_MAX
    assert notes == [
        f"a field of the form was read to {FIELD_BYTES_MAX} bytes",
        f"of the form the first {FIELDS_MAX} fields were read",
    ]


@given(st.binary())
def test_any_bytes_after_two_hyphens_are_read_without_a_fault(data: bytes) -> None:
    read_fields(b"--" + data, [])
    read_fields(b"--x\r\n" + data, [])
