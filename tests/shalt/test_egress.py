"""Tests of shalt.egress: the setting, the environment, and what is never proxied."""

import pytest

from proxy.dialling import Egress
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
        ("http://user:p%40ss@h:1", Egress("h", 1, b"Basic dXNlcjpwQHNz")),
        ("http://user@h:1", Egress("h", 1, b"Basic dXNlcjo=")),
    ],
)
def test_the_url_of_a_proxy_is_read(url: str, egress: Egress) -> None:
    assert read_egress(url) == egress


@pytest.mark.parametrize(
    "url",
    ["https://h:1", "socks5://h:1", "http://", "http://h:0", "http://h:x", "http://h/p", "h?a=b"],
)
def test_what_is_no_proxy_is_an_error(url: str) -> None:
    with pytest.raises(ValueError, match=r"must be|Port|port"):
        read_egress(url)


def test_credentials_are_in_no_message_and_no_repr() -> None:
    egress = read_egress("http://user:secret@h:1")
    assert "secret" not in repr(egress) + egress.url + str(egress.refused(407))
    assert "c2Vjc" not in repr(egress)
    with pytest.raises(ValueError, match="must be") as wrong:
        read_egress("https://user:secret@h:1")
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
    assert find_egress("http://in.example.org/v1", "")[0] is not None
    assert find_egress("http://11.1.2.3/v1", "")[0] is not None


def test_a_variable_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://user:secret@h:1")
    assert find_egress("http://api.example", "") == (None, "")
    with pytest.raises(ValueError, match="HTTPS_PROXY") as wrong:
        find_egress("https://api.example", "")
    assert "secret" not in str(wrong.value)
