"""Who may call. Access keys from a file on this machine; no web page spends a key shalt holds.

A key is `shalt-`, 8 hex characters (its id), `-` and 43 characters (its secret). A client presents
it in `x-shalt-key`, or where its library puts the upstream's key (`authorization`, `x-api-key`,
`api-key`, `x-goog-api-key`), or, in a browser, as the password. What is kept is the SHA-256 of the
whole key: it has 256 random bits, so there is nothing a slow hash would add.

The file is what `shalt keys` writes (shalt.keys); a worker looks once a second whether it has
changed, so a revoked key is refused within LOOK_SECONDS and no call waits for a database. It fails
closed: where keys are required and the file cannot be read, nobody is let in.

Without keys, anybody who reaches the port may call. Then a web page could, too, from the browser of
somebody who can reach it, and spend the key that shalt holds for an upstream. So a request that
says it comes from a page (`origin`, `sec-fetch-site`) is refused there, unless its origin is one of
`allowed_origins`.

Cost: 2 us a call with keys, 1 us where shalt holds the upstream's key, nothing otherwise.
"""

import base64
import binascii
import hashlib
import hmac
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import msgspec

from proxy.rates import Rates
from storage.capture import Clock, Headers

FILE_VERSION: Final = 1
KEYS_MAX: Final = 10_000
FILE_BYTES_MAX: Final = 16 * 2**20  # four times what KEYS_MAX keys take
LOOK_SECONDS: Final = 1.0
KEY: Final = re.compile(r"shalt-([0-9a-f]{8})-[A-Za-z0-9_-]{43}")
_PRESENTED_IN: Final = (
    b"x-shalt-key", b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key",
)  # fmt: skip


_Seconds = Annotated[int, msgspec.Meta(ge=0, lt=253_402_300_800)]  # up to the year 9999


class AccessKey(msgspec.Struct, frozen=True):
    """A key as the file has it. `slot`: where its calls are counted (proxy.rates).

    `project` is empty where the key may name any. `console`: it opens the console's pages, too.
    Times are whole seconds since 1970 UTC; None: never, or without limit.
    """

    id: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{8}$")]
    slot: Annotated[int, msgspec.Meta(ge=0, lt=KEYS_MAX)]
    name: str
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    project: str
    console: bool
    calls_per_minute: Annotated[int, msgspec.Meta(ge=1)] | None
    created_at: _Seconds
    expires_at: _Seconds | None
    revoked_at: _Seconds | None = None


class KeyFile(msgspec.Struct, frozen=True):
    """The file: every key that was made, revoked ones included, in the order of their slots."""

    version: int
    keys: Annotated[list[AccessKey], msgspec.Meta(max_length=KEYS_MAX)]


def read_keys(path: Path) -> list[AccessKey]:
    """Read the file. Raise OSError, and ValueError where it is not one of this version."""
    state = path.stat()
    if not stat.S_ISREG(state.st_mode) or state.st_size > FILE_BYTES_MAX:  # a pipe would block
        raise ValueError(f"it is no file of at most {FILE_BYTES_MAX} bytes")
    file = msgspec.json.decode(path.read_bytes(), type=KeyFile)
    for taken in ({key.id for key in file.keys}, {key.slot for key in file.keys}):
        if len(taken) < len(file.keys):
            raise ValueError("two keys have the same id, or the same slot")
    if file.version != FILE_VERSION:
        raise ValueError(f"it is of version {file.version}, and this shalt reads {FILE_VERSION}")
    return file.keys


@dataclass(frozen=True)
class Admitted:
    """A request may pass: anybody's, or that of a key and its project."""

    project: str = ""
    by_key: bool = False


@dataclass(frozen=True)
class Denied:
    """A request may not pass: the code, the sentence, and for how many seconds, if that helps."""

    status_code: int
    code: str
    message: str
    retry_seconds: int = 0


ANYBODY: Final = Admitted()


