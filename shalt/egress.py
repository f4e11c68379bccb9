"""Which proxy leads out of this network to an upstream: the setting, or the environment.

As most programs do it: HTTPS_PROXY for https upstreams, HTTP_PROXY for plain ones, in lower case
too, and NO_PROXY names what is reached directly: hosts, with all below them, `*`, addresses and
networks (10.0.0.0/8). What is on this machine is always reached directly, as in Go and curl's
advice: a variable meant for the world outside must not break a model server on loopback.
"""

import base64
import ipaddress
import urllib.request
from urllib.parse import unquote, urlsplit

from proxy.dialling import Egress

_DIRECT = "none"


def find_egress(base_url: str, given: str) -> tuple[Egress | None, str]:
    """Return the proxy for an upstream, and the variable that named it (empty: the setting did).

    `given`: the setting, a URL, `none`, or empty for the environment's. Raises ValueError.
    """
    if given:
        return (None if given == _DIRECT else read_egress(given)), ""
    parts = urlsplit(base_url)
    variables = urllib.request.getproxies_environment()
    url = variables.get(parts.scheme)
    if not url or _is_direct(parts.hostname or "", parts.netloc, variables.get("no", "")):
        return None, ""
    variable = f"{parts.scheme.upper()}_PROXY"
    try:
        return read_egress(url), variable
    except ValueError as error:
        raise ValueError(f"{variable} (see the setting proxy) {error}") from None


def read_egress(url: str) -> Egress:
    """Read the URL of a proxy, credentials included. Raises ValueError, which repeats none of it.

    read_egress("http://user:p%40ss@proxy.example:3128").url == "http://proxy.example:3128"
    """
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme != "http":
        raise ValueError("must be http://host:port: no other way to speak to a proxy is known here")
    if not parts.hostname or parts.port == 0 or parts.path not in ("", "/") or parts.query:
        raise ValueError("must be http://host:port or http://user:password@host:port")
    authorization = None
    if parts.username is not None:
        credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        authorization = b"Basic " + base64.b64encode(credentials)
    return Egress(parts.hostname, parts.port or 80, authorization)


def _is_direct(host: str, netloc: str, no_proxy: str) -> bool:
    """Tell whether a host is on this machine or named by NO_PROXY."""
    words = [word.strip().removeprefix(".").lower() for word in no_proxy.split(",")]
    named = any(word and f".{host}".endswith(f".{word}") for word in words)
    if named or host == "localhost" or "*" in words or netloc in words:
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or any(address in network for network in _networks(words))


def _networks(words: list[str]) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    found = []
    for word in words:
        try:
            found.append(ipaddress.ip_network(word, strict=False))
        except ValueError:
            continue  # a name, which has been looked at
    return found
