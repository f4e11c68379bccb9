"""A real browser, driven over its remote interface (the DevTools protocol, one tab).

Source: https://chromedevtools.github.io/devtools-protocol/. What a page says that it should not
(dialogs, errors, breaches of its policy, requests that leave the site) is kept for the tests.
"""

import itertools
import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.relaying import wait_until

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
WAIT_SECONDS = 60.0  # longest wait for the browser to answer, or for a condition in a page
MESSAGE_BYTES_MAX = 64 * 2**20

_KEYS = {"Enter": 13, "Escape": 27, "Tab": 9}


def find() -> str | None:
    """Say where a browser is, None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Tab:
    """One page in the browser."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)
        self.complaints: list[str] = []
        self.requested: list[str] = []
        self._loaded = 0
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **params: object) -> dict[str, Any]:
        """Send a command and wait for its answer; what happens meanwhile is taken note of."""
        number = next(self._numbers)
        self._connection.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = self._receive()
            if message.get("id") == number:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result

    def open(self, url: str) -> None:
        """Go to a page and wait until it is loaded."""
        self.loads(lambda: self.ask("Page.navigate", url=url))

    def loads(self, act: Callable[[], object]) -> None:
        """Do something that leads to another page, and wait until that is loaded."""
        before = self._loaded
        act()
        deadline = time.monotonic() + WAIT_SECONDS
        while self._loaded == before:
            assert time.monotonic() < deadline, "no page was loaded"
            self._receive()

    def value(self, expression: str) -> Any:
        """Evaluate an expression in the page."""
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def press(self, *keys: str) -> None:
        """Press keys one after the other, as a person does."""
        for key in keys:
            code = _KEYS.get(key, ord(key[0].upper()) if key.isalnum() else 0)
            text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
            self.ask("Input.dispatchKeyEvent", type="keyDown", key=key, text=text,
                     windowsVirtualKeyCode=code)  # fmt: skip
            self.ask("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def size(self, width: int, height: int = 900) -> None:
        """Give the page a window of so many pixels."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height,
                 deviceScaleFactor=1, mobile=False)  # fmt: skip

    def _receive(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self._connection.recv(WAIT_SECONDS))
        params = message.get("params", {})
        match message.get("method"):
            case "Page.loadEventFired":
                self._loaded += 1
            case "Page.javascriptDialogOpening":
                self.complaints.append(f"a dialog: {params['message']}")
                number = next(self._numbers)
                dismissal = {"id": number, "method": "Page.handleJavaScriptDialog"}
                self._connection.send(json.dumps({**dismissal, "params": {"accept": False}}))
            case "Log.entryAdded":
                self.complaints.append(params["entry"]["text"])
            case "Runtime.exceptionThrown":
                self.complaints.append(str(params["exceptionDetails"]))
            case "Network.requestWillBeSent":
                self.requested.append(params["request"]["url"])
        return message


@contextmanager
def running_browser(executable: str, directory: Path) -> Iterator[Tab]:
    """Start a browser with a profile of its own in a directory; end it."""
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []  # which it does not offer to root
    process = subprocess.Popen(
        [
            executable, "--headless=new", "--remote-debugging-port=0", "--disable-gpu",
            "--no-first-run", "--disable-background-networking", "--disable-dev-shm-usage",
            "--disable-component-update", *sandbox, f"--user-data-dir={directory}", "about:blank",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        told = directory / "DevToolsActivePort"
        wait_until(lambda: told.exists() and told.read_text().count("\n") == 1)
        port = told.read_text().partition("\n")[0]
        new = urllib.request.Request(f"http://127.0.0.1:{port}/json/new?about:blank", method="PUT")
        with urllib.request.urlopen(new, timeout=WAIT_SECONDS) as answer:
            url = json.load(answer)["webSocketDebuggerUrl"]
        with connect(url, max_size=MESSAGE_BYTES_MAX, compression=None, proxy=None) as connection:
            yield Tab(connection)
    finally:
        process.terminate()
        process.wait(WAIT_SECONDS)


# Lists the texts of a page that do not stand out: WCAG 2.2, 1.4.3.
CONTRAST = """(() => {
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = parts(colour).map((v) => v / 255).map(
      (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (parts(colour).length === 3) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const weak = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility()) continue;
    if (element.closest("svg, option")) continue;
    const style = getComputedStyle(element);
    const [a, b] = [light(style.color), light(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) weak.add(`${element.tagName}.${element.className} ${ratio.toFixed(2)}`);
  }
  return [...weak];
})()"""
