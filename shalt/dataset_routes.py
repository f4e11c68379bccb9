"""The API of datasets: ask for one, see how far it is, fetch its files.

    POST   /api/datasets                     {"name": …, and what an export is asked for}: 202
    GET    /api/datasets                     those that are there, and those that are not yet
    GET    /api/datasets/{name}              state, how far, and the manifest once it is done
    GET    /api/datasets/{name}/files/{file} one file of it; a part, where `Range` asks for one
    GET    /api/datasets/{name}/tar          all files, as a tar
    DELETE /api/datasets/{name}              cancel one that waits or is being made: 200, else 409

What can be asked for are the fields of exporters.request.ExportRequest; the code is that of `shalt
export`. 400 for what cannot be asked for, such as a bad filter, 404 for a name nobody has heard
of, 409 for one that is taken, 503 where too many wait or the disk refuses. A page of another site
cannot ask (shalt.other_pages). A file comes with the SHA-256 that the manifest has of it: as
`etag`, in hex, and as `repr-digest` (RFC 9530).
"""

import base64
import hashlib
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.responses import FileResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from exporters.manifest_reading import MANIFEST_FILE
from review.bounded import read_body
from shalt.dataset_jobs import (
    BadName,
    DatasetJobs,
    Job,
    NameTaken,
    NotNoted,
    TooManyWaiting,
)
from shalt.dataset_jobs import Request as Wanted
from shalt.dataset_notes import State
from shalt.other_pages import refuse_other_pages
from storage.capture import Clock, new_id
from storage.filter_syntax import FilterError

BODY_BYTES_MAX: Final = 4 * 2**20  # the current tools may be in it
CHUNK_BYTES: Final = 1 << 18
RETRY_AFTER_SECONDS: Final = 60

_decode = msgspec.json.Decoder(dict[str, object]).decode


class Shown(msgspec.Struct, frozen=True):
    """A dataset as it is shown. `done` of `total` are of the stage it is at."""

    name: str
    state: State
    stage: str
    done: int
    total: int
    error: str
    request: Wanted | None
    files: dict[str, int]  # rows or lines of each, once it is done


def routes(jobs: DatasetJobs, project: str, clock: Clock) -> APIRouter:
    """Make the routes; `project` is that of requests that name none."""
    router = APIRouter()

    @router.post("/api/datasets", dependencies=[Depends(refuse_other_pages)])
    async def ask(asked: Request) -> Response:
        """Ask for a dataset; it is made when those before it are."""
        data = await read_body(asked, BODY_BYTES_MAX)
        if data is None:
            raise HTTPException(413, f"a request has at most {BODY_BYTES_MAX} bytes")
        name, request = await run_in_threadpool(_read, data, project, clock)
        try:
            return _json(_shown(jobs, jobs.ask(name, request)), 202)
        except BadName as error:
            raise HTTPException(400, str(error)) from None
        except NameTaken as error:
            raise HTTPException(409, str(error)) from None
        except (TooManyWaiting, NotNoted) as error:
            headers = {"retry-after": str(RETRY_AFTER_SECONDS)}
            raise HTTPException(503, str(error), headers) from None

    @router.get("/api/datasets")
    def every() -> Response:
        """The datasets there are, and those that were asked for."""
        return _json([_shown(jobs, job) for job in jobs.list()])

    @router.get("/api/datasets/{name}")
    def one(name: str) -> Response:
        """One dataset: how far it is."""
        return _json(_shown(jobs, _find(jobs, name)))

    @router.delete("/api/datasets/{name}", dependencies=[Depends(refuse_other_pages)])
    def cancel(name: str) -> Response:
        """Cancel a dataset that is not done."""
        found = _find(jobs, name)
        cancelled = jobs.cancel(name)
        if cancelled is None:
            raise HTTPException(
                409, f"dataset {name} is {found.state.value}: there is nothing to end"
            )
        return _json(_shown(jobs, cancelled))

    @router.get("/api/datasets/{name}/files/{file}")
    def one_file(name: str, file: str) -> Response:
        """A file of a dataset."""
        path = jobs.path(name) / file
        if file not in _files(jobs, name) or not path.is_file():
            raise HTTPException(404, f"dataset {name} has no file {file}")
        return FileResponse(path, filename=file, headers=_proof(jobs, name, file))

    @router.get("/api/datasets/{name}/tar")
    def tar(name: str) -> Response:
        """All files of a dataset in one."""
        files = _files(jobs, name)
        for file in files:
            if not (jobs.path(name) / file).is_file():
                raise HTTPException(404, f"dataset {name} has no file {file} any more")
        headers = {"content-disposition": f'attachment; filename="{name}.tar"'}
        stream = _tar(jobs.path(name), name, list(files))
        return StreamingResponse(stream, media_type="application/x-tar", headers=headers)

    return router


def _read(data: bytes, project: str, clock: Clock) -> tuple[str, Wanted]:
    """Read what is asked for, and how it is to be called; raise HTTPException 400.

    The first time this loads what knows the formats, for a second.
    """
    # Most consoles are never asked for a dataset, and stay small.
    from exporters import request as wanted  # noqa: PLC0415

    try:
        said = {"project": project, **_decode(data)}
        name = said.pop("name", "") or new_id(clock)
        wanted.check_request(msgspec.convert(said, wanted.ExportRequest))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise HTTPException(400, str(error)) from None
    except (wanted.ExportError, FilterError) as error:
        raise HTTPException(400, str(error)) from None
    if not isinstance(name, str):
        raise HTTPException(400, "the name of a dataset is a text")
    return name, said


def _find(jobs: DatasetJobs, name: str) -> Job:
    found = jobs.find(name)
    if found is None:
        raise HTTPException(404, f"there is no dataset {name}, nor was one asked for")
    return found


def _files(jobs: DatasetJobs, name: str) -> dict[str, int]:
    """Name the files of a dataset that is done; raise HTTPException 404 where it is not."""
    if _find(jobs, name).state is not State.DONE:
        raise HTTPException(404, f"dataset {name} is not there")
    return {MANIFEST_FILE: 1} | jobs.files(name)


def _proof(jobs: DatasetJobs, name: str, file: str) -> dict[str, str]:
    """Say in headers what the SHA-256 of a file must be. Of the manifest, what it is."""
    digest = jobs.digests(name).get(file) or _sha256(jobs.path(name) / file)
    encoded = base64.b64encode(bytes.fromhex(digest)).decode()
    return {
        "etag": f'"{digest}"',
        "repr-digest": f"sha-256=:{encoded}:",
        "x-content-type-options": "nosniff",  # what a model said is in it
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _shown(jobs: DatasetJobs, job: Job) -> Shown:
    report = job.report
    return Shown(
        name=job.name,
        state=job.state,
        stage=report.stage,
        done=report.done,
        total=report.total,
        error=job.error,
        request=job.request,
        files=jobs.files(job.name) if job.state is State.DONE else {},
    )


def _tar(directory: Path, name: str, files: list[str]) -> Iterator[bytes]:
    """Yield a tar of some files, which is the same whenever it is made."""
    for file in files:
        path = directory / file
        entry = tarfile.TarInfo(f"{name}/{file}")
        entry.size = path.stat().st_size
        yield entry.tobuf(tarfile.PAX_FORMAT)
        with path.open("rb") as content:
            while data := content.read(CHUNK_BYTES):
                yield data
        yield bytes(-entry.size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _json(value: object, status_code: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status_code, media_type="application/json")
