"""Characters of a text that are not seen, or that act on the text around them.

Instructions to a model hide in them, control sequences act on the terminal of who reads, and marks
of direction make a line read as other than it is. Whoever shows what a call says, on a page or at a
terminal, shows these by their escapes, which is done here so that both agree:

    C0 but for tab and line feed, DEL, C1    control characters
    00AD 200B 2060-206F FEFF                 soft hyphen, zero-width space, invisible operators
    2028-202E                                line ends, marks of direction that reach beyond
    180E 3164 FFA0                           letters that are blank
    D800-DFFF                                lone surrogates: no output can encode them
    E0000-E0FFF                              tags, and variation selectors for rare forms
    FE00-FE0F behind one another             a picture has one of them, a hidden text many

Left as they are: the joiners (200C, 200D), which Persian and pictures need, and the marks of
direction that reach no further than themselves (200E, 200F).
"""

import re
from typing import Final

INVISIBLE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u180e\u200b\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0"
    "\ud800-\udfff\U000e0000-\U000e0fff]|(?<=[\ufe00-\ufe0f])[\ufe00-\ufe0f]"
)


def made_visible(text: str) -> str:
    """Show each such character as Python writes it: `\\x1b`, `\\u202e`, `\\U000e0041`."""
    return INVISIBLE.sub(lambda found: ascii(found[0])[1:-1], text)
