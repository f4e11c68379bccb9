"""Datasets as pages: those there are and those asked for, one of them, and the calls it left out.

    /review/datasets                    the list
    /review/datasets/{name}             one: what it holds, what its filter does, its files
    /review/datasets/{name}/left-out    calls that are no row, each a link: list, from a line

What is shown is what the manifest says (exporters.manifest), with pictures drawn as in a drift
report. What draws them is loaded with the first dataset that is looked at, 1.3 s of CPU and 170 MB
once; then a dataset takes a quarter of a second, one of the CACHED last nothing. Files are fetched
from the API of datasets. Filters, tags and names of models are what somebody sent: escaped.

Limits: REASONS_SHOWN reasons, MOVED_SHOWN slices and numbers; LINES_SHOWN calls a page;
the ELSEWHERE_SHOWN datasets that left last are looked at for those written elsewhere. A manifest
of another version is not read: the page says so, and leads to the files.
"""

import threading
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import msgspec
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from exporters.windows import MANIFEST_FILE
from review import addresses
from review.addresses import Selection
from review.assets import Assets
from storage.departures import Departed, list_departed
from storage.reader import StoreReader

if TYPE_CHECKING:
    from exporters.manifest import Manifest
    from exporters.selection_report import MeanDifference, SelectionReport, SliceShare

CACHED: Final = 8
REASONS_SHOWN: Final = 15
MOVED_SHOWN: Final = 12
LINES_SHOWN: Final = 100
ELSEWHERE_SHOWN: Final = 30
LISTS: Final = {"needs_label": "needs_label.jsonl", "unfit": "unfit.jsonl"}
_STEPS: Final = {
    "calls": "calls",
    "conversations": "conversations",
    "matching": "match the filter",
    "complete": "complete",
}


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


class Pictures(msgspec.Struct, frozen=True):
    """What is drawn of a dataset; empty where there is nothing to draw."""

    funnel: Markup
    reasons: Markup
    lifts: Markup
    apart: Markup


class LeftOutCall(msgspec.Struct, frozen=True):
    """A line of a list of calls that are no row."""

    call: str
    part: str
    reason: str


class DatasetPages:
    """One method for each address. They block, so Starlette runs them in threads."""

    def __init__(self, store: StoreReader, datasets: Datasets, assets: Assets) -> None:
        self._store = store
        self._datasets = datasets
        self._assets = assets
        self._drawn: OrderedDict[bytes, Pictures] = OrderedDict()
        self._drawing = threading.Lock()

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
        manifest = _read(data)
        if manifest is None:
            return self._state(asked, _head(data).files)
        reasons = _reasons(manifest)
        report = manifest.selection
        slices, differences = _moved(report)
        return self._assets.page(
            "dataset.html",
            asked=asked,
            manifest=manifest,
            made_at=self._made_at(asked.name),
            parts=_parts(manifest),
            reasons=reasons.most_common(REASONS_SHOWN),
            slices=slices,
            differences=differences,
            pictures=self._pictures(data, manifest, reasons, slices, differences),
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
        head = _head(data)
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

    def _state(self, asked: Asked, files: "Sequence[_AnyFile]") -> Response:
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
        head = _head(data)
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

    def _pictures(
        self,
        data: bytes,
        manifest: "Manifest",
        reasons: Counter[str],
        slices: Sequence["SliceShare"],
        differences: Sequence["MeanDifference"],
    ) -> Pictures:
        with self._drawing:
            found = self._drawn.get(data)
            if found is None:
                found = _draw(manifest, reasons, slices, differences)
                self._drawn[data] = found
                while len(self._drawn) > CACHED:
                    self._drawn.popitem(last=False)
        return found


def _head(data: bytes) -> "_AnyManifest":
    try:
        return msgspec.json.decode(data, type=_AnyManifest)
    except msgspec.MsgspecError:
        return _AnyManifest()


def _read(data: bytes) -> "Manifest | None":
    from exporters.manifest import MANIFEST_VERSION, Manifest  # noqa: PLC0415

    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except msgspec.MsgspecError:
        return None
    return manifest if manifest.version == MANIFEST_VERSION else None


def _draw(
    manifest: "Manifest",
    reasons: Counter[str],
    slices: Sequence["SliceShare"],
    differences: Sequence["MeanDifference"],
) -> Pictures:
    from exporters.dataset_charts import apart_svg, counts_svg, lifts_svg  # noqa: PLC0415

    nothing = Markup()
    report = manifest.selection
    funnel = {} if report is None else {_STEPS[step.name]: step.calls for step in report.funnel}
    why = {reason.replace("_", " "): count for reason, count in reasons.most_common(REASONS_SHOWN)}
    lifts = [each.lift for each in slices]
    apart = [each.smd for each in differences]
    return Pictures(
        funnel=Markup(counts_svg(funnel)) if funnel else nothing,
        reasons=Markup(counts_svg(why)) if why else nothing,
        lifts=Markup(lifts_svg(lifts)) if lifts else nothing,
        apart=Markup(apart_svg(apart)) if apart else nothing,
    )


def _moved(
    report: "SelectionReport | None",
) -> tuple[Sequence["SliceShare"], Sequence["MeanDifference"]]:
    """Choose slices and numbers that changed beyond chance: what is lost, and what most, first."""
    if report is None:
        return (), ()
    from exporters.selection_report import ALPHA  # noqa: PLC0415

    slices = sorted(report.slices, key=lambda each: (not each.biased, each.lift.estimate))
    numbers = sorted(report.differences, key=lambda each: (not each.biased, -each.smd.bound))
    return (
        [each for each in slices if each.p_adjusted < ALPHA][:MOVED_SHOWN],
        [each for each in numbers if each.p_adjusted < ALPHA][:MOVED_SHOWN],
    )


def _parts(manifest: "Manifest") -> Mapping[str, object]:
    """List the parts that have calls, in the order of the manifest."""
    parts = {side.value: entry for side, entry in manifest.sides.items()} | manifest.sets
    return {name: entry for name, entry in parts.items() if entry.calls}


def _reasons(manifest: "Manifest") -> Counter[str]:
    """Count why calls are no row of their own, over all sides."""
    reasons: Counter[str] = Counter()
    for entry in manifest.sides.values():
        reasons.update({reason.value: count for reason, count in entry.reasons.items()})
    return reasons


def _rows_of(manifest: "Manifest", name: str) -> int:
    return sum(file.rows for file in manifest.files if file.name == name)


def _not_matching(manifest: "Manifest") -> str:
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


class _AnyPart(msgspec.Struct, frozen=True):
    rows: int


class _AnyFile(msgspec.Struct, frozen=True):
    name: str
    bytes: int
    rows: int
    sha256: str


class _AnyManifest(msgspec.Struct, frozen=True):
    """What manifests of all versions have; exporters.manifest has the whole of this one."""

    project: str = ""
    format: str = "not known: the manifest cannot be read"
    where: str | None = None
    sides: dict[str, _AnyPart] = {}
    sets: dict[str, _AnyPart] = {}
    files: tuple[_AnyFile, ...] = ()


_decode_line = msgspec.json.Decoder(LeftOutCall).decode
