"""The access keys of a data directory: made, listed, revoked. What `shalt keys` does.

They are in one file (proxy.access says what is in it), written anew at each change, in one rename,
under a lock. Keys are kept as hashes: a key is shown once, when it is made. Where several machines
serve, each has a file of its own, or they share one by `access_file`.
"""

import fcntl
import hashlib
import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from proxy.access import FILE_VERSION, KEYS_MAX, AccessKey, KeyFile, read_keys
from shalt.places import Places
from shalt.settings import Settings
from shalt.terminal import print_json, print_line, print_note
from storage.capture import PROJECT_PATTERN, SystemClock

_ID_BYTES = 4
_SECRET_BYTES = 32
_SECONDS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}

Keys = list[AccessKey]


class AccessKeyError(Exception):
    """A key cannot be made or found; the message says why and what to do."""


def create(
    settings: Settings,
    name: str,
    *,
    project: str | None,
    console: bool,
    calls_per_minute: int | None,
    expires: str | None,
) -> None:
    """Make a key and print it: the one time that it can be read. Raise AccessKeyError."""
    if not name.strip():
        raise AccessKeyError("a key has a name, by which the list tells whose it is")
    if project is not None and not re.fullmatch(PROJECT_PATTERN, project):
        raise AccessKeyError(
            f"{project!r} is no name of a project: that is 1 to 64 letters, digits, - _ and ."
        )
    now = SystemClock().wall_ns() // 10**9
    lifetime = None if expires is None else _seconds(expires)
    id = secrets.token_hex(_ID_BYTES)
    key = f"shalt-{id}-{secrets.token_urlsafe(_SECRET_BYTES)}"

    def add(keys: Keys) -> Keys:
        if len(keys) >= KEYS_MAX:
            raise AccessKeyError(f"{KEYS_MAX} keys have been made, and no more can be counted")
        made = AccessKey(
            id=id,
            slot=len(keys),
            name=name,
            sha256=hashlib.sha256(key.encode()).hexdigest(),
            project=project or "",
            console=console,
            calls_per_minute=calls_per_minute,
            created_at=now,
            expires_at=None if lifetime is None else now + lifetime,
        )
        return [*keys, made]

    _change(settings, add)
    print_line(key)
    print_note(
        "This is the only time it is shown. Send it as x-shalt-key, or where your library puts the "
        "API key if shalt holds the upstream's."
    )
    if not settings.access_keys:
        print_note("These settings ask for no keys yet: set access_keys = true.")


def show_all(settings: Settings, *, as_json: bool) -> None:
    """List the keys, the oldest first; none of them can be told from this."""
    now = SystemClock().wall_ns() // 10**9
    keys = _read(settings.access_path)
    for key in keys:
        if as_json:
            print_json(
                {
                    "id": key.id,
                    "name": key.name,
                    "project": key.project,
                    "console": key.console,
                    "calls_per_minute": key.calls_per_minute,
                    "created_at": _time(key.created_at),
                    "expires_at": _time(key.expires_at),
                    "revoked_at": _time(key.revoked_at),
                    "state": _state(key, now),
                }
            )
        else:
            limit = f"{key.calls_per_minute}/min" if key.calls_per_minute else "no limit"
            what = "calls and console" if key.console else "calls"
            print_line(
                f"{key.id}  {_state(key, now):<8} {key.project or 'any project':<16} {limit:<10} "
                f"{what:<18} {key.name}"
            )
    if not keys and not as_json:
        print_line("There are no access keys: make one with `shalt keys create NAME`.")


def revoke(settings: Settings, id: str) -> None:
    """Let a key open nothing any more, from a second later on."""
    now = SystemClock().wall_ns() // 10**9

    def end(keys: Keys) -> Keys:
        found = next((key for key in keys if key.id == id), None)
        if found is None:
            raise AccessKeyError(f"there is no key {id}: `shalt keys list` shows their ids")
        if found.revoked_at is not None:
            raise AccessKeyError(f"the key {id} was revoked at {_time(found.revoked_at)}")
        ended = msgspec.structs.replace(found, revoked_at=now)
        return [ended if key is found else key for key in keys]

    _change(settings, end)
    print_line(f"revoked {id}")


def _change(settings: Settings, change: Callable[[Keys], Keys]) -> None:
    """Write the file anew, one process at a time."""
    path = settings.access_path
    Places(settings.data_dir).prepare()
    try:
        with _locked(path.with_suffix(".lock")):
            keys = change(_read(path))
            aside = path.with_suffix(".new")
            aside.unlink(missing_ok=True)
            file = os.open(aside, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            with os.fdopen(file, "wb") as writing:
                writing.write(msgspec.json.encode(KeyFile(FILE_VERSION, keys)))
                writing.flush()
                os.fsync(writing.fileno())
            aside.rename(path)
    except OSError as error:
        raise AccessKeyError(f"{path} cannot be written: {error.strerror}") from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # let go of when the file is closed
        yield


def _read(path: Path) -> Keys:
    try:
        return read_keys(path)
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise AccessKeyError(f"{path} cannot be read: {error}") from error


def _seconds(text: str) -> int:
    number, unit = text[:-1], text[-1:]
    if not (number.isascii() and number.isdigit() and int(number) > 0 and unit in _SECONDS):
        raise AccessKeyError(f"{text!r} is no time to live: write 30m, 12h, 90d or 4w")
    return int(number) * _SECONDS[unit]


def _state(key: AccessKey, now: int) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= now else "valid"


def _time(seconds: int | None) -> str | None:
    return None if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
