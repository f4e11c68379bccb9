"""What is asked of an export, whether on the command line or over HTTP.

An ExportRequest says everything that decides which bytes are written, and nothing of how: the same
request and the same state of the store give the same files.
"""

import msgspec

from exporters.formats import FORMATS
from exporters.selection import Turns


class ExportError(Exception):
    """An export cannot be made as asked; the message says why and what to do."""


class ExportRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A dataset that is wanted.

    `where` acts on train and val; the test side is exported whole.
    """

    project: str = "default"
    format: str = "openai"
    where: str | None = None
    turns: Turns = Turns.AUTO


def check_request(request: ExportRequest) -> None:
    """Raise ExportError for what can be seen to be impossible without the store."""
    if request.format not in FORMATS:
        raise ExportError(
            f"there is no format {request.format!r}: choose one of {', '.join(FORMATS)}"
        )
