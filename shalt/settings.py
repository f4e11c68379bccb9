"""Every setting: its name, default, unit and meaning. Read once, at the start of a process.

A value comes from the first of these that has it: the command line, a `SHALT_*` variable (a table
is reached with two underscores: `SHALT_UPSTREAMS__OPENAI__KEY`), `shalt.toml`, the default. What
shalt does not know is an error that names the nearest thing it does know, so a misspelt setting
cannot sit there without effect. `explain` tells of each value where it came from.

Secrets stay out of files: a key shalt holds is named (`env:OPENAI_API_KEY`), never written.
Relative paths start at the working directory. At most 64 upstreams.
"""

import ipaddress
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ByteSize,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict
from pydantic_settings import PydanticBaseSettingsSource as Source
from pydantic_settings import SettingsError as UnreadableVariable

from shalt import sources
from shalt.monitors import MONITORS_MAX, Drift, Monitor, check_name
from shalt.mounts import check_mounts
from shalt.redaction import RULES_MAX, Redaction, check_rule
from shalt.sources import PREFIX, SettingsError, Tree, Words
from shalt.upstreams import UPSTREAM_NAME, Seconds, Upstream, complete, guess_dialect
from storage.capture import PROJECT_PATTERN
from storage.grouping import validate_group_by

__all__ = ["Explained", "Settings", "SettingsError", "Upstream", "explain", "load"]

CONFIG_FILE = Path("shalt.toml")
UPSTREAMS_MAX = 64  # each has a connection pool of its own in every worker
MIB = 1024 * 1024
GIB = 1024 * MIB
_LIST = " (`shalt config` lists them all)"
# Settings that are tables: `[upstreams.NAME]` and `[monitors.NAME]` by name, `[drift]` itself.
TABLES: Mapping[str, type[BaseModel]] = {
    "upstreams": Upstream,
    "monitors": Monitor,
    "drift": Drift,
    "redaction": Redaction,
}


Days = Annotated[float, Field(ge=0, le=36_500)]
Ratio = Annotated[float, Field(ge=0, lt=1)]
Bytes = Annotated[ByteSize, Field(ge=0, le=1024 * GIB)]  # a number, or text: "64 MiB"