class Access:
    """Decides over every request. `file` is None where no keys are required."""

    def __init__(
        self,
        file: Path | None,
        rates: Rates | None,
        *,
        allowed_origins: frozenset[bytes],
        clock: Clock,
    ) -> None:
        self.required = file is not None
        self._file = file
        self._rates = rates
        self._allowed_origins = allowed_origins
        self._clock = clock
        self._keys: dict[str, AccessKey] = {}
        self._problem = ""
        self._seen: tuple[int, int, int] | None = None
        self._look_at_ns = 0

    def admit(
        self, headers: Headers, *, console: bool, holds_key: bool, says_of_calls: bool = False
    ) -> Admitted | Denied:
        """Say whether a request may pass, to the console or to an upstream.

        `holds_key`: shalt holds the key of that upstream. `says_of_calls`: it asks the console for
        no more than to keep feedback, which whoever makes calls may give.
        """
        if self._file is not None:
            return self._admit_by_key(headers, console and not says_of_calls)
        if holds_key and not console:
            return self._refuse_page(headers) or ANYBODY
        return ANYBODY

    def _admit_by_key(self, headers: Headers, console: bool) -> Admitted | Denied:
        now_ns = self._clock.monotonic_ns()
        if now_ns >= self._look_at_ns:
            self._look_at_ns = now_ns + int(LOOK_SECONDS * 1e9)
            self._look()
        presented = next((_key_in(value) for name, value in headers if _has_key(name, value)), "")
        if not presented:
            message = "send an access key as x-shalt-key; `shalt keys create` makes one"
            return Denied(401, "no_access_key", message)
        found = KEY.fullmatch(presented)
        key = self._keys.get(found[1]) if found else None
        digest = hashlib.sha256(presented.encode()).hexdigest()
        now = self._clock.wall_ns() / 1e9
        # One answer for all that is wrong with it, and one comparison whether there is such a key.
        if not hmac.compare_digest(digest, key.sha256 if key else "0" * 64) or key is None:
            problem = f": {self._problem}" if self._problem else ""
            return Denied(401, "bad_access_key", f"shalt does not know this access key{problem}")
        if key.expires_at is not None and key.expires_at <= now:
            return Denied(401, "expired_access_key", f"the access key {key.id} has expired")
        if console and not key.console:
            message = f"the access key {key.id} is for calls; this page wants one with --console"
            return Denied(403, "not_for_console", message)
        if not console and key.calls_per_minute is not None and self._rates is not None:
            wait = self._rates.wait(key.slot, key.calls_per_minute, now)
            if wait:
                message = f"the access key {key.id} may make {key.calls_per_minute} calls a minute"
                return Denied(429, "rate_limited", message, wait)
        return Admitted(key.project, by_key=True)

    def _refuse_page(self, headers: Headers) -> Denied | None:
        origin, site = b"", b""
        for name, value in headers:
            if name == b"origin":
                origin = value
            elif name == b"sec-fetch-site":
                site = value
        if (origin or site not in (b"", b"none")) and origin not in self._allowed_origins:
            message = (
                "a web page may not spend the key that shalt holds for this upstream; allow its "
                "origin with allowed_origins, or ask for access keys"
            )
            return Denied(403, "foreign_page", message)
        return None

    def _look(self) -> None:
        """Read the file if it is another one than before."""
        assert self._file is not None
        try:
            state = os.stat(self._file)
            seen = (state.st_ino, state.st_mtime_ns, state.st_size)
            if seen != self._seen:
                keys = read_keys(self._file)
                self._keys = {key.id: key for key in keys if key.revoked_at is None}
                self._seen = seen
            self._problem = ""
        except FileNotFoundError:
            self._forget("there are no access keys yet: make one with `shalt keys create`")
        except OSError as error:  # whose text has the path, which is no stranger's business
            self._forget(f"its list of keys cannot be read ({error.strerror})")
        except ValueError as error:  # msgspec's are
            self._forget(f"its list of keys cannot be read ({error})")

    def _forget(self, problem: str) -> None:
        self._keys, self._seen, self._problem = {}, None, problem


def without_keys(headers: Headers, admitted: Admitted) -> Headers:
    """Leave out the headers in which access keys stand: they are ours, and nobody else's."""
    if not admitted.by_key:
        return headers
    return [header for header in headers if not _has_key(*header)]


def _has_key(name: bytes, value: bytes) -> bool:
    return name in _PRESENTED_IN and (
        name == _PRESENTED_IN[0] or _key_in(value).startswith("shalt-")
    )


def _key_in(value: bytes) -> str:
    value = value.strip()
    scheme, _, rest = value.partition(b" ")
    if scheme.lower() == b"basic":
        try:
            rest = base64.b64decode(rest, validate=True).partition(b":")[2]
        except (binascii.Error, ValueError):
            rest = b""
        return rest.decode("latin-1")
    return (rest.strip() if scheme.lower() == b"bearer" else value).decode("latin-1")
