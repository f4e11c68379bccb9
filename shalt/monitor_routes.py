"""The API of drift monitors: add one, see what it found, remove it.

    POST   /api/monitors           {"name": …, "reference": …, and what a monitor has}: 201
    GET    /api/monitors           all of them, and what each window said last
    GET    /api/monitors/{name}    one of them
    DELETE /api/monitors/{name}    remove one: 200; 409 where it stands in the settings

The fields are those of `[monitors.NAME]`. 400 for what cannot be watched, 404 for a name that
nobody has heard of, 409 for one that is taken, or where there are as many as there may be. What is
added is watched within a second, and again after a restart. A page of another site cannot ask.
"""

from pathlib import Path
from typing import Final

import msgspec
from fastapi import APIRouter, Depends, HTTPException, Request, Response
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from review.bounded import read_body
from shalt.monitor_list import Asked, MonitorList, MonitorRefused, MonitorsUnreadable
from shalt.monitor_state import MonitorState, definition_of, new_state, read_state
from shalt.monitors import Monitor
from shalt.other_pages import refuse_other_pages
from storage.filter_syntax import FilterError
from storage.filters import compile_filter

BODY_BYTES_MAX: Final = 64 * 1024

_decode = msgspec.json.Decoder(dict[str, object]).decode


class WindowShown(msgspec.Struct, frozen=True):
    """What a window said last; `verdict` is empty before its first evaluation."""

    window: str
    verdict: str
    why: str
    finished_at: float
    reference_groups: int
    current_groups: int
    report: str
    unseen: dict[str, float]
    evaluations: int
    failures: dict[str, int]
    last_error: str


class MonitorShown(msgspec.Struct, frozen=True):
    """A monitor: who asked for it (settings or api), what it compares, what its windows said."""

    name: str
    source: str
    monitor: dict[str, object]
    windows: tuple[WindowShown, ...]


def routes(monitors: MonitorList, state: Path) -> APIRouter:
    """Make the routes; `state` is the file of what was found."""
    router = APIRouter()

    def shown(name: str, asked: Asked) -> MonitorShown:
        known = read_state(state).monitors.get(name)
        if known is None or known.definition != definition_of(asked.monitor):
            known = new_state(asked.monitor)
        return _shown(name, asked, known)

    def find(name: str) -> Asked:
        found = _all(monitors).get(name)
        if found is None:
            raise HTTPException(404, f"there is no monitor {name}")
        return found

    @router.post("/api/monitors", dependencies=[Depends(refuse_other_pages)])
    async def add(asked: Request) -> Response:
        """Add a monitor."""
        data = await read_body(asked, BODY_BYTES_MAX)
        if data is None:
            raise HTTPException(413, f"a monitor has at most {BODY_BYTES_MAX} bytes")
        name, monitor = _read(data)
        try:
            await run_in_threadpool(monitors.add, name, monitor)
        except MonitorRefused as error:
            raise HTTPException(409, str(error)) from None
        except ValueError as error:
            raise HTTPException(400, str(error)) from None
        except MonitorsUnreadable as error:
            raise HTTPException(503, str(error)) from None
        return _json(shown(name, find(name)), 201)

    @router.get("/api/monitors")
    def every() -> Response:
        """The monitors there are."""
        return _json([shown(name, asked) for name, asked in _all(monitors).items()])

    @router.get("/api/monitors/{name}")
    def one(name: str) -> Response:
        """One monitor, and what it found last."""
        return _json(shown(name, find(name)))

    @router.delete("/api/monitors/{name}", dependencies=[Depends(refuse_other_pages)])
    def remove(name: str) -> Response:
        """Remove a monitor; what it found goes with it, its reports stay."""
        before = shown(name, find(name))
        try:
            monitors.remove(name)
        except MonitorRefused as error:
            raise HTTPException(409, str(error)) from None
        except MonitorsUnreadable as error:
            raise HTTPException(503, str(error)) from None
        return _json(before)

    return router


def _all(monitors: MonitorList) -> dict[str, Asked]:
    try:
        return monitors.all()
    except MonitorsUnreadable as error:
        raise HTTPException(503, str(error)) from None


def _read(data: bytes) -> tuple[str, Monitor]:
    """Read a monitor as settings are read; raise HTTPException 400."""
    try:
        said = _decode(data)
        name = said.pop("name", "")
        monitor = Monitor.model_validate(said)
        if monitor.where:
            compile_filter(monitor.where)
    except ValidationError as error:
        mistakes = (
            f"{'.'.join(map(str, each['loc']))}: {each['msg'].removeprefix('Value error, ')}"
            for each in error.errors(include_url=False, include_input=False)
        )
        raise HTTPException(400, "; ".join(mistakes)) from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, FilterError) as error:
        raise HTTPException(400, str(error)) from None
    if not isinstance(name, str):
        raise HTTPException(400, "the name of a monitor is a text")
    return name, monitor


def _shown(name: str, asked: Asked, state: MonitorState) -> MonitorShown:
    windows = []
    for window, tally in state.tallies.items():
        found = state.windows.get(window)
        windows.append(
            WindowShown(
                window=window,
                verdict=found.verdict if found else "",
                why=found.why if found else "",
                finished_at=found.finished_at if found else 0.0,
                reference_groups=found.reference_groups if found else 0,
                current_groups=found.current_groups if found else 0,
                report=found.report_id if found else "",
                unseen=state.unseen.get(window, {}),
                evaluations=tally.evaluations,
                failures={reason.value: count for reason, count in tally.failures.items()},
                last_error=tally.last_error,
            )
        )
    return MonitorShown(name, asked.source, asked.monitor.model_dump(mode="json"), tuple(windows))


def _json(value: object, status_code: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status_code, media_type="application/json")
