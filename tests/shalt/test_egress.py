"""Tests of shalt.egress: the setting, the environment, and what is never proxied."""

import pytest

from proxy.egress import Credentials, Egress
from shalt.egress import find_egress, read_egress


@pytest.fixture(autouse=True)
def _no_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy", "request_method"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("url", "egress"),
    [
        ("http://proxy.example:3128", Egress("proxy.example", 3128)),
        ("proxy.example:3128/", Egress("proxy.example", 3128)),
        ("http://[::1]", Egress("::1", 80)),
        ("http://user:p%40ss@h:1", Egress("h", 1, Credentials(b"user", b"p@ss"))),
        ("http://user@h:1", Egress("h", 1, Credentials(b"user", b""))),
        ("HTTPS://proxy.example", Egress("proxy.example", 443, scheme="https")),
        ("socks5://h", Egress("h", 1080, scheme="socks5")),
        ("socks5h://%C3%BC:p@h:9", Egress("h", 9, Credentials(b"\xc3\xbc", b"p"), "socks5h")),
    ],
)
def test_the_url_of_a_proxy_is_read(url: str, egress: Egress) -> None:
    assert read_egress(url) == egress


@pytest.mark.parametrize(
    "url",
    ["socks4://h:1", "socks://h:1", "ftp://h", "http://", "http://h:0", "http://h:x", "http://h/p",
     "h?a=b", "h#a", f"http://u:{'p' * 256}@h"],
)  # fmt: skip
def test_what_is_no_proxy_is_an_error(url: str) -> None:
    with pytest.raises(ValueError, match=r"must be|must have|Port|port"):
        read_egress(url)


def test_credentials_are_in_no_message() -> None:
    with pytest.raises(ValueError, match="must be") as wrong:
        read_egress("socks4://user:secret@h:1")
    assert "secret" not in str(wrong.value)


def test_the_environment_decides_by_the_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://secure:1")
    monkeypatch.setenv("http_proxy", "plain:2")
    assert find_egress("https://api.example/v1", "") == (Egress("secure", 1), "HTTPS_PROXY")
    assert find_egress("http://api.example/v1", "") == (Egress("plain", 2), "HTTP_PROXY")
    assert find_egress("http://api.example/v1", "none") == (None, "")
    assert find_egress("http://api.example/v1", "http://own:3") == (Egress("own", 3), "")


@pytest.mark.parametrize(
    "host",
    ["localhost", "127.0.0.1:8000", "127.9.9.9", "[::1]:8000", "in.example", "a.in.example:8",
     "10.1.2.3", "192.168.7.7"],
)  # fmt: skip
def test_what_is_near_is_reached_directly(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:1")
    monkeypatch.setenv("NO_PROXY", "other.example, .in.example,10.0.0.0/8,192.168.7.7")
    assert find_egress(f"http://{host}/v1", "") == (None, "")


@pytest.mark.parametrize(
    ("no_proxy", "host", "direct"),
    [
        ("in.example", "in.example.org", False),
        ("in.example", "notin.example", False),
        ("IN.example.", "a.In.Example.", True),
        ("a.example b.example\tc.example", "b.example", True),
        ("*", "anything.example", True),
        ("x,*", "11.1.2.3", True),
        ("*.in.example", "a.in.example", True),
        ("2.3", "11.1.2.3", False),  # no name, and none of its ends
        ("10.0.0.0/8", "11.1.2.3", False),
        ("fd00::/8", "[fd12::1]", True),
        ("[fd12::1]", "[fd12::1]:8000", True),
        ("[fd12::1]:8000", "[fd12::1]", False),
        ("in.example:8000", "in.example:8000", True),
        ("in.example:8000", "in.example", False),
        ("10.0.0.0/8:80", "10.1.1.1", True),
        ("in.example:80", "in.example", True),
        ("", "model.localhost", True),
        (",. ,:", "in.example", False),
    ],
)
def test_no_proxy_is_understood_as_by_others(
    no_proxy: str, host: str, direct: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:1")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert (find_egress(f"http://{host}/v1", "") == (None, "")) is direct


def test_all_proxy_is_for_what_has_no_variable_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5h://all:1")
    monkeypatch.setenv("https_proxy", "http://secure:2")
    every = Egress("all", 1, scheme="socks5h")
    assert find_egress("http://api.example/v1", "") == (every, "ALL_PROXY")
    assert find_egress("https://api.example/v1", "") == (Egress("secure", 2), "HTTPS_PROXY")


def test_a_variable_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks4://user:secret@h:1")
    assert find_egress("http://api.example", "") == (None, "")
    with pytest.raises(ValueError, match="HTTPS_PROXY") as wrong:
        find_egress("https://api.example", "")
    assert "secret" not in str(wrong.value)
