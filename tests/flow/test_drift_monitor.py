"""The case that drift is for, from the first call to the page: a model trained on 2023, in 2024.

An application extracts fields from call logs, through a real shalt; its model always answers 2023.
What was recorded becomes a training set and the reference of a monitor. Then part of the logs says
2024: a real Prometheus that scrapes shalt fires the alert that we ship, the report names 2024, the
command that it suggests exports the calls to add, and a monitor against the training set with those
calls in it is quiet.
"""

import http.client
import json
import re
import shlex
import shutil
import subprocess
import threading
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest
import yaml

from exporters.dataset import export
from exporters.drift import DriftReport
from exporters.request import ExportRequest
from shalt.recording import open_store
from shalt.settings import Settings
from storage.drift_reports import find_drift_report
from tests.client import request
from tests.monitored import SYSTEM, call_log
from tests.ports import free_port
from tests.relaying import Found, wait_until
from tests.serving import ROOT, Shalt, run_shalt, running_shalt

DEPLOY = ROOT / "deploy"
OLD_CALLS = 300
LIVE_CALLS = 500
# The training set has, with the calls that are added, as large a share of 2024 as the traffic.
NEW_YEAR_RATIO = 0.4
assert OLD_CALLS == LIVE_CALLS * (1 - NEW_YEAR_RATIO)


class Model(BaseHTTPRequestHandler):
    """A model that was trained on 2023: it finds month and day, and the year is always that."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        date = re.search(r"\d{4}-(\d\d-\d\d)", asked["messages"][-1]["content"])
        assert date is not None
        answer = {"role": "assistant", "content": json.dumps({"date": f"2023-{date[1]}"})}
        choice = {"index": 0, "message": answer, "finish_reason": "stop"}
        body = json.dumps({"id": "chatcmpl-1", "model": "tiny-1-0613", "choices": [choice]})
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def running_model() -> Iterator[str]:
    """Serve the model; yield its base URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def send(shalt: Shalt, period: str, logs: Iterable[tuple[int, int]]) -> int:
    """Send call logs (number and year), each a session of its own; return how many."""
    connection = http.client.HTTPConnection("127.0.0.1", shalt.port, timeout=60)
    count = 0
    for number, year in logs:
        asked, _ = call_log(number, year)
        messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": asked}]
        headers = {
            "content-type": "application/json",
            "x-shalt-session": f"log-{number}",
            "x-shalt-tag-period": period,
        }
        body = json.dumps({"model": "tiny-1", "messages": messages})
        connection.request("POST", "/v1/chat/completions", body, headers)
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        answer.read()
        count += 1
    connection.close()
    return count


def add_monitor(shalt: Shalt, name: str, reference: Path, every: str = "1h") -> None:
    monitor = {
        "name": name,
        "reference": str(reference),
        "where": "tags['period'] = 'live'",
        "windows": ["1h"],
        "every": every,
    }
    headers = {"content-type": "application/json"}
    answer = request(shalt.port, "/api/monitors", json.dumps(monitor).encode(), headers=headers)
    assert answer.status == 201, answer.body


def remove_monitor(shalt: Shalt, name: str) -> None:
    assert request(shalt.port, f"/api/monitors/{name}", b"", "DELETE").status == 200


def window_of(shalt: Shalt, name: str) -> dict[str, object]:
    """What the only window of a monitor said last."""
    window: dict[str, object] = json.loads(shalt.get(f"/api/monitors/{name}"))["windows"][0]
    return window


def wait_for(condition: Callable[[], Found], seconds: float = 120) -> Found:
    """Wait as `wait_until` does, but ask seldom: an evaluation gives way to who asks."""
    return wait_until(condition, seconds, every_seconds=0.1)


def export_calls(shalt: Shalt, directory: Path, where: str | None = None, why: str = "") -> None:
    with closing(open_store(Settings(data_dir=shalt.data_dir))) as store:
        export(store, ExportRequest(where=where, accept_bias=why), directory)


