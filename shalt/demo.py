"""`shalt demo`: the product as it is, with a built-in upstream and sample traffic through it.

Nothing is read from shalt.toml or SHALT_*, nothing leaves loopback, and everything recorded lies in
a data directory of its own. Traffic is sent once: a directory that has some is served as it is.
"""

import http.client
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from shalt import supervisor
from shalt.demo_calls import PERIODS, Conversation, conversations
from shalt.demo_upstream import DemoUpstream
from shalt.recording import open_store
from shalt.serving import announce
from shalt.settings import Settings, Upstream
from shalt.terminal import print_line
from storage.counted import counted
from storage.database import StoreError, StoreNotReady
from storage.store import TraceStore

SENDERS: Final = 16  # conversations at a time
CALL_SECONDS: Final = 30.0  # longest wait for one answer
STORED_SECONDS: Final = 60.0  # longest wait for all of it to be stored
POLL_SECONDS: Final = 0.05


class DemoFailed(Exception):
    """The sample traffic did not go through, or was not stored."""


def run(port: int, data_dir: Path, *, once: bool) -> int:
    """Serve the demo until Ctrl-C, or with `once` until its traffic is stored."""
    traffic = [conversations(period) for period in PERIODS]
    calls = [call for period in traffic for conversation in period for call in conversation]
    with DemoUpstream(calls) as upstream:
        settings = Settings(
            port=port,
            data_dir=data_dir,
            upstreams={"demo": Upstream(base_url=upstream.base_url, default=True)},
        )
        with closing(open_store(settings)) as store:
            sending = _Sending(settings, store, [] if _count(store) else traffic, once)
            code = supervisor.run(settings, sending.begin)
            sending.thread.join(timeout=CALL_SECONDS)
    return 1 if sending.failed else code


class _Sending:
    """The application's side: a thread that sends the traffic while the supervisor supervises."""

    def __init__(
        self, settings: Settings, store: TraceStore, traffic: list[list[Conversation]], once: bool
    ) -> None:
        self.failed = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self._settings = settings
        self._store = store
        self._traffic = traffic
        self._once = once
        self._url = ""

    def begin(self, url: str) -> None:
        """Send to the URL that shalt listens on."""
        self._url = url
        announce(self._settings, url)
        self.thread.start()

    def _run(self) -> None:
        try:
            # Period after period, as time goes.
            sent = sum(_send(self._url, period) for period in self._traffic)
            self._wait_until_stored(sent)
            _tell_what_to_try(self._settings, self._store)
        except (OSError, http.client.HTTPException, StoreError, DemoFailed) as error:
            self.failed = True
            sys.stderr.write(f"shalt: the sample traffic broke off: {error}\n")
        finally:
            if self._once:
                os.kill(os.getpid(), signal.SIGTERM)

    def _wait_until_stored(self, sent: int) -> None:
        until = time.monotonic() + STORED_SECONDS
        while (stored := _count(self._store)) < sent:
            if time.monotonic() > until:
                raise DemoFailed(f"of {sent} calls, {stored} are stored after {STORED_SECONDS:g} s")
            time.sleep(POLL_SECONDS)


def _count(store: TraceStore) -> int:
    try:
        return store.count("default")
    except StoreNotReady:
        return 0


def _send(url: str, traffic: list[Conversation]) -> int:
    """Send conversations, several at a time, each in its order; return how many calls it was."""
    with ThreadPoolExecutor(SENDERS) as senders:
        return sum(senders.map(lambda conversation: _converse(url, conversation), traffic))


def _converse(url: str, conversation: Conversation) -> int:
    with _connected(url) as connection:
        for call in conversation:
            headers = {
                "authorization": "Bearer sk-demo-key-of-nobody",
                "content-type": "application/json",
                **call.headers,
            }
            connection.request("POST", "/v1/chat/completions", call.body, headers)
            response = connection.getresponse()
            response.read()
            if response.status != call.answer.status:
                raise DemoFailed(f"a call was answered {response.status}")
    return len(conversation)


@contextmanager
def _connected(url: str) -> Iterator[http.client.HTTPConnection]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=CALL_SECONDS)
    try:
        yield connection
    finally:
        connection.close()


def _tell_what_to_try(settings: Settings, store: TraceStore) -> None:
    place = f"--data-dir {shlex.quote(str(settings.data_dir))}"
    wanted = "tags['app'] = 'support' and finish_reason = 'stop'"
    rows = store.list("default", wanted, limit=1)  # none, if the traffic was broken off
    example = rows[0].id if rows else "ID"
    print_line(f"\n{counted(_count(store), 'call')} recorded. In another terminal:\n")
    for title, command in (
        ("list", f"shalt ls {place} --limit 10"),
        ("filter", f"shalt ls {place} --where \"outcome <> 'complete'\""),
        ("one call", f"shalt show {example} {place}"),
        ("the books", f"shalt status {place}"),
        ("a dataset", f"shalt export demo-dataset {place}"),
        (
            "no drift: two random halves",
            f"shalt drift {place} --reference \"where:substr(id,32,1)<'8'\" "
            "--current \"where:substr(id,32,1)>='8'\"",
        ),
        (
            "drift: the callers of 2024 against those of 2023",
            f"shalt drift {place} --reference \"where:tags['period']='2023'\" "
            "--current \"where:tags['period']='2024'\"",
        ),
    ):
        print_line(f"  # {title}", style="dim")
        print_line(f"  {command}")
    print_line("\nCtrl-C ends the demo; what is recorded stays.")
    sys.stdout.flush()
