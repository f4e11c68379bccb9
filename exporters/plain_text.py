"""Lines and bars of a report for a person at a terminal: text, no colours.

Apart from the reports, because one that is a few lines of a dataset's card needs nothing of drift,
whose statistics take 40 MB and half a second to load.
"""

import textwrap

WIDTH_MIN = 40
BAR_WIDTH = 20
_EIGHTHS = ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")


def bar(share: float) -> str:
    """Draw a share, 0..1, in eighths of a character; what is not nought shows at least one."""
    eighths = round(share * BAR_WIDTH * 8)
    if share > 0:
        eighths = max(1, eighths)
    whole, rest = divmod(eighths, 8)
    return ("█" * whole + _EIGHTHS[rest]).ljust(BAR_WIDTH, "·")


def wrapped(text: str, width: int) -> list[str]:
    """Break a text into lines at words; what follows the first is indented like it."""
    indent = " " * (len(text) - len(text.lstrip()))
    return textwrap.wrap(
        text.strip(),
        width,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
