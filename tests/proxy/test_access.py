"""Tests of proxy.access: keys in a file, presented in every way; pages of other sites."""

import base64
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from proxy.access import (
    ANYBODY,
    FILE_BYTES_MAX,
    FILE_VERSION,
    Access,
    AccessKey,
    Admitted,
    Denied,
    KeyFile,
    read_keys,
    without_keys,
)
from proxy.rates import Rates
from storage.capture import Headers
from tests.client import request
from tests.relaying import RunningRelay, running_relay, upstream_at, wait_until
from tests.upstream import Upstream, running_upstream

NOW = 1_800_000_000
KEYS = {name: f"shalt-{number:08x}-{name:x<43}" for number, name in enumerate(
    ("plain", "shop", "slow", "old", "revoked", "console")
)}  # fmt: skip


class StandingClock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.seconds = 0

    def wall_ns(self) -> int:
        return (NOW + self.seconds) * 10**9

    def monotonic_ns(self) -> int:
        return self.seconds * 10**9


def key(name: str, **given: object) -> AccessKey:
    text = KEYS[name]
    fields: dict[str, object] = {
        "project": "",
        "console": False,
        "calls_per_minute": None,
        "expires_at": None,
        **given,
    }
    digest = hashlib.sha256(text.encode()).hexdigest()
    number = int(text[6:14], 16)
    return AccessKey(
        id=text[6:14],
        slot=number,
        name=name,
        sha256=digest,
        created_at=NOW,
        **fields,  # type: ignore[arg-type]
    )


def write(path: Path, *keys: AccessKey) -> None:
    aside = path.with_suffix(".new")
    aside.write_bytes(msgspec.json.encode(KeyFile(FILE_VERSION, list(keys))))
    aside.rename(path)


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


@pytest.fixture
def access(tmp_path: Path, clock: StandingClock) -> Access:
    path = tmp_path / "access.json"
    write(
        path,
        key("plain"),
        key("shop", project="shop"),
        key("slow", calls_per_minute=1),
        key("old", expires_at=NOW),
        key("revoked", revoked_at=NOW),
        key("console", console=True),
    )
    rates = Rates(tmp_path / "rates", slots=10, worker=0, workers=1)
    return Access(path, rates, allowed_origins=frozenset(), clock=clock)


def admit(
    access: Access, *headers: tuple[bytes, bytes], console: bool = False
) -> Admitted | Denied:
    return access.admit(list(headers), console=console, holds_key=False)


def code(answer: Admitted | Denied) -> str:
    return answer.code if isinstance(answer, Denied) else "admitted"


@pytest.mark.parametrize(
    "header",
    [
        (b"x-shalt-key", KEYS["plain"].encode()),
        (b"authorization", b"Bearer " + KEYS["plain"].encode()),
        (b"authorization", b"bearer  " + KEYS["plain"].encode()),
        (b"authorization", b"Basic " + base64.b64encode(b"me:" + KEYS["plain"].encode())),
        (b"x-api-key", KEYS["plain"].encode()),
        (b"api-key", KEYS["plain"].encode()),
        (b"x-goog-api-key", KEYS["plain"].encode()),
    ],
    ids=["own", "bearer", "spaces", "basic", "anthropic", "azure", "google"],
)
def test_a_key_is_found_wherever_a_library_puts_it(
    access: Access, header: tuple[bytes, bytes]
) -> None:
    admitted = admit(access, (b"accept", b"*/*"), header)
    assert isinstance(admitted, Admitted)
    assert without_keys([(b"accept", b"*/*"), header], admitted) == [(b"accept", b"*/*")]


def test_the_upstreams_own_key_passes_beside_ours(access: Access) -> None:
    headers: Headers = [
        (b"authorization", b"Bearer sk-theirs"),
        (b"x-shalt-key", KEYS["plain"].encode()),
    ]
    admitted = admit(access, *headers)
    assert isinstance(admitted, Admitted)
    assert without_keys(headers, admitted) == headers[:1]


