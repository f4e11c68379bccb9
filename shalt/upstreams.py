"""One upstream as the settings have it, and what follows from its name or URL."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    field_validator,
    model_validator,
)

from proxy.egress import Egress
from shalt.egress import find_egress
from shalt.sources import Tree, Words
from storage.capture import Dialect

UPSTREAM_NAME = re.compile(r"[a-z0-9_-]{1,32}")
_KNOWN_BASE_URLS = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com/v1",
}

Seconds = Annotated[float, Field(gt=0, le=86_400)]


class Upstream(BaseModel):
    """One service that calls are relayed to: the URL called is base_url + the rest of the path."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True
    )

    base_url: str
    """http(s) URL that the rest of a call's path is added to."""
    dialect: Dialect = Dialect.OPENAI
    """Wire format where path and headers of a call do not tell: openai, anthropic, gemini, raw."""
    key: str = "client"
    """`client`: the client's own key passes through; `env:NAME`: shalt holds the key."""
    connect_seconds: Seconds = 5
    """Longest wait for a connection."""
    first_byte_seconds: Seconds = 600
    """Longest wait for an answer to begin."""
    idle_seconds: Seconds = 300
    """Longest silence inside an answer."""
    connections_max: Annotated[int, Field(ge=1, le=100_000)] = 1000
    """Connections to this upstream, of each worker."""
    gateway: bool = False
    """It is a gateway itself: `helicone-auth`, `x-litellm-api-key`, `x-portkey-api-key` pass."""
    default: bool = False
    """Serves `/v1/*`; exactly one upstream does. A single one need not say so."""
    mounts: Annotated[Words, Field(max_length=16)] = ()
    """Paths served besides `/u/<name>/*`, added to base_url whole: `/v1beta,/api/chat`."""
    ca_file: Path | None = None
    """PEM file of the authorities to trust instead of the system's."""
    proxy: str = Field(default="", repr=False)  # it may hold a password
    """Egress proxy: `http(s)://host:port`, `socks5(h)://…`, `none`; empty: as HTTPS_PROXY says."""
    proxy_ca_file: Path | None = None
    """PEM file of the authorities to trust for an https:// proxy instead of the system's."""
    _egress: Egress | None = PrivateAttr(None)
    _egress_variable: str = PrivateAttr("")
    _secret: SecretStr | None = PrivateAttr(None)

    @property
    def secret(self) -> SecretStr | None:
        """The key shalt holds; None if the client brings its own, or its variable is not set."""
        return self._secret

    @property
    def egress(self) -> Egress | None:
        """The proxy by which this upstream is reached; None: directly."""
        return self._egress

    @property
    def egress_variable(self) -> str:
        """The environment variable that named the proxy; empty if none did."""
        return self._egress_variable

    @field_validator("base_url")
    @classmethod
    def _check_base_url(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be a URL like https://api.openai.com/v1")
        if "@" in parts.netloc:
            raise ValueError("must not hold credentials; name the key instead: key = 'env:NAME'")
        if "?" in url or "#" in url:
            raise ValueError("must have neither query nor fragment")
        if parts.port == 0 or re.search(r"[\x00-\x20\x7f]", url) or not parts.path.isascii():
            rule = "without white space, its path in ASCII, its port from 1 to 65535"
            raise ValueError(f"must be a URL {rule}")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _find_egress(self) -> "Upstream":
        self._egress, self._egress_variable = find_egress(self.base_url, self.proxy)
        return self

    @model_validator(mode="after")
    def _resolve_key(self) -> "Upstream":
        if self.key == "client":
            return self
        kind, _, name = self.key.partition(":")
        if kind != "env" or not re.fullmatch(r"\w+", name):
            raise ValueError(
                "key must be 'client' or 'env:NAME', NAME being an environment variable; "
                "never the key itself"
            )
        if not os.environ.get(name):
            return self
        if not re.fullmatch(r"[\x21-\x7e]+", os.environ[name]):
            raise ValueError(f"the variable {name} holds what no header can, a line end perhaps")
        self._secret = SecretStr(os.environ[name])
        return self


def complete(name: str, table: object) -> Tree:
    """Fill in what follows from an upstream's name; raise ValueError where it is no table."""
    if isinstance(table, Upstream):
        return {key: getattr(table, key) for key in table.model_fields_set}
    if not isinstance(table, Mapping):
        raise ValueError(f"upstreams.{name} must be a table that has a base_url")
    completed: Tree = {str(key): value for key, value in table.items()}
    if name in _KNOWN_BASE_URLS:
        completed.setdefault("base_url", _KNOWN_BASE_URLS[name])
    completed.setdefault("dialect", guess_dialect(completed.get("base_url")))
    return completed


def guess_dialect(url: object) -> Dialect:
    """Say which dialect is spoken at a URL: OpenAI's, unless it is Anthropic's host."""
    try:
        host = urlsplit(str(url)).hostname or ""
    except ValueError:  # not a URL: base_url's own check says so
        return Dialect.OPENAI
    is_anthropic = host == "anthropic.com" or host.endswith(".anthropic.com")
    return Dialect.ANTHROPIC if is_anthropic else Dialect.OPENAI
