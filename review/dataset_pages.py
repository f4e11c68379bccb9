"""Datasets as pages: those there are and those asked for, one of them, and the calls it left out.

    /review/datasets                    the list
    /review/datasets/{name}             one: what it holds, what its filter does, its files
    /review/datasets/{name}/left-out    calls that are no row, each a link: list, from a line

What is shown is what the manifest says (exporters.manifest_reading), with pictures drawn by a
process of its own (exporters.dataset_drawing): 1.5 s of CPU and no memory that stays. One of the
CACHED last takes nothing. They are drawn one at a time; where that fails, the page says so and
shows the rest. Files are fetched from the API of datasets. Filters, tags and names of models are
what somebody sent: escaped.

Limits: LINES_SHOWN calls a page; the ELSEWHERE_SHOWN datasets that left last are looked at for
those written elsewhere. A manifest of another version is not read: the page says so, and leads to
the files.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Final, Protocol

import msgspec
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from exporters.dataset_drawing import DatasetDrawing, WantedDataset, draw_dataset
from exporters.drawing import NotDrawn
from exporters.manifest_reading import (
    MANIFEST_FILE,
    ShownFile,
    ShownManifest,
    ShownPart,
    read_head,
    read_manifest,
)
from review import addresses
from review.addresses import Selection
from review.assets import Assets
from review.remembered import Remembered
from storage.departures import Departed, list_departed
from storage.reader import StoreReader

DrawDataset = Callable[[WantedDataset], DatasetDrawing]

CACHED: Final = 8  # of some 100 KB, a megabyte at most
LINES_SHOWN: Final = 100
ELSEWHERE_SHOWN: Final = 30
LISTS: Final = {"needs_label": "needs_label.jsonl", "unfit": "unfit.jsonl"}


class NoSuchDataset(Exception):
    """There is no such dataset; the message says so."""


class Progress(Protocol):
    """How far a dataset is that is being made: so much of the stage it is at."""

    @property
    def stage(self) -> str: ...
    @property
    def done(self) -> int: ...
    @property
    def total(self) -> int: ...


class Asked(Protocol):
    """A dataset that is there, or was asked for: its state in a word, and why it is not there."""

    @property
    def name(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def error(self) -> str: ...
    @property
    def report(self) -> Progress: ...


class Datasets(Protocol):
    """Those who make datasets: which there are, and where they lie."""

    def list(self) -> Sequence[Asked]: ...
    def find(self, name: str) -> Asked | None: ...
    def path(self, name: str) -> Path: ...


class Listed(msgspec.Struct, frozen=True):
    """A line of the list. `rows` by part, and the times are empty where it is not there."""

    name: str
    state: str
    error: str
    project: str = ""
    format: str = ""
    where: str = ""
    rows: dict[str, int] = {}
    made_at: datetime | None = None


class LeftOutCall(msgspec.Struct, frozen=True):
    """A line of a list of calls that are no row."""

    call: str
    part: str
    reason: str


class DatasetPages:
    """One method for each address. They block, so Starlette runs them in threads."""

    def __init__(
        self,
        store: StoreReader,
        datasets: Datasets,
        assets: Assets,
        draw: DrawDataset = draw_dataset,
    ) -> None:
        self._store = store
        self._datasets = datasets
        self._assets = assets
        self._draw = draw
        self._drawn = Remembered[bytes, DatasetDrawing](CACHED)

    def list(self, request: Request) -> Response:
        """Show what is there, the newest first, and above it what is not there yet.

        Below it the newest that the command line has written elsewhere.
        """
        found = [self._listed(asked) for asked in self._datasets.list()]
        there = sorted(
            ((each.made_at, each) for each in found if each.made_at is not None),
            key=lambda one: (one[0], one[1].name),
            reverse=True,
        )
        missing = [each for each in found if each.made_at is None]
        return self._assets.page(
            "datasets.html",
            datasets=[*missing, *(each for _, each in there)],
            address=addresses.dataset,
            elsewhere=self._elsewhere(),
            host=request.url.netloc,
        )

    def _elsewhere(self) -> Sequence[Departed]:
        here = self._datasets.path("any").absolute().parent
        departed = list_departed(self._store, ELSEWHERE_SHOWN)
        return [each for each in departed if Path(each.directory).parent != here]

    def dataset(self, request: Request) -> Response:
        """Show one dataset, or what has become of it."""
        asked = self._found(request)
        data = self._manifest_bytes(asked.name)
        if data is None:
            return self._state(asked, ())
        manifest = read_manifest(data)
        if manifest is None:
            return self._state(asked, read_head(data).files)
        drawing = self._drawing_of(data)
        return self._assets.page(
            "dataset.html",
            asked=asked,
            manifest=manifest,
            made_at=self._made_at(asked.name),
            parts=_parts(manifest),
            are_left_out=any(part.reasons for part in manifest.sides.values()),
            drawing=drawing,
            svg=Markup,
            lists={name: _rows_of(manifest, file) for name, file in LISTS.items()},
            not_matching=_not_matching(manifest),
            back=addresses.DATASETS,
            file_address=addresses.dataset_file,
            tar_address=addresses.dataset_tar(asked.name),
            left_out_address=addresses.dataset_left_out,
        )

    def left_out(self, request: Request) -> Response:
        """Show a page of calls that are no row, each a link to what was recorded."""
        asked = self._found(request)
        name = request.query_params.get("list", "needs_label")
        data = self._manifest_bytes(asked.name)
        start = request.query_params.get("from", "0")
        if name not in LISTS or data is None or not (start.isdecimal() and len(start) < 10):
            raise NoSuchDataset(f"Dataset {asked.name} has no such list of calls.")
        head = read_head(data)
        first = int(start)
        found = _lines(self._datasets.path(asked.name) / LISTS[name], first)
        lines = list(islice(found, LINES_SHOWN + 1))
        more = len(lines) > LINES_SHOWN
        following = addresses.dataset_left_out(asked.name, name, first + LINES_SHOWN)
        return self._assets.page(
            "dataset_left_out.html",
            asked=asked,
            file=LISTS[name],
            first=first,
            lines=lines[:LINES_SHOWN],
            selection=Selection(head.project),
            back=addresses.dataset(asked.name),
            following=following if more else "",
        )

    def _state(self, asked: Asked, files: Sequence[ShownFile]) -> Response:
        """Show what has become of a dataset, and the files of one that cannot be read."""
        return self._assets.page(
            "dataset_state.html",
            asked=asked,
            files=files,
            back=addresses.DATASETS,
            file_address=addresses.dataset_file,
        )

    def _found(self, request: Request) -> Asked:
        name = request.path_params["name"]
        found = self._datasets.find(name)
        if found is None:
            raise NoSuchDataset(f"There is no dataset {name[:64]}, nor was one asked for.")
        return found

    def _listed(self, asked: Asked) -> Listed:
        data = self._manifest_bytes(asked.name)
        if data is None:
            return Listed(asked.name, asked.state, asked.error)
        head = read_head(data)
        return Listed(
            asked.name,
            asked.state,
            asked.error,
            head.project,
            head.format,
            head.where or "",
            {name: part.rows for name, part in (head.sides | head.sets).items() if part.rows},
            self._made_at(asked.name),
        )

    def _manifest_bytes(self, name: str) -> bytes | None:
        try:
            return (self._datasets.path(name) / MANIFEST_FILE).read_bytes()
        except OSError:
            return None

    def _made_at(self, name: str) -> datetime:
        path = self._datasets.path(name) / MANIFEST_FILE
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)

    def _drawing_of(self, manifest: bytes) -> DatasetDrawing:
        """Draw a dataset; one that could not be drawn is tried again when it is looked at again."""
        try:
            return self._drawn.get(manifest, lambda: self._draw(WantedDataset(manifest)))
        except NotDrawn as error:
            return DatasetDrawing(problem=str(error))


def _parts(manifest: ShownManifest) -> Mapping[str, ShownPart]:
    """List the parts that have calls, in the order of the manifest."""
    parts = manifest.sides | manifest.sets
    return {name: part for name, part in parts.items() if part.calls}


def _rows_of(manifest: ShownManifest, name: str) -> int:
    return sum(file.rows for file in manifest.files if file.name == name)


def _not_matching(manifest: ShownManifest) -> str:
    """Address the list of the calls that the filter does not take."""
    if manifest.where is None:
        return ""
    return Selection(manifest.project, f"NOT ({manifest.where})").list()


def _lines(path: Path, start: int) -> Iterator[LeftOutCall]:
    """Read the lines of a list from one on; none where it is gone or none."""
    try:
        with path.open("rb") as file:
            yield from map(_decode_line, islice(file, start, None))
    except (OSError, msgspec.MsgspecError):
        return


_decode_line = msgspec.json.Decoder(LeftOutCall).decode
