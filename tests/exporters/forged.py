"""Exports for the tests of the verifier: honest ones, and ones whose forger knows every hash."""

import hashlib
import random
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from exporters.dataset import export
from exporters.manifest import Manifest, manifest_json
from exporters.manifest_reading import MANIFEST_FILE
from exporters.request import ExportRequest
from exporters.row_lines import IDS_FILE, IdLine
from storage.capture import Capture
from storage.store import TraceStore
from tests.exporters.calls import WORDS, chat, record, said
from tests.exporters.conftest import make_store

Rows = list[tuple[IdLine, bytes]]


def text(chance: random.Random, least: int = 20, most: int = 60) -> str:
    """Say something that nobody else says."""
    return " ".join(f"{word}{chance.randrange(9)}" for word in _words(chance, least, most))


def _words(chance: random.Random, least: int, most: int) -> list[str]:
    return chance.choices(WORDS, k=chance.randint(least, most))


def traffic(groups: int) -> list[Capture]:
    """Make conversations of one to three turns, of two models, over some days."""
    chance = random.Random(7)
    calls = []
    for group in range(groups):
        history = [said("system", "Be brief.")]
        model = chance.choice(("tiny", "tiny", "large"))
        day = chance.randrange(30) * 86_400 * 10**9
        for turn in range(chance.randint(1, 3)):
            history.append(said("user", text(chance)))
            answer = said("assistant", text(chance, 3, 20))
            number = 16 * group + turn
            calls.append(
                chat(
                    number,
                    history,
                    answer,
                    model=model,
                    session=f"session {group}",
                    started_at_ns=day + number,
                )
            )
            history = [*history, answer]
    return calls


def exported(store: TraceStore, directory: Path, groups: int, request: ExportRequest) -> None:
    """Record traffic, and export it."""
    record(store, traffic(groups))
    export(store, request, directory, processes=1)


def honest_export(directory: Path, groups: int) -> Path:
    """Export traffic of so many groups without a filter; return where it is."""
    store = make_store(f"sqlite:///{directory / 'store.sqlite'}")
    exported(store, directory / "export", groups, ExportRequest())
    store.close()
    return directory / "export"


def copied(honest: Path, directory: Path) -> Path:
    """Copy an export, to be changed."""
    shutil.copytree(honest, directory)
    return directory


def rows_of(directory: Path) -> Rows:
    """Read every row of an export with its line."""
    files: dict[str, list[bytes]] = {}
    rows = []
    for line in (directory / IDS_FILE).read_bytes().splitlines():
        origin = msgspec.json.decode(line, type=IdLine)
        if origin.file not in files:
            files[origin.file] = (directory / origin.file).read_bytes().splitlines()
        rows.append((origin, files[origin.file][origin.row]))
    return rows


def forge(directory: Path, rows: Iterable[tuple[IdLine, bytes]]) -> None:
    """Put other rows into an export, and make its lists, hashes and counts agree with them."""
    files: dict[str, list[bytes]] = {origin.file: [] for origin, _ in rows_of(directory)}
    lines = []
    for origin, row in rows:
        lines.append(msgspec.structs.replace(origin, row=len(files[origin.file])))
        files[origin.file].append(row)
    files[IDS_FILE] = [msgspec.json.encode(line) for line in lines]
    for name, written in files.items():
        (directory / name).write_bytes(b"".join(line + b"\n" for line in written))
    rehash(directory)


def forge_well(directory: Path, rows: Iterable[tuple[IdLine, bytes]]) -> None:
    """As `forge`, and make the manifest count rows, groups and calls as they are now."""
    forge(directory, rows)
    groups: dict[str, list[str]] = {}
    for origin, _ in rows_of(directory):
        groups.setdefault(origin.file, []).append(origin.group)

    def recount(manifest: Manifest) -> Manifest:
        sides = {}
        for side, entry in manifest.sides.items():
            has = groups.get(f"{side.value}.jsonl", [])
            calls = len(has) + sum(entry.reasons.values())
            sides[side] = msgspec.structs.replace(
                entry, rows=len(has), groups=len(set(has)), calls=calls
            )
        guard = msgspec.structs.replace(
            manifest.guard,
            candidates={name: len(groups.get(name, ())) for name in manifest.guard.candidates},
            held_out={name: len(groups.get(name, ())) for name in manifest.guard.held_out},
        )
        calls = sum(entry.calls for entry in sides.values())
        return msgspec.structs.replace(manifest, sides=sides, guard=guard, calls=calls)

    edit(directory, recount)


def edit(directory: Path, change: Callable[[Manifest], Manifest]) -> None:
    """Change what the manifest says."""
    path = directory / MANIFEST_FILE
    manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    path.write_bytes(manifest_json(change(manifest)) + b"\n")


def rehash(directory: Path) -> None:
    """Make the manifest agree with the files there are."""

    def with_hashes(manifest: Manifest) -> Manifest:
        entries = []
        for entry in manifest.files:
            data = (directory / entry.name).read_bytes()
            digest = hashlib.sha256(data).hexdigest()
            rows = data.count(b"\n") if entry.name.endswith(".jsonl") else entry.rows
            changes = {"sha256": digest, "bytes": len(data), "rows": rows}
            entries.append(msgspec.structs.replace(entry, **changes))
        return msgspec.structs.replace(manifest, files=tuple(entries))

    edit(directory, with_hashes)


def moved_to(origin: IdLine, file: str) -> IdLine:
    """Say that a row is in another file."""
    return msgspec.structs.replace(origin, file=file)
