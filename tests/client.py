"""A client that writes bytes to a socket and reads an answer, hiding nothing."""

import http.client
import json
import socket
from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """What came back. `whole`: the answer had its proper end."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    whole: bool = True

    def header(self, name: str) -> str:
        """The value of a header, empty if it is not there."""
        return next((value for key, value in self.headers if key.lower() == name), "")

    def json(self) -> dict[str, object]:
        """The body as a JSON object."""
        value = json.loads(self.body)
        assert isinstance(value, dict)
        return value


def request(
    port: int,
    path: str,
    body: bytes = b"{}",
    method: str = "POST",
    headers: dict[str, str] | None = None,
) -> Answer:
    """Send a request on a connection of its own and read all of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        sized = {"content-length": str(len(body))} if body or method == "POST" else {}
        named = "host" in (headers or {})
        connection.putrequest(method, path, skip_host=named, skip_accept_encoding=True)
        for name, value in {**sized, **(headers or {})}.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        response = connection.getresponse()
        try:
            data, whole = response.read(), True
        except http.client.IncompleteRead as incomplete:
            data, whole = incomplete.partial, False
        return Answer(response.status, response.getheaders(), data, whole)
    finally:
        connection.close()


def send_and_leave(port: int, path: str) -> socket.socket:
    """Send a request and return the socket, for the caller to close when it likes."""
    client = socket.create_connection(("127.0.0.1", port), timeout=60)
    client.sendall(
        b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}" % path.encode("ascii")
    )
    return client


def exchange(port: int, sent: bytes) -> bytes:
    """Send raw bytes and read until the connection ends."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.sendall(sent)
        received = b""
        while data := client.recv(65536):
            received += data
        return received