class Settings(BaseSettings):
    """All settings of one process. Built by `load`; never changed."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
        env_prefix=PREFIX,
        env_nested_delimiter="__",
    )

    host: str = "127.0.0.1"
    """Address to listen on; loopback, unless `insecure` is set."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 8400
    """TCP port to listen on; 0 takes any that is free."""
    data_dir: Annotated[Path, AfterValidator(Path.expanduser)] = Path("shalt-data")
    """Directory of the spool and of the SQLite store."""
    config: Path | None = None
    """TOML file with settings; `./shalt.toml`, where there is one. Not to stand in a file."""
    store: str = Field(default="", repr=False)  # it may hold a password
    """SQLAlchemy URL of the store; empty: `shalt.sqlite` in `data_dir`."""
    project: Annotated[str, Field(pattern=f"^{PROJECT_PATTERN}$")] = "default"
    """Project of calls that name none, and of commands."""
    workers: Annotated[int, Field(ge=1, le=256)] = 1
    """Relaying processes; each can keep one core busy."""
    insecure: bool = False
    """Listen on an address that others can reach, without access keys."""
    access_keys: bool = False
    """Ask for an access key (`shalt keys create`): of every call and every page of the console."""
    access_file: Path | None = None
    """File of the access keys; `access.json` in `data_dir` unless it is given."""
    allowed_origins: Words = ()
    """Origins of web pages that may call upstreams whose key shalt holds: `https://app.example`."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe message that is logged."""
    upstream: str = ""
    """URL of the default upstream, over its `base_url`; its dialect is guessed from the host."""
    upstreams: Annotated[dict[str, Upstream], Field(min_length=1, max_length=UPSTREAMS_MAX)] = {}
    """Where calls are relayed to, by name: each serves `/u/<name>/*`, the default one `/v1/*`."""
    header_bytes_max: Annotated[ByteSize, Field(ge=4096, le=GIB)] = ByteSize(64 * 1024)
    """Bytes of a request's line and headers; a longer head is refused with 431."""
    client_connections_max: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """Connections of clients that each worker holds; further ones are refused with 503."""
    open_calls_max: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    """Calls in flight in each worker; further ones are refused with 503, and recorded so."""
    redact_bodies: bool = True
    """Keep what looks like an API key, or is called one, out of recorded bodies, too."""
    redaction: Annotated[dict[str, Redaction], Field(max_length=RULES_MAX)] = {}
    """Personal data that is kept out of recorded bodies, by name (docs/security.md)."""
    sample_ratio: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of the calls that is recorded, whole sessions or traces; the others are counted."""
    body_bytes_max: Bytes = ByteSize(64 * MIB)
    """Bytes kept of one body; of a longer one the length and hash are kept too."""
    held_bytes_max: Annotated[ByteSize, Field(ge=MIB, le=1024 * GIB)] = ByteSize(256 * MIB)
    """Bytes of open calls that each worker holds for the record; beyond it bodies are cut."""
    spool_bytes_max: Bytes = ByteSize(8 * GIB)
    """Bytes on disk that may wait for the recorder."""
    spool_segment_bytes: Bytes = ByteSize(64 * MIB)
    """Bytes after which a spool file is closed and the next one begun."""
    spool_segment_seconds: Seconds = 300
    """Seconds after which a spool file is closed and the next one begun."""
    spool_sync: Literal["interval", "always"] = "interval"
    """When calls are synced to disk: every 200 ms, or `always` before a call's last byte passes."""
    spool_full: Literal["forward_unrecorded", "refuse"] = "forward_unrecorded"
    """At `spool_bytes_max`, calls pass unrecorded and are counted, or are refused with 503."""
    on_client_gone: Literal["cancel", "drain"] = "cancel"
    """When a client leaves: cancel upstream, or read the answer to its end for the record."""
    reload_seconds: Seconds = 600
    """Longest that calls go on in a worker which a reload has replaced."""
    shutdown_seconds: Seconds = 30
    """Longest wait for calls in flight after SIGTERM."""
    drain_seconds: Seconds = 30
    """Longest wait for the recorder to empty the spool after SIGTERM."""
    group_by: Words = ("session", "root")
    """What makes a group, the first that applies: session, root, trace, user, tag:KEY."""
    test_ratio: Ratio = 0.10
    """Share of a new project's groups that is held out for test."""
    val_ratio: Ratio = 0.05
    """Share of a new project's groups that is held out for validation."""
    retain_bodies_days: Days = 0
    """Days after which what a call said is deleted, and its row stays; 0: never."""
    retain_days: Days = 0
    """Days after which a call is deleted with all that is known of it; 0: never."""
    drift_terms_days: Days = 8
    """Days that hashed words of a sample of calls are kept, for drift; 0: none are made."""
    search: bool = False
    """Index the words of prompts and answers as calls are stored (docs/searching.md)."""
    metrics_models: Annotated[Words, Field(max_length=200)] = ()
    """Model names that are metric labels of their own; every other model is `other`."""
    monitors: Annotated[dict[str, Monitor], Field(max_length=MONITORS_MAX)] = {}
    """Drift monitors, by name (docs/drift.md)."""
    drift: Drift = Drift()
    """What all comparisons of drift share."""
    _origins: dict[str, str] = PrivateAttr(default_factory=dict)

    @property
    def store_url(self) -> str:
        """The SQLAlchemy URL of the store, the default filled in."""
        return self.store or f"sqlite:///{self.data_dir / 'shalt.sqlite'}"

    @property
    def access_path(self) -> Path:
        """The file of the access keys, the default filled in."""
        return self.access_file or self.data_dir / "access.json"

    @property
    def default_upstream(self) -> str:
        """The name of the upstream that serves `/v1/*`."""
        return next(name for name, upstream in self.upstreams.items() if upstream.default)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: Source,
        env_settings: Source,
        dotenv_settings: Source,
        file_secret_settings: Source,
    ) -> tuple[Source, ...]:
        """Take the arguments alone: reading the surroundings is for `load`, where it shows."""
        return (init_settings,)

    @field_validator("group_by")
    @classmethod
    def _check_group_by(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        validate_group_by(words)
        return words

    @model_validator(mode="before")
    @classmethod
    def _complete_upstreams(cls, values: Tree) -> Tree:
        """Fill in what follows from an upstream's name or number, and put `upstream` in place."""
        tables = values.get("upstreams", {"openai": {}})
        if not isinstance(tables, Mapping):
            return values
        completed = {str(name): complete(str(name), table) for name, table in tables.items()}
        if len(completed) == 1:
            completed = {name: {"default": True, **table} for name, table in completed.items()}
        if url := values.get("upstream"):
            for table in completed.values():
                if table.get("default"):
                    table |= {"base_url": url, "dialect": guess_dialect(url)}
        return {**values, "upstreams": completed}

    @model_validator(mode="after")
    def _check_together(self) -> "Settings":
        for name in self.upstreams:
            if not UPSTREAM_NAME.fullmatch(name):
                raise ValueError(f"upstream name {name!r} must match {UPSTREAM_NAME.pattern}")
        for name in self.monitors:
            check_name(name)
        for name, rule in self.redaction.items():
            check_rule(name, rule)
        check_mounts({name: upstream.mounts for name, upstream in self.upstreams.items()})
        defaults = [name for name, upstream in self.upstreams.items() if upstream.default]
        if len(defaults) != 1:
            raise ValueError(
                f"exactly one upstream must have default = true; of {', '.join(self.upstreams)} "
                f"{'none has' if not defaults else ' and '.join(defaults) + ' have'}"
            )
        if self.test_ratio + self.val_ratio >= 1:
            raise ValueError("test_ratio + val_ratio must be below 1, or nothing is left to train")
        if self.spool_segment_bytes > self.spool_bytes_max:
            raise ValueError("spool_segment_bytes must not exceed spool_bytes_max")
        if not (self.insecure or self.access_keys or _is_loopback(self.host)):
            raise ValueError(
                f"host {self.host} can be reached by others, and whoever reaches shalt can make "
                "calls and read them: ask for access keys (access_keys = true), or listen on "
                "127.0.0.1 behind something that authenticates, or say --insecure (insecure = "
                "true) if the network itself keeps strangers out"
            )
        return self


def load(config: Path | None = None, **overrides: object) -> Settings:
    """Read the settings: `overrides` (the command line) over variables over the TOML file.

    `config` must exist, or what SHALT_CONFIG names; without them `./shalt.toml` is read if it is
    there. Overrides that are None are not given. Raises `SettingsError`.

        load(port=0, data_dir=Path("/tmp/x"))
    """
    variables = _read_variables()
    given = {name: value for name, value in overrides.items() if value is not None}
    given |= {"config": config} if config else {}
    named = config or variables.get("config")
    path = Path(str(named)) if named else (CONFIG_FILE if CONFIG_FILE.exists() else None)
    file = sources.read_file(path) if path else {}
    if "config" in file:
        raise SettingsError(f"{path}: config: a file names no other one; say --config instead")
    origins = {place: str(path) for place in sources.places(file)}
    origins |= {place: sources.variable(place) for place in sources.places(variables)}
    origins |= {place: sources.option(place) for place in sources.places(given)}
    try:
        settings = Settings.model_validate(sources.merge(sources.merge(file, variables), given))
    except ValidationError as error:
        raise SettingsError(_describe(error, origins)) from None
    settings._origins.update(origins)
    return settings


@dataclass(frozen=True)
class Explained:
    """One setting as `shalt config` shows it, secrets masked."""

    name: str
    value: str
    source: str
    meaning: str


def explain(settings: Settings) -> Iterator[Explained]:
    """Tell of every setting its value, where that came from, and what it means."""
    origins = settings._origins
    for name, field in Settings.model_fields.items():
        if name not in TABLES:
            text = _text(getattr(settings, name))
            text = sources.without_password(text) if name == "store" else text
            yield Explained(name, text, origins.get(name, "default"), field.description or "")
    for name, upstream in settings.upstreams.items():
        replaced = ("base_url", "dialect") if settings.upstream and upstream.default else ()
        for key, field in Upstream.model_fields.items():
            place = f"upstreams.{name}.{key}"
            source = origins.get("upstream" if key in replaced else place, "default")
            text = _text(getattr(upstream, key))
            if key == "proxy":
                text = upstream.egress.url if upstream.egress else "none"
                source = upstream.egress_variable or source
            yield Explained(place, text, source, field.description or "")
    tables: dict[str, BaseModel] = {"drift": settings.drift}
    tables |= {f"monitors.{name}": monitor for name, monitor in settings.monitors.items()}
    tables |= {f"redaction.{name}": rule for name, rule in settings.redaction.items()}
    for above, table in tables.items():
        for key, field in type(table).model_fields.items():
            place = f"{above}.{key}"
            source = origins.get(place, "default")
            yield Explained(place, _text(getattr(table, key)), source, field.description or "")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _read_variables() -> Tree:
    for name, value in os.environ.items():
        if name.startswith(PREFIX):
            _check_variable(name, value)
    try:
        return EnvSettingsSource(Settings)()
    except UnreadableVariable as error:
        raise SettingsError(f"environment: {error}; a table is given as JSON") from None


def _check_variable(name: str, value: str) -> None:
    """Refuse a variable that names no setting: it would be silently without effect."""
    first, *rest = name.removeprefix(PREFIX).lower().split("__")
    in_table = first in TABLES and len(rest) == (1 if first == "drift" else 2)
    if in_table and rest[-1] in TABLES[first].model_fields:
        return
    if not rest and first in Settings.model_fields:
        return
    above = ".".join((first, *rest[:-1]))
    known = [f"{above}.{key}" for key in TABLES[first].model_fields] if in_table else []
    known = known or list(Settings.model_fields)
    message = f"{name}: is not a setting{sources.nearest(name, map(sources.variable, known))}"
    if value.startswith(("tcp://", "udp://")) or first.startswith("service_"):
        message += (
            "; Kubernetes sets such variables for a Service named shalt: set "
            "enableServiceLinks: false in the pod, or give the Service another name"
        )
    raise SettingsError(message + _LIST)


def _describe(error: ValidationError, origins: Mapping[str, str]) -> str:
    """One line for each mistake: source, setting, what is wrong."""
    lines = []
    for mistake in error.errors(include_url=False, include_input=False):
        steps = [str(step) for step in mistake["loc"]]
        place, text = ".".join(steps), mistake["msg"].removeprefix("Value error, ")
        if mistake["type"] == "extra_forbidden":
            known = Settings.model_fields if len(steps) == 1 else TABLES[steps[0]].model_fields
            text = f"is not a setting{sources.nearest(steps[-1], known)}{_LIST}"
        source = _source_of(steps, origins)
        is_named = not place or source in (sources.variable(place), sources.option(place))
        lines.append(f"{source}: {text}" if is_named else f"{source}: {place}: {text}")
    return "\n".join(lines)


def _source_of(steps: Sequence[str], origins: Mapping[str, str]) -> str:
    """Name the source of a place, or of the nearest table above it that was given."""
    for length in range(len(steps), 0, -1):
        place = ".".join(steps[:length]) + "."
        if found := next((origins[at] for at in origins if f"{at}.".startswith(place)), ""):
            return found
    return "settings"


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(value)
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