@pytest.mark.parametrize(
    ("presented", "reason"),
    [
        ("", "no_access_key"),
        ("shalt-", "bad_access_key"),
        (KEYS["plain"][:-1] + "y", "bad_access_key"),
        (KEYS["plain"] + " ", "admitted"),
        (KEYS["plain"] + "x", "bad_access_key"),
        (KEYS["old"], "expired_access_key"),
        (KEYS["revoked"], "bad_access_key"),
        ("shalt-' or 1=1--", "bad_access_key"),
        ("sk-theirs", "bad_access_key"),
    ],
)
def test_what_is_no_valid_key_opens_nothing(access: Access, presented: str, reason: str) -> None:
    assert code(admit(access, (b"x-shalt-key", presented.encode()))) == reason


def test_no_key_at_all_is_said_so(access: Access) -> None:
    assert code(admit(access, (b"authorization", b"Bearer sk-theirs"))) == "no_access_key"


def test_a_key_for_calls_does_not_open_the_console(access: Access) -> None:
    assert code(admit(access, (b"x-shalt-key", KEYS["plain"].encode()), console=True)) == (
        "not_for_console"
    )
    assert code(admit(access, (b"x-shalt-key", KEYS["console"].encode()), console=True)) == (
        "admitted"
    )


def test_a_rate_is_kept_and_the_wait_is_told(access: Access) -> None:
    slow = (b"x-shalt-key", KEYS["slow"].encode())
    assert code(admit(access, slow)) == "admitted"
    refused = admit(access, slow)
    assert isinstance(refused, Denied)
    assert (refused.status_code, refused.code) == (429, "rate_limited")
    assert 0 < refused.retry_seconds <= 60


def test_a_change_of_the_file_is_seen_within_a_second(
    access: Access, clock: StandingClock, tmp_path: Path
) -> None:
    plain = (b"x-shalt-key", KEYS["plain"].encode())
    assert code(admit(access, plain)) == "admitted"
    write(tmp_path / "access.json", key("plain", revoked_at=NOW))
    clock.seconds += 1
    assert code(admit(access, plain)) == "bad_access_key"


@pytest.mark.parametrize("damage", ["gone", "cut", "newer", "unreadable", "pipe"])
def test_without_a_readable_file_nobody_is_let_in(
    access: Access, clock: StandingClock, tmp_path: Path, damage: str
) -> None:
    path, plain = tmp_path / "access.json", (b"x-shalt-key", KEYS["plain"].encode())
    assert code(admit(access, plain)) == "admitted"
    data = path.read_bytes()
    path.unlink()
    if damage == "cut":
        path.write_bytes(data[:-10])
    elif damage == "newer":
        path.write_bytes(data.replace(b'"version":1', b'"version":2'))
    elif damage == "unreadable":
        path.mkdir()
    elif damage == "pipe":
        os.mkfifo(path)
    clock.seconds += 1
    refused = admit(access, plain)
    assert isinstance(refused, Denied)
    assert refused.code == "bad_access_key"
    assert str(tmp_path) not in refused.message
    if damage != "unreadable":
        os.replace(_copy(path, data), path)
        clock.seconds += 1
        assert code(admit(access, plain)) == "admitted"


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("slot", -1), ("slot", 10_000), ("slot", 2**70), ("slot", 1), ("id", "00000001"),
        ("id", "../../up"), ("sha256", "\u00e4" * 64), ("sha256", ""), ("calls_per_minute", 0),
        ("calls_per_minute", True), ("expires_at", 10**18), ("expires_at", "soon"),
        ("project", None), ("revoked_at", -1),
    ],
)  # fmt: skip
def test_a_key_that_cannot_be_lets_nobody_in_and_breaks_nothing(
    access: Access, clock: StandingClock, tmp_path: Path, member: str, value: object
) -> None:
    path = tmp_path / "access.json"
    file = msgspec.json.decode(path.read_bytes())
    file["keys"][0][member] = value
    path.write_bytes(msgspec.json.encode(file))
    clock.seconds += 1
    for name in ("plain", "slow"):
        assert code(admit(access, (b"x-shalt-key", KEYS[name].encode()))) == "bad_access_key"
    with pytest.raises(ValueError, match="."):
        read_keys(path)


def test_a_file_of_no_end_is_not_read(access: Access, clock: StandingClock, tmp_path: Path) -> None:
    os.truncate(tmp_path / "access.json", FILE_BYTES_MAX + 1)
    clock.seconds += 1
    assert code(admit(access, (b"x-shalt-key", KEYS["plain"].encode()))) == "bad_access_key"


