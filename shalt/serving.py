"""The commands `serve`, and `config`, which tells what it would do."""

import sys

from shalt import supervisor
from shalt.settings import Settings, explain
from shalt.sources import without_password
from shalt.terminal import print_json, print_line, print_table


def serve(settings: Settings) -> int:
    """Serve until SIGTERM or Ctrl-C; return the exit code."""
    return supervisor.run(settings, lambda url: announce(settings, url))


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
