"""The rows of an export, read once: is each valid, what is it like, how long, what does it ask.

Each file of rows is read beside its lines of `ids.jsonl`. What is kept of each row is a fingerprint
for the guard (exporters.fingerprints), in a file of 624 bytes a row in the directory for scratch
files; of GROUPS_MAX groups, those that hash lowest, what representativeness is tested on
(exporters.group_facts); and counts of tokens, exact for ROWS_COUNTED_MAX rows of each file,
evenly spread, and for the longest one; of more rows the sum is estimated by their characters.

Memory: 1 KB for each of the groups. Time: 0.2 ms a row of 5 KB.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np

from exporters.checks import Check, Problems
from exporters.fingerprints import fingerprint_of
from exporters.group_facts import GroupFacts
from exporters.manifest import Manifest
from exporters.row_lines import IDS_FILE, IdLine
from exporters.row_reading import Row, RowError, read_row
from exporters.row_rules import validate_row
from exporters.selection import Reason
from exporters.templates import (
    TEMPLATES_FILE,
    Templates,
    TemplateSample,
    TemplatesError,
    read_templates,
)
from exporters.tokens import Tokenizer
from exporters.verifying_files import Advance, read_rows
from exporters.verifying_ids import DRAWN, Ids, has_ids, hash64, part_of, read_ids
from storage.counted import counted
from storage.trace import Side

GROUPS_MAX = 50_000
ROWS_COUNTED_MAX = 20_000
# Of more calls in no row, what prompts share is not to be told from rows.
ABSENT_RATIO_MAX = 0.2


class Tokens(msgspec.Struct, frozen=True):
    """How long a file's rows are, in tokens. `total` is estimated where not `exact`."""

    file: str
    rows: int
    total: int
    longest: int
    longest_row: int
    exact: bool


class RowPass:
    """Goes through the files of rows; then tells what it found."""

    def __init__(
        self,
        directory: Path,
        manifest: Manifest,
        ids: Ids,
        scratch: Path,
        tokenizer: Tokenizer,
        advance: Advance = lambda done: None,
    ) -> None:
        self.tokens: list[Tokens] = []
        self.fingerprints: dict[str, Path] = {}
        self.facts = GroupFacts(_rank_max(ids))
        self._directory = directory
        self._ids = ids
        self._tokenizer = tokenizer
        self._advance = advance
        self._invalid = Problems()
        self._format = manifest.format
        self._is_part = _is_part(manifest)
        listed = (entry.name for entry in manifest.files if has_ids(entry.name))
        names = [name for name in listed if (directory / name).is_file()]
        templates = self._templates(names)
        for name in names:
            self.fingerprints[name] = scratch / f"{name}.fingerprints"
            self._read(name, self.fingerprints[name], templates)

    def check_rows(self) -> Check:
        """Say whether every row is one of its format."""
        count = sum(each.rows for each in self.tokens)
        return self._invalid.check("format", f"{counted(count, 'row')} valid as {self._format}")

    def _templates(self, names: Sequence[str]) -> Templates:
        """Read which text many prompts share, as the export learnt it.

        Where no filter acted, only what some prompts of the rows do share: a text of two rows makes
        them alike, whatever the file says. From the rows alone where nothing is told; their groups
        are not the same sample, and inputs that one sample takes for nearly equal have different
        words left by the other.
        """
        path = self._directory / TEMPLATES_FILE
        told: Templates | None = None
        if path.is_file():
            try:
                told = read_templates(path.read_bytes())
            except TemplatesError as error:
                self._invalid.add(str(error))
        if told is not None and (told.common is None or self._is_part):
            return told
        sample = TemplateSample(self._ids.group_count)
        for name in names:
            group = ""
            lines = read_rows(self._directory / name)
            for origin, line in zip(self._origins(name), lines, strict=False):
                if origin.group != group and sample.wants(origin.group):
                    try:
                        sample.add(read_row(line).messages)
                    except RowError:
                        pass  # said in the pass that checks rows
                group = origin.group
        return sample.templates() if told is None else sample.shared(told)

    def _origins(self, name: str) -> Iterator[IdLine]:
        return (line for line in read_ids(self._directory) if line.file == name)

    def _read(self, name: str, fingerprints: Path, templates: Templates) -> None:
        lengths = _Lengths(self._tokenizer, self._ids.row_count(name))
        part = part_of(name)
        lines = read_rows(self._directory / name)
        with fingerprints.open("wb") as file:
            # Origins first: what is left of the rows then are those that nobody listed.
            for number, (origin, line) in enumerate(zip(self._origins(name), lines, strict=False)):
                self._advance(len(line) + 1)
                wrong = validate_row(self._format, line) or ""
                try:
                    row = read_row(line)
                except RowError as error:
                    row, wrong = Row((), ()), wrong or str(error)
                if wrong:
                    self._invalid.add(f"{name} row {number}: {wrong}; loaders refuse such a row")
                lengths.add(number, _texts(row))
                file.write(fingerprint_of(row.messages, row.tools, origin.call, templates))
                compared = origin.selected and not (origin.partly or origin.synthetic)
                if part in DRAWN and row.messages and compared:
                    rank = hash64(origin.group)
                    self.facts.add(rank, row, origin, is_test=part == Side.TEST)
        unlisted = sum(1 for _ in lines)
        if unlisted:
            self._invalid.add(
                f"{name} has {counted(unlisted, 'row')} beyond those of {IDS_FILE}, of which "
                "nothing is known: do not train on it"
            )
        self.tokens.append(lengths.tokens(name))


