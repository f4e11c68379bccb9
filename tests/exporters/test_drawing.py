"""What is drawn apart costs the asking process nothing that stays, and may fail without it."""

import subprocess
import sys

import pytest

from exporters import drawing
from exporters.drawing import NotDrawn, draw_apart
from exporters.report_drawing import Drawing, Wanted
from tests.serving import ROOT


def test_what_draws_is_not_loaded_by_who_asks() -> None:
    heavy = "{'numpy', 'scipy', 'altair', 'vl_convert', 'pyarrow'}"
    code = f"import sys, shalt.console; assert not {heavy} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_a_drawing_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "DRAWING_SECONDS_MAX", 0.01)
    with pytest.raises(NotDrawn, match="longer than"):
        draw_apart("exporters.report_drawing", Wanted(b"{}", ""), Drawing)


def test_a_process_that_fails_is_no_drawing() -> None:
    with pytest.raises(NotDrawn, match="failed"):
        draw_apart("exporters.no_such_module", Wanted(b"{}", ""), Drawing)