@contextmanager
def running_prometheus(shalt: Shalt, folder: Path) -> Iterator[int]:
    """Run Prometheus with the configuration we ship, on this shalt, at each second; yield its port.

    The rules are those we ship, and ShaltDriftDetected waits for nothing.
    """
    config = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["scrape_configs"][0]["static_configs"] = [{"targets": [f"127.0.0.1:{shalt.port}"]}]
    config["rule_files"] = [str(DEPLOY / name) for name in config["rule_files"]]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    process = subprocess.Popen(
        [
            "prometheus",
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'series'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=error",
        ],
    )
    try:
        yield port
    finally:
        process.terminate()
        process.wait(60)


def firing(port: int) -> list[dict[str, str]]:
    """The labels of the alerts that Prometheus fires."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/alerts", timeout=60) as answer:
            alerts = json.load(answer)["data"]["alerts"]
    except OSError:  # it is still starting
        return []
    return [alert["labels"] for alert in alerts if alert["state"] == "firing"]


def report_of(shalt: Shalt, report_id: object) -> DriftReport:
    with closing(open_store(Settings(data_dir=shalt.data_dir))) as store:
        kept = find_drift_report(store, str(report_id))
    assert kept is not None
    return msgspec.json.decode(kept.report, type=DriftReport)


def live_logs() -> Iterator[tuple[int, int]]:
    for number in range(LIVE_CALLS):
        yield OLD_CALLS + number, 2024 if number % 5 < 5 * NEW_YEAR_RATIO else 2023


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed")
def test_the_alert_fires_the_report_names_2024_and_the_new_training_set_is_quiet(
    tmp_path: Path,
) -> None:
    with (
        running_model() as model,
        running_shalt(tmp_path / "data", model) as shalt,
        running_prometheus(shalt, tmp_path) as prometheus,
    ):
        old = send(shalt, "2023", ((number, 2023) for number in range(OLD_CALLS)))
        wait_for(lambda: shalt.status()["stored"] == old)
        export_calls(shalt, tmp_path / "calls-2023")
        add_monitor(shalt, "call-log", tmp_path / "calls-2023")
        wait_for(lambda: window_of(shalt, "call-log")["verdict"] == "insufficient")

        logs = live_logs()
        send(shalt, "live", [next(logs)])  # the first of 2024 shows before any evaluation
        unseen = 'unseen_category_ratio{feature="prompt_years",monitor="call-log",window="1h"} '
        wait_for(lambda: f"{unseen}1.0" in shalt.get("/metrics").decode())
        send(shalt, "live", logs)
        wait_for(lambda: shalt.status()["stored"] == old + LIVE_CALLS)
        remove_monitor(shalt, "call-log")  # another one of its name is evaluated at once
        add_monitor(shalt, "call-log", tmp_path / "calls-2023", every="2h")
        found = wait_for(lambda: complete(shalt, "call-log"))
        labels = {"alertname": "ShaltDriftDetected", "monitor": "call-log", "window": "1h"}
        fired = wait_for(
            lambda: [each for each in firing(prometheus) if labels.items() <= each.items()]
        )
        assert fired[0]["severity"] == "ticket"
        remove_monitor(shalt, "call-log")
        report = report_of(shalt, found["report"])
        finding = next(
            each
            for each in report.findings
            if each.feature == "prompt_years" and each.value == "2024"
        )
        assert finding.drift
        assert finding.current == pytest.approx(NEW_YEAR_RATIO, abs=0.01)
        assert finding.action is not None
        assert finding.action.calls > 0

        words = shlex.split(finding.action.command)
        ran = run_shalt(*words[1:], folder=tmp_path)
        assert (words[0], ran.returncode) == ("shalt", 0), ran.stdout + ran.stderr
        selection = (tmp_path / words[2] / "train.jsonl").read_text()
        assert selection.count("\n") == len(re.findall(r"content\": ?\"2024-", selection)) > 100

        both = f"tags['period'] = '2023' or ({words[words.index('--where') + 1]})"
        why = words[words.index("--accept-bias") + 1]
        export_calls(shalt, tmp_path / "calls-2024", both, why)
        add_monitor(shalt, "new", tmp_path / "calls-2024")
        quiet = wait_for(lambda: complete(shalt, "new"))
        assert quiet["verdict"] == "quiet", quiet["why"]


def complete(shalt: Shalt, name: str) -> dict[str, object]:
    """What a monitor said of all the traffic; empty until it has."""
    window = window_of(shalt, name)
    return window if window["current_groups"] == LIVE_CALLS else {}