class _Lengths:
    """Counts the tokens of some rows, and the characters of all."""

    def __init__(self, tokenizer: Tokenizer, rows: int) -> None:
        self._tokenizer = tokenizer
        self._step = max(1, -(-rows // ROWS_COUNTED_MAX))
        self._chars = self._counted_chars = self._counted = self._rows = 0
        self._most = (-1, 0)  # tokens, row
        self._longest = (-1, 0, "")  # characters, row, text: of those not counted

    def add(self, number: int, text: str) -> None:
        """Take in a row's text."""
        self._rows += 1
        self._chars += len(text)
        if number % self._step == 0:
            count = self._tokenizer.count(text)
            self._counted += count
            self._counted_chars += len(text)
            self._most = max(self._most, (count, -number))
        elif len(text) > self._longest[0]:
            self._longest = (len(text), number, text)

    def tokens(self, name: str) -> Tokens:
        """Sum up."""
        if self._longest[0] >= 0:
            count = self._tokenizer.count(self._longest[2])
            self._most = max(self._most, (count, -self._longest[1]))
        total = self._counted
        if self._step > 1:
            total = round(self._counted * self._chars / max(1, self._counted_chars))
        exact = self._tokenizer.exact and self._step == 1
        return Tokens(name, self._rows, total, max(0, self._most[0]), -self._most[1], exact)


def _rank_max(ids: Ids) -> int:
    """Find the hash below which GROUPS_MAX groups lie."""
    parts = [file.groups for file in ids.files.values() if file.part in DRAWN]
    if not any(map(len, parts)):
        return 0
    every = np.unique(np.concatenate([np.frombuffer(part, dtype=np.uint64) for part in parts]))
    return int(every[min(len(every), GROUPS_MAX) - 1])


def _is_part(manifest: Manifest) -> bool:
    """Tell whether so many calls are in no row that the rows do not say what prompts share."""
    absent = sum(
        count
        for side in manifest.sides.values()
        for reason, count in side.reasons.items()
        if reason is not Reason.CONTINUED
    )
    return manifest.where is not None or absent > ABSENT_RATIO_MAX * manifest.calls


def _texts(row: Row) -> str:
    pieces: list[str] = []
    for message in row.messages:
        pieces += (message.text, message.refusal)
        for call in message.tool_calls:
            pieces += (call.name, call.arguments)
    for tool in row.tools:
        pieces += (tool.name, tool.description)
        if tool.parameters is not None:
            pieces.append(msgspec.json.encode(tool.parameters).decode())
    return "\n".join(filter(None, pieces))