def test_a_key_for_calls_may_give_feedback_as_often_as_it_may_call(access: Access) -> None:
    def give(name: str) -> str:
        headers = [(b"x-shalt-key", KEYS[name].encode())]
        return code(access.admit(headers, console=True, holds_key=False, says_of_calls=True))

    assert [give("shop"), give("console"), give("revoked")] == ["admitted"] * 2 + ["bad_access_key"]
    assert [give("slow"), give("slow")] == ["admitted", "rate_limited"]


def _copy(path: Path, data: bytes) -> Path:
    aside = path.with_suffix(".again")
    aside.write_bytes(data)
    return aside


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ([], "admitted"),
        ([(b"sec-fetch-site", b"none")], "admitted"),
        ([(b"origin", b"https://ours.example")], "admitted"),
        ([(b"origin", b"https://evil.example")], "foreign_page"),
        ([(b"origin", b"null")], "foreign_page"),
        ([(b"sec-fetch-site", b"cross-site")], "foreign_page"),
        (
            [(b"sec-fetch-site", b"same-origin"), (b"origin", b"http://evil.example")],
            "foreign_page",
        ),
        ([(b"sec-fetch-site", b"cross-site"), (b"origin", b"https://ours.example")], "admitted"),
    ],
)
def test_a_page_may_not_spend_a_key_that_shalt_holds(headers: Headers, reason: str) -> None:
    origins = frozenset([b"https://ours.example"])
    access = Access(None, None, allowed_origins=origins, clock=StandingClock())
    assert code(access.admit(headers, console=False, holds_key=True)) == reason
    assert access.admit(headers, console=False, holds_key=False) is ANYBODY


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with running_upstream() as seen:
        yield seen


@pytest.fixture
def relay(upstream: Upstream, access: Access, tmp_path: Path) -> Iterator[RunningRelay]:
    with running_relay(tmp_path / "spool", [upstream_at(upstream.port)], access=access) as running:
        yield running


def test_a_stranger_reaches_no_upstream_and_leaves_no_record(
    relay: RunningRelay, upstream: Upstream
) -> None:
    answer = request(relay.port, "/v1/plain")
    assert (answer.status, answer.header("x-shalt-error")) == (401, "no_access_key")
    assert request(relay.port, "/u/nowhere/x").status == 401  # before anything else is told
    assert upstream.heads == []
    assert relay.tally().accepted == 0


def test_the_key_goes_no_further_than_here(relay: RunningRelay, upstream: Upstream) -> None:
    headers = {"Authorization": f"Bearer {KEYS['plain']}", "x-api-key": KEYS["shop"]}
    assert request(relay.port, "/v1/plain", headers=headers).status == 200
    assert b"shalt-" not in upstream.sent()
    stored = wait_until(lambda: relay.calls(1))[0]
    assert not any(b"shalt-" in value for _, value in stored.request_headers)


def test_a_key_says_which_project_and_no_other_may_be_named(relay: RunningRelay) -> None:
    shop = {"x-shalt-key": KEYS["shop"]}
    assert request(relay.port, "/v1/plain", headers=shop).status == 200
    assert (
        request(relay.port, "/v1/plain", headers={**shop, "x-shalt-project": "shop"}).status == 200
    )
    other = request(relay.port, "/v1/plain", headers={**shop, "x-shalt-project": "bank"})
    assert (other.status, other.header("x-shalt-error")) == (403, "wrong_project")
    assert {call.project for call in relay.calls(3)} == {"shop"}


def test_a_browser_is_asked_for_the_key_of_the_console(relay: RunningRelay) -> None:
    answer = request(relay.port, "/review", method="GET")
    assert answer.status == 401
    assert answer.header("www-authenticate").startswith("Basic ")
    assert request(relay.port, "/v1/plain").header("www-authenticate") == ""


def test_a_client_over_its_rate_is_told_when_to_come_back(relay: RunningRelay) -> None:
    headers = {"x-shalt-key": KEYS["slow"]}
    assert request(relay.port, "/v1/messages", headers=headers).status == 200
    answer = request(relay.port, "/v1/messages", headers=headers)
    assert (answer.status, answer.json()["error"]) == (
        429,
        {
            "type": "rate_limit_error",
            "message": "the access key 00000002 may make 1 calls a minute",
        },
    )
    assert int(answer.header("retry-after")) > 0
