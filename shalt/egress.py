"""Which proxy leads out of this network to an upstream: the setting, or the environment.

As curl and most programs do it: HTTPS_PROXY for https upstreams, HTTP_PROXY for plain ones, else
ALL_PROXY, in lower case too. NO_PROXY names what is reached directly, commas or blanks between:
names, with all below them, `*`, addresses and networks (10.0.0.0/8), each with a port if it is
meant for that alone. What is on this machine is always reached directly, as in Go and curl's
advice: a variable meant for the world outside must not break a model server on loopback.
"""

import ipaddress
import re
import urllib.request
from typing import get_args
from urllib.parse import unquote_to_bytes, urlsplit

from proxy.egress import CREDENTIAL_BYTES_MAX, Credentials, Egress, Scheme

_DIRECT = "none"
_SCHEMES: dict[str, Scheme] = {scheme: scheme for scheme in get_args(Scheme)}
_PORTS: dict[Scheme, int] = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
_FORM = "http://host:port, https://, socks5:// or socks5h:// likewise"


def find_egress(base_url: str, given: str) -> tuple[Egress | None, str]:
    """Return the proxy for an upstream, and the variable that named it (empty: the setting did).

    `given`: the setting, a URL, `none`, or empty for the environment's. Raises ValueError.
    """
    if given:
        return (None if given == _DIRECT else read_egress(given)), ""
    parts = urlsplit(base_url)
    variables = urllib.request.getproxies_environment()
    named = next((name for name in (parts.scheme, "all") if variables.get(name)), "")
    if not named or _is_direct(parts.hostname or "", _port(base_url), variables.get("no", "")):
        return None, ""
    variable = f"{named.upper()}_PROXY"
    try:
        return read_egress(variables[named]), variable
    except ValueError as error:
        raise ValueError(f"{variable} (see the setting proxy) {error}") from None


def read_egress(url: str) -> Egress:
    """Read the URL of a proxy, credentials included. Raises ValueError, which repeats none of it.

    read_egress("http://user:p%40ss@proxy.example:3128").url == "http://proxy.example:3128"
    """
    parts = urlsplit(url if "://" in url else f"http://{url}")
    scheme = _SCHEMES.get(parts.scheme)
    if scheme is None:
        raise ValueError(f"must be {_FORM}: no other way to speak to a proxy is known here")
    host = parts.hostname
    if not host or parts.port == 0 or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError(f"must be {_FORM}, or user:password@host:port behind the slashes")
    credentials = None
    if parts.username is not None:
        password = unquote_to_bytes(parts.password or "")
        credentials = Credentials(unquote_to_bytes(parts.username), password)
        if max(map(len, credentials)) > CREDENTIAL_BYTES_MAX:
            raise ValueError(f"must have credentials of at most {CREDENTIAL_BYTES_MAX} bytes each")
    return Egress(host, parts.port or _PORTS[scheme], credentials, scheme)


def _port(url: str) -> int:
    parts = urlsplit(url)
    return parts.port or (443 if parts.scheme == "https" else 80)


def _is_direct(host: str, port: int, no_proxy: str) -> bool:
    """Tell whether a host is on this machine or named by NO_PROXY."""
    host = host.rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    words = [word for word in re.split(r"[,\s]+", no_proxy.lower()) if word]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return any(_names(word, host, port) for word in words)
    return address.is_loopback or any(_holds(word, address, port) for word in words)


def _names(word: str, host: str, port: int) -> bool:
    """Tell whether a word of NO_PROXY names a host, or one above it."""
    name, _, only = word.partition(":")
    name = name.removeprefix("*").strip(".") or name
    right = name == "*" or bool(name) and f".{host}".endswith(f".{name}")
    return right and only in ("", str(port))


def _holds(word: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> bool:
    """Tell whether a word of NO_PROXY is an address, or a network it is in."""
    found = re.fullmatch(r"\[(.*)\](?::(\d+))?|([^:]*):(\d+)", word)
    number, only = (found[1] or found[3], found[2] or found[4]) if found else (word, None)
    if only not in (None, str(port)):
        return False
    try:
        return number == "*" or address in ipaddress.ip_network(number, strict=False)
    except ValueError:
        return False  # a name
