"""Paths that lead to an upstream without its name, for clients that cannot be told one.

A mount is a path of the service's own (`/v1beta`, `/model`, `/api/chat`): what is at or below it
goes to that upstream, whole. What shalt answers itself stays its own: OWN_PATHS, and all below and
above them. The default upstream's `/v1` is no mount, but a path below it may be (`/v1/messages`).
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

OWN_PATHS: Final = (
    "/v1", "/u", "/healthz", "/readyz", "/metrics", "/feedback", "/review", "/otlp", "/api/calls",
    "/api/counts", "/api/datasets", "/api/erasures", "/api/monitors", "/api/openapi.json",
    "/api/status", "/api/why",
)  # fmt: skip
_MOUNT: Final = re.compile(r"(/[A-Za-z0-9._~-]+)+")


def check_mounts(mounts: Mapping[str, Sequence[str]]) -> None:
    """Raise ValueError where a mount of an upstream is none, is shalt's own, or is another's."""
    taken: dict[str, str] = {}
    for name, paths in mounts.items():
        for path in paths:
            if not _MOUNT.fullmatch(path) or {".", ".."} & set(path.split("/")):
                raise ValueError(
                    f"the mount {path!r} of upstream {name} must be like /v1beta or /api/chat"
                )
            own = next((own for own in OWN_PATHS if _is_own(path, own)), None)
            if own is not None:
                raise ValueError(
                    f"the mount {path} of upstream {name} would take shalt's own {own}; "
                    f"/u/{name}{path} serves it without a mount"
                )
            other = taken.setdefault(path, name)
            if other != name:
                raise ValueError(f"the mount {path} is of upstream {other} and of {name}")


def _is_own(path: str, own: str) -> bool:
    if own == "/v1":
        return path == own
    return f"{path}/".startswith(f"{own}/") or f"{own}/".startswith(f"{path}/")
