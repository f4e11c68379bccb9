"""Read the files of tests/corpus/imports as an import does, up to the spans."""

from pathlib import Path
from typing import NamedTuple

from importers.formats import FORMATS
from importers.imported import Identities, ImportedCall, NotUnderstood, capture_of
from importers.records import RecordFile
from storage.capture import Capture
from storage.derive import derive
from storage.trace import Span

CORPUS = Path(__file__).parents[1] / "corpus" / "imports"
UNDATED_NS = 1_780_000_000_000_000_000


class Read(NamedTuple):
    """What files held: captures, their spans, how many things were no calls, what was wrong."""

    captures: list[Capture]
    spans: list[Span]
    other_count: int
    troubles: list[str]


def read(form: str, *names: str | Path) -> Read:
    """Read files of the corpus, or at a path, in the given format."""
    reader = FORMATS[form].reader()
    captures: list[Capture] = []
    troubles: list[str] = []
    other_count = 0
    for name in names:
        identities = Identities("default", form)
        with RecordFile(CORPUS / name) as file:
            for record in file:
                if record.value is None:
                    troubles.append(f"{record.line}: {record.note}")
                    continue
                try:
                    reading = reader(record.value)
                except NotUnderstood as error:
                    troubles.append(f"{record.line}: {error}")
                    continue
                other_count += reading.other_count
                for call in reading.calls:
                    at_ns = call.started_at_ns or UNDATED_NS
                    id = identities.id_of(call, record.value, at_ns)
                    captures.append(captured(call, id=id, started_at_ns=at_ns))
    return Read(captures, [derive(capture) for capture in captures], other_count, troubles)


def captured(
    call: ImportedCall,
    *,
    id: str = "0" * 32,
    started_at_ns: int = UNDATED_NS,
    tags: dict[str, str] | None = None,
    body_bytes_max: int = 2**20,
) -> Capture:
    """Write a call's capture."""
    return capture_of(
        call,
        id=id,
        project="default",
        source="import:test",
        started_at_ns=started_at_ns,
        tags=tags or {},
        body_bytes_max=body_bytes_max,
    )
