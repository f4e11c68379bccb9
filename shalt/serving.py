"""The commands `serve`, `reload`, and `config`, which tells what `serve` would do."""

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Final

from shalt import supervisor
from shalt.places import Places
from shalt.reloading import read_reloads
from shalt.settings import Settings, explain
from shalt.sources import without_password
from shalt.terminal import print_json, print_line, print_table

RELOAD_SECONDS_MAX: Final = 180.0
LOOK_SECONDS: Final = 0.05


class NotServing(Exception):
    """There is no shalt that could read its configuration again."""


def serve(settings: Settings, again: Callable[[], Settings]) -> int:
    """Serve until SIGTERM or Ctrl-C; return the exit code. `again` reads the settings again."""
    return supervisor.run(settings, lambda url: announce(settings, url), again)


def reload(settings: Settings) -> int:
    """Let the shalt that serves on this data directory read its configuration again.

    Return 0 once it has taken it, 1 where it has not; nothing has changed then. Raise NotServing.
    """
    path = Places(settings.data_dir).reloads
    before = read_reloads(path)
    try:
        if before is None:
            raise ProcessLookupError
        os.kill(before.process_id, signal.SIGHUP)
    except ProcessLookupError:
        raise NotServing(f"no shalt serves on {settings.data_dir}") from None
    until = time.monotonic() + RELOAD_SECONDS_MAX
    while time.monotonic() < until:
        now = read_reloads(path)
        if now is not None and now.refused_count > before.refused_count:
            print_line(f"refused, nothing has changed: {now.problem}")
            return 1
        if now is not None and now.taken_count > before.taken_count:
            print_line("taken: workers and the rest have been replaced")
            return 0
        time.sleep(LOOK_SECONDS)
    print_line(f"not taken within {RELOAD_SECONDS_MAX:g} s: the log says how far it is")
    return 1


def announce(settings: Settings, url: str) -> None:
    """Say where shalt listens and how an application is pointed at it."""
    upstream = settings.upstreams[settings.default_upstream]
    print_line(f"shalt listens on {url}", style="bold")
    print_line(f'  point at it   OpenAI(base_url="{url}/v1")')
    print_line(f"  upstream      {upstream.base_url} ({settings.default_upstream})")
    for name, other in settings.upstreams.items():
        if not other.default:
            print_line(f"  {url}/u/{name}  {other.base_url}")
    print_line(f"  store         {without_password(settings.store_url)}")
    print_line(f"  look at it    {url}/review")
    sys.stdout.flush()  # whoever waits for these lines reads them from a pipe


def show_settings(settings: Settings, *, as_json: bool) -> None:
    """Print every setting with its value, its source and its meaning."""
    rows = list(explain(settings))
    if as_json:
        for row in rows:
            print_json(row)
    else:
        cells = ((row.name, row.value, row.source, row.meaning) for row in rows)
        print_table(("setting", "value", "source", "meaning"), cells, elastic=["meaning"])
