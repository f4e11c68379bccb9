"""The files of an export against its manifest: all there, nothing besides, not a byte changed.

What an export of its kind has is known, so a file that somebody adds does not become part of it by
being named in the manifest, nor does one cease to be by not being named.

Memory: one buffer. Reads each file once.
"""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
from pyarrow import parquet

from exporters.card import CARD_FILE
from exporters.checks import Check, Problems
from exporters.formats import FORMATS
from exporters.manifest import FileEntry, Manifest
from exporters.manifest_reading import MANIFEST_FILE, MANIFEST_VERSION
from exporters.parquet_files import read_lines
from exporters.parts import LEAVING
from exporters.row_lines import IDS_FILE, NEEDS_LABEL_FILE, UNFIT_FILE, file_of
from exporters.templates import TEMPLATES_FILE
from exporters.trainers import CONFIG_FILES
from exporters.windows import REFERENCE_FILE, REFERENCE_TEST_FILE
from storage.counted import counted

BUFFER_BYTES = 1 << 20

Advance = Callable[[int], None]  # bytes read since it was last told


class NotAnExport(Exception):
    """The directory holds no export that this version can read; the message says why."""


def read_manifest(directory: Path) -> Manifest:
    """Read the manifest of an export, of this version; raise NotAnExport.

    Also where anything in the directory is neither a file nor a link to one: who reads a pipe or a
    device waits for ever.
    """
    path = directory / MANIFEST_FILE
    if not path.exists():
        raise NotAnExport(f"there is no {path}: name the directory of an export")
    for stranger in _files(directory):
        if not stranger.is_file():
            raise NotAnExport(f"{stranger} is no file: no export has such, and nothing is proved")
    try:
        data = path.read_bytes()
        version = msgspec.json.decode(data, type=_Versioned).version
    except OSError as error:
        raise NotAnExport(
            f"{path} cannot be read ({error.strerror}): name the directory of an export"
        ) from error
    except (msgspec.MsgspecError, RecursionError) as error:
        raise NotAnExport(f"{path} is no manifest of an export: {error}") from error
    if version != MANIFEST_VERSION:
        raise NotAnExport(
            f"{path} has version {version}, this shalt reads version {MANIFEST_VERSION}: verify "
            "it with the version of shalt that wrote it"
        )
    try:
        return msgspec.json.decode(data, type=Manifest)
    except msgspec.MsgspecError as error:
        raise NotAnExport(f"{path} was changed, or written by another version: {error}") from error


def check_files(directory: Path, manifest: Manifest, advance: Advance = lambda done: None) -> Check:
    """Compare every file's SHA-256, length and number of rows with what the manifest says."""
    problems = Problems()
    named = {entry.name for entry in manifest.files} | {MANIFEST_FILE}
    there = {path.relative_to(directory).as_posix() for path in _files(directory)}
    for name in sorted(there - named):
        problems.add(f"{name} is not in the manifest: it was added, do not train on it")
    wanted = _wanted(manifest)
    for name in sorted(wanted - named):
        problems.add(f"{name} is not in the manifest, which belongs to every export like this")
    for name in sorted(named - wanted - {MANIFEST_FILE} - CONFIG_FILES):
        problems.add(f"{name} is in the manifest, and no part of an export: do not train on it")
    for entry in manifest.files:
        if entry.name not in there:
            problems.add(f"{entry.name} is missing")
        else:
            for wrong in _compare(directory / entry.name, entry, advance):
                problems.add(f"{entry.name} {wrong}: it was changed, fetch the export again")
    total = sum(entry.bytes for entry in manifest.files)
    says = (
        f"{counted(len(manifest.files), 'file')}, {total:,} bytes, have the hashes of the manifest"
    )
    return problems.check("files", says)


def read_rows(path: Path) -> Iterator[bytes]:
    """Yield the rows of a file as lines of JSON, without their line ends."""
    if path.suffix == ".parquet":
        yield from read_lines(path)
    else:
        with path.open("rb", buffering=BUFFER_BYTES) as file:
            for line in file:
                yield line.removesuffix(b"\n")


def _wanted(manifest: Manifest) -> set[str]:
    """Name the files of an export like this, but for its manifest and the trainers' configs."""
    known = FORMATS.get(manifest.format)
    suffix = known.suffix if known is not None else "jsonl"
    rows = {file_of(part, suffix) for part in (*LEAVING, *manifest.sets)}
    lists = {IDS_FILE, NEEDS_LABEL_FILE, UNFIT_FILE, TEMPLATES_FILE, CARD_FILE}
    samples = {REFERENCE_FILE, REFERENCE_TEST_FILE}
    return rows | lists | samples | {subset.name for subset in manifest.subsets}


class _Versioned(msgspec.Struct, frozen=True):
    version: int


def _files(directory: Path) -> Iterator[Path]:
    return (path for path in directory.rglob("*") if not path.is_dir())


def _compare(path: Path, entry: FileEntry, advance: Advance) -> Iterator[str]:
    digest, length, lines = hashlib.sha256(), 0, 0
    with path.open("rb") as file:
        while data := file.read(BUFFER_BYTES):
            digest.update(data)
            length += len(data)
            lines += data.count(b"\n")
            advance(len(data))
    if length != entry.bytes:
        yield f"has {length:,} bytes, not {entry.bytes:,}"
    elif digest.hexdigest() != entry.sha256:
        yield "has another SHA-256"
    elif path.suffix == ".jsonl" and lines != entry.rows:
        yield f"has {counted(lines, 'row')}, not {entry.rows:,}"
    elif path.suffix == ".parquet" and parquet.read_metadata(path).num_rows != entry.rows:
        yield f"has not {counted(entry.rows, 'row')}"
