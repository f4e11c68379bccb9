"""What bodies have in common, found for zstd to know beforehand: sampling and training.

System prompts, tools, headers and the words of JSON recur from call to call. A dictionary holds
nothing that is one user's: it is trained only on pieces of text, between quotes, line ends and
punctuation, that were seen with at least OWNERS_MIN users, or groups where a call names no user.
(Trained on everything it would save another 20 %, and could never forget.)

A zstd frame names its dictionary by number; the number is made of the content. Dictionaries are
never changed, and stay as long as the store. Training 2,000 bodies takes about two seconds of a
core, which it gives back in between; it is meant for a thread.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import chain, repeat
from typing import Final, NamedTuple

import zstandard

from storage.packing import ZSTD_LEVEL

DICTIONARY_BYTES: Final = 112 * 2**10
OWNERS_MIN: Final = 20
SAMPLES_MIN: Final = 1_000  # groups; with fewer, what recurs has not recurred often enough
SAMPLES_MAX: Final = 3_000  # the newest of each group
SAMPLE_BYTES_MAX: Final = 12 * 2**10  # of one body: 36 MB of samples at most
CALLS_BETWEEN_MAX: Final = 256_000  # from one training to the next, once there have been some
GAIN_MIN: Final = 0.05  # a new dictionary must save so much over the one in use

_MARKS: Final = b'"\\\n.,:;{}'
_AS_ONE_MARK: Final = bytes.maketrans(_MARKS, _MARKS[:1] * len(_MARKS))
_NO_MARKS: Final = bytes(code for code in range(256) if code not in _MARKS)


class Dictionary:
    """A trained dictionary: its number and content, and ready to use."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.known = zstandard.ZstdCompressionDict(content)
        self.id = self.known.dict_id()
        self._compressor: zstandard.ZstdCompressor | None = None
        self._decompressor = zstandard.ZstdDecompressor(dict_data=self.known)

    def compress(self, packed: bytes) -> bytes:
        """Compress with it; the frame names it."""
        if self._compressor is None:
            self.known.precompute_compress(level=ZSTD_LEVEL)
            self._compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL, dict_data=self.known)
        return self._compressor.compress(packed)

    def decompress(self, data: bytes) -> bytes:
        """Decompress a frame that names it."""
        return self._decompressor.decompress(data)


def dictionary_of(data: bytes) -> int:
    """Say which dictionary a zstd frame names; 0 for none."""
    return zstandard.get_frame_parameters(data).dict_id


class Sample(NamedTuple):
    """A body to train on, and whose words it holds: a project's user, or group."""

    owner: tuple[str, str]
    packed: bytes


class Sampler:
    """Keeps a body of each of the last groups that were seen, and says when to train on them."""

    def __init__(self) -> None:
        self._samples: dict[tuple[str, str], Sample] = {}
        self._seen = 0
        self._wanted = SAMPLES_MIN

    def add(self, project: str, group_id: str, user_id: str, packed: bytes) -> None:
        """Remember a body: the newest of each group counts."""
        self._seen += 1
        if len(packed) > SAMPLE_BYTES_MAX:
            return
        self._samples.pop((project, group_id), None)
        self._samples[project, group_id] = Sample((project, user_id or group_id), packed)
        if len(self._samples) > SAMPLES_MAX:
            del self._samples[next(iter(self._samples))]

    def take(self) -> list[Sample] | None:
        """Return the samples if it is time to train, which is ever more seldom."""
        if self._seen < self._wanted or len(self._samples) < SAMPLES_MIN:
            return None
        self._seen = 0
        self._wanted = min(4 * self._wanted, CALLS_BETWEEN_MAX)
        return list(self._samples.values())


def train(samples: Sequence[Sample], current: Dictionary | None) -> Dictionary | None:
    """Train a dictionary on bodies of different groups; None where it would not pay.

    It is judged on the last fifth of the samples, which it has not seen. Safe in a thread: what
    it needs of `current` is its content.
    """
    if current is not None:
        current = Dictionary(current.content)
    held_out = [sample.packed for sample in samples[len(samples) * 4 // 5 :]]
    common = _common_pieces(samples[: len(samples) * 4 // 5])
    if not any(common):
        return None
    try:
        content = zstandard.train_dictionary(
            DICTIONARY_BYTES, common, level=ZSTD_LEVEL, dict_id=_number_of(common)
        ).as_bytes()
    except zstandard.ZstdError:  # too little that recurs
        return None
    trained = Dictionary(content)
    plain = zstandard.ZstdCompressor(level=ZSTD_LEVEL)
    before = sum(len((current or plain).compress(sample)) for sample in held_out)
    after = sum(len(trained.compress(sample)) for sample in held_out)
    return trained if after < before * (1 - GAIN_MIN) else None


def _common_pieces(samples: Sequence[Sample]) -> list[bytes | bytearray | memoryview]:
    """Leave of each body the pieces that many users have: texts, and the marks between them."""
    owned: defaultdict[tuple[str, str], list[bytes]] = defaultdict(list)
    for sample in samples:
        owned[sample.owner].append(sample.packed)
    # An owner at a time, so that a piece needs a count and not a set of those who have it.
    texts: Counter[bytes] = Counter()
    marks: Counter[int] = Counter()
    for bodies in owned.values():
        texts.update(set(chain.from_iterable(map(_texts, bodies))))
        marks.update(set(chain.from_iterable(map(_marks, bodies))))
    common = {text: text for text, count in texts.items() if count >= OWNERS_MIN}
    common_marks = {mark: bytes((mark,)) for mark, count in marks.items() if count >= OWNERS_MIN}
    return [_only(sample.packed, common, common_marks) for sample in samples]


def _only(packed: bytes, texts: Mapping[bytes, bytes], marks: Mapping[int, bytes]) -> bytes:
    """Leave of a body these texts and marks, in their order."""
    found, between = _texts(packed), _marks(packed)
    pieces = [b""] * (len(found) + len(between))
    pieces[::2] = map(texts.get, found, repeat(b""))
    pieces[1::2] = map(marks.get, between, repeat(b""))
    return b"".join(pieces)


def _texts(packed: bytes) -> list[bytes]:
    """Split a body at its marks, in half of the time that a pattern takes."""
    return packed.translate(_AS_ONE_MARK).split(_MARKS[:1])


def _marks(packed: bytes) -> bytes:
    """Leave of a body its marks: one between two of its texts."""
    return packed.translate(None, _NO_MARKS)


def _number_of(samples: Sequence[bytes | bytearray | memoryview]) -> int:
    """Make a number zstd allows for private dictionaries: 32,768 to 2**31 - 1."""
    digest = hashlib.sha256(b"\0".join(samples)).digest()
    return 32_768 + int.from_bytes(digest[:4], "big") % (2**31 - 32_768)
