"""What is drawn for a page, drawn by a process of its own, which ends with its answer.

What draws charts and what knows the statistics take 170 MB and a second to load. A console that
shows a chart now and then would keep that for good, so a process of its own draws: `draw_apart`
starts a module of this package, hands over what is wanted and takes what comes back;
`answer_apart` is what that module does. Both sides speak JSON of a Struct each.

Limits: DRAWING_SECONDS_MAX for one; its memory goes back to the machine with it.
"""

import logging
import subprocess
import sys
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

log = logging.getLogger(__name__)

DRAWING_SECONDS_MAX: Final = 60.0  # of a machine that is busy; an idle one takes two

Wanted = TypeVar("Wanted", bound=msgspec.Struct)
Drawn = TypeVar("Drawn", bound=msgspec.Struct)


class NotDrawn(Exception):
    """Something could not be drawn; the message says why."""


def draw_apart(module: str, wanted: msgspec.Struct, drawn: type[Drawn]) -> Drawn:
    """Have a module draw in a process of its own. Raise NotDrawn where that dies or takes too long.

    `drawn` is the type of what comes back.
    """
    try:
        run = subprocess.run(
            [sys.executable, "-m", module],
            input=msgspec.json.encode(wanted),
            stdout=subprocess.PIPE,
            timeout=DRAWING_SECONDS_MAX,
            check=True,
        )
        return msgspec.json.decode(run.stdout, type=drawn)
    except subprocess.TimeoutExpired:
        problem = f"drawing it took longer than {DRAWING_SECONDS_MAX:g} seconds"
    except (OSError, subprocess.CalledProcessError, msgspec.MsgspecError) as error:
        problem = f"the process that draws it failed: {error}"
    log.warning("page not drawn module=%s error=%s", module, problem)
    raise NotDrawn(problem)


def answer_apart(draw: Callable[[Wanted], msgspec.Struct], wanted: type[Wanted]) -> None:
    """Draw what is wanted on standard input, and write what came of it to standard output."""
    orders = msgspec.json.decode(sys.stdin.buffer.read(), type=wanted)
    sys.stdout.buffer.write(msgspec.json.encode(draw(orders)))
