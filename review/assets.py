"""The templates and static files of the pages, read once, and the headers every page has.

A static file's address holds the hash of its content, so a browser may keep it for ever and never
has an old one. Templates escape everything (autoescape) and stop at a name they do not know.
"""

import hashlib
import shlex
from pathlib import Path

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from review import addresses, facts, passages
from storage.counted import counted, plural
from storage.filter_columns import FEATURES
from storage.filters import COLUMNS, FUNCTIONS

_HERE = Path(__file__).parent
# The style of drift reports is with what writes them. By its place: exporters.report_html loads
# what draws charts.
_REPORT_STYLE = _HERE.parent / "exporters" / "templates" / "report.css"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

# No page may load, run or be framed by anything that is not ours, whatever it shows.
PAGE_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "x-content-type-options": "nosniff",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    # Addresses hold filters, and those hold names of users: no other site is told them.
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
_STATIC_HEADERS = {
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "public, max-age=31536000, immutable",
}


class StaticFile(msgspec.Struct, frozen=True):
    """A file as it is served. `name` holds its hash."""

    name: str
    content: bytes
    media_type: str


class Assets:
    """Templates and static files, ready to serve.

    `options` are those that a command needs which a page shows. `has_datasets`: pages lead to them.
    """

    def __init__(self, options: str = "", *, has_datasets: bool = False) -> None:
        found = [path for path in sorted((_HERE / "static").iterdir()) if path.suffix in _TYPES]
        found.append(_REPORT_STYLE)
        self._files = {path.name: _static_file(path) for path in found}
        self._by_name = {file.name: file for file in self._files.values()}
        self._templates = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._templates.filters["quoted"] = shlex.quote
        self._templates.filters["visible"] = passages.visible
        self._templates.filters["plain"] = passages.plain
        self._templates.filters["moment"] = facts.moment
        self._templates.filters["count"] = facts.count
        self._templates.filters["counted"] = counted
        self._templates.filters["plural"] = plural
        self._templates.globals["options"] = f" {options}" if options else ""
        self._templates.globals["static"] = self._address
        self._templates.globals["list_address"] = addresses.LIST
        self._templates.globals["drift_address"] = addresses.DRIFT
        self._templates.globals["datasets_address"] = addresses.DATASETS if has_datasets else ""
        self._templates.globals["columns"] = COLUMNS | FEATURES
        self._templates.globals["functions"] = FUNCTIONS

    def page(self, template: str, status_code: int = 200, **values: object) -> Response:
        """Render a page."""
        text = self._templates.get_template(template).render(values)
        return HTMLResponse(text, status_code, PAGE_HEADERS)

    def static(self, name: str) -> Response | None:
        """Answer with a static file by the name its address has, None where there is none."""
        file = self._by_name.get(name)
        if file is None:
            return None
        return Response(file.content, headers=_STATIC_HEADERS, media_type=file.media_type)

    def _address(self, name: str) -> str:
        return f"{addresses.STATIC}/{self._files[name].name}"


def _static_file(path: Path) -> StaticFile:
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()[:16]
    return StaticFile(f"{path.stem}-{digest}{path.suffix}", content, _TYPES[path.suffix])
