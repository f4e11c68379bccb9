"""Tests of shalt.child."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from shalt.child import Orders
from shalt.settings import load
from tests.serving import ROOT

SCRIPT = (
    "import sys, time; from shalt.child import receive_orders;"
    "print(receive_orders(int(sys.argv[1]), 'x').settings.port, flush=True); time.sleep(60)"
)


def test_a_child_gets_its_orders_and_leaves_with_its_parent(tmp_path: Path) -> None:
    theirs, ours = os.pipe()
    child = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(theirs)],
        pass_fds=(theirs,),
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    os.close(theirs)
    orders = Orders(settings=load(port=1234, data_dir=tmp_path), console_socket=tmp_path / "s")
    os.write(ours, orders.model_dump_json(round_trip=True).encode() + b"\n")
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"1234\n"
        os.close(ours)
        assert child.wait(60) == -signal.SIGTERM


def test_orders_carry_every_setting_over(tmp_path: Path) -> None:
    settings = load(
        data_dir=tmp_path,
        upstream="http://127.0.0.1:1/v1",
        group_by="user,root",
        body_bytes_max=7,
    )
    orders = Orders(settings=settings, console_socket=tmp_path / "s", listen_fd=3)
    again = Orders.model_validate_json(orders.model_dump_json(round_trip=True))
    assert again.model_dump() == orders.model_dump()
