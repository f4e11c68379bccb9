"""Bodies in the database: encoded against what is known already, read back, let go of.

What a body is encoded with, the first that pays: the call before it in its group (a conversation
sent again with each turn), a dictionary of what recurs in the store, nothing. Runs of base64 are
stored once whatever they stand in. storage.packing has the codecs, storage.dictionary the training.

Only calls of one group are encoded against one another, and only against calls this process has
written: after a restart each conversation is written whole once more. Memory: CHAINS_BYTES_MAX for
those calls, CACHE_BYTES_MAX for each reader, and what storage.dictionary keeps of samples.

A base or a part may be erased by another process while it is needed here. So `rows`, inside the
writing transaction, makes sure that they are there, and holds off who would erase them; a body
whose base has gone is encoded without.
"""

import logging
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, NamedTuple

import msgspec
import zstandard
from sqlalchemy import URL, Connection, delete, exists, func, select, update

from storage.capture import Capture
from storage.database import among, insert_new, insert_rows
from storage.dictionary import Dictionary, Sampler, dictionary_of, train
from storage.filling import fill_order
from storage.packing import (
    CHAIN_MAX,
    CODEC_BASED,
    CODEC_PACKED,
    CODEC_RAW,
    CODEC_ZSTD,
    DEPTH_MAX,
    ZSTD_LEVEL,
    base_of,
    bases_of,
    compress_against,
    compress_large,
    compress_part,
    decompress_against,
    decompress_part,
    is_large,
    pack,
    unpack,
    unpack_first,
)
from storage.reservation import IN_MAX
from storage.rows import Recorded, Values
from storage.schema import body, body_part, dictionary, part

log = logging.getLogger(__name__)

# For 2,000 open conversations half of it is too little: bodies take 1,389 bytes instead of 1,254.
CHAINS_BYTES_MAX: Final = 64 * 2**20
# Of single short calls 64 MB would be 60,000, and few of them are ever gone on with.
CHAINS_MAX: Final = 16_000
# Ids, keys and objects around the bytes of a call; with short bodies they are most of it.
_ENTRY_BYTES: Final = 700
BASE_BYTES_MAX: Final = 2 * 2**20  # a longer body is no base: it would push out all others
CACHE_BYTES_MAX: Final = 32 * 2**20
# A body that shrinks to less than this share against its base needs no second try without one: of
# 4,400 realistic ones between an eighth and this, five came out smaller without.
GOOD_RATIO: Final = 0.3
CONTENTS_MAX: Final = 16  # of dictionaries, 112 KB each, that a process remembers
_contents: dict[tuple[URL, int], bytes] = {}
_LOCK: Final = 0x7368616C74  # "shalt": any number that nobody else in the database takes
_ROW_BYTES: Final = 39  # of a row of `body` in SQLite beside what is encoded: id, codec, header


class Encoded(msgspec.Struct):
    """A body ready to be written; `base_id` is empty where it needs none."""

    call_id: str
    codec: int
    data: bytes
    base_id: str
    packed: bytes
    parts: dict[bytes, bytes]


class BodyRows(NamedTuple):
    """The rows of some bodies, table by table, in the order in which they must be written."""

    dictionaries: list[Values]
    bodies: list[Values]
    body_bytes: list[int]  # of each row of `bodies`, in SQLite
    parts: list[Values]
    body_parts: list[Values]


class _Chain(msgspec.Struct):
    """The last call of a group that was written, and those before it that its next ones need."""

    position: int
    packed: dict[int, tuple[str, bytes]]  # position -> call id, Packed
    size: int  # of all Packed together, and of what is around them


class BodyWriter:
    """Encodes the bodies of one process, in the order in which they are stored."""

    def __init__(self) -> None:
        self._plain = zstandard.ZstdCompressor(level=ZSTD_LEVEL)
        self._chains: OrderedDict[tuple[str, str], _Chain] = OrderedDict()
        self._chains_bytes = 0
        self._sampler = Sampler()
        self._training: Future[Dictionary | None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="dictionary")
        self._dictionary: Dictionary | None = None
        self._unstored: Dictionary | None = None  # trained, and not in the database yet
        self.loaded = False

    def load(self, connection: Connection) -> None:
        """Read the newest dictionary. Scans a row for each; there are a handful."""
        newest = select(dictionary.c.content).order_by(dictionary.c.created_at.desc()).limit(1)
        content = connection.scalar(newest)
        self._dictionary = Dictionary(content) if content is not None else None
        self.loaded = True

    def encode(self, calls: Sequence[Recorded]) -> dict[str, Encoded]:
        """Encode bodies, by call id. Takes longer than all else: do it before any lock."""
        self._take_trained()
        large = {each.span.id: self._encode_large(each) for each in calls if is_large(each.capture)}
        calls = [each for each in calls if each.span.id not in large]
        # One step for all of them, then the next: zstd drives all else out of the nearest cache.
        bodies = [pack(each.capture, each.encoded) for each in calls]
        for each, (packed, _) in zip(calls, bodies, strict=True):
            self._sampler.add(each.span.project, each.group.id, each.span.user_id, packed)
        encoded = [self._encode(each, *body) for each, body in zip(calls, bodies, strict=True)]
        return large | {each.call_id: each for each in encoded}

    def rows(self, connection: Connection, encoded: Sequence[Encoded], now_us: int) -> BodyRows:
        """Make the rows of some bodies, in the transaction that will write them."""
        rows = BodyRows([], [], [], [], [])
        if self._unstored is not None:
            content = self._unstored.content
            rows.dictionaries.append(
                {"id": self._unstored.id, "created_at": now_us, "content": content}
            )
        if any(each.base_id or each.parts for each in encoded):
            _hold(connection, erasing=False)
            self._replace_missing_bases(connection, encoded)
        contents = {digest: data for each in encoded for digest, data in each.parts.items()}
        for digest in sorted(contents.keys() - _existing_parts(connection, contents)):
            codec, content = compress_part(contents[digest])
            rows.parts.append({"hash": digest.hex(), "codec": codec, "content": content})
        for each in encoded:
            values: Values = {"call_id": each.call_id, "codec": each.codec, "capture": each.data}
            rows.bodies.append(values | {"base_id": each.base_id or None})
            rows.body_bytes.append(len(each.data) + len(each.base_id) + _ROW_BYTES)
            for digest in each.parts:
                rows.body_parts.append({"call_id": each.call_id, "hash": digest.hex()})
        return rows

    def committed(self) -> None:
        """Take note that the rows are in the store."""
        self._unstored = None

    def failed(self) -> None:
        """Forget the calls of a transaction that failed: nothing may be encoded against them."""
        self._chains.clear()
        self._chains_bytes = 0

    def _encode(self, call: Recorded, packed: bytes, parts: dict[bytes, bytes]) -> Encoded:
        call_id, key = call.span.id, (call.span.project, call.group.id)
        chain = self._chains.get(key)
        base_id, data, codec = "", b"", CODEC_PACKED
        position = 0
        if chain is not None and chain.position + 1 < CHAIN_MAX:
            position = chain.position + 1
            base_id, base = chain.packed[base_of(position)]
            data, codec = compress_against(base, packed), CODEC_BASED
        if not base_id or len(data) > len(packed) * GOOD_RATIO:
            alone = self._alone(packed)
            if not base_id or len(alone) <= len(data):
                base_id, data, codec, position = "", alone, CODEC_PACKED, 0
        self._extend(key, position, call_id, packed)
        return Encoded(call_id, codec, data, base_id, packed, parts)

    def _encode_large(self, call: Recorded) -> Encoded:
        """Encode a call that serves no other as a base, nor as a sample."""
        data, parts = compress_large(call.capture, self._plain)
        return Encoded(call.span.id, CODEC_PACKED, data, "", b"", parts)

    def _alone(self, packed: bytes) -> bytes:
        return (self._dictionary or self._plain).compress(packed)

    def _extend(self, key: tuple[str, str], position: int, call_id: str, packed: bytes) -> None:
        """Put a call at the end of its chain; at position 0 it begins a new one."""
        known = self._chains.pop(key, None)
        if known is not None:
            self._chains_bytes -= known.size
        if len(packed) > BASE_BYTES_MAX:
            return
        needed = set(bases_of(position))
        kept = known.packed if known is not None else {}
        staying = {at: each for at, each in kept.items() if at in needed}
        staying[position] = (call_id, packed)
        size = sum([len(each) + _ENTRY_BYTES for _, each in staying.values()])
        self._chains[key] = _Chain(position, staying, size)
        self._chains_bytes += size
        while self._chains_bytes > CHAINS_BYTES_MAX or len(self._chains) > CHAINS_MAX:
            _, oldest = self._chains.popitem(last=False)
            self._chains_bytes -= oldest.size

    def _replace_missing_bases(self, connection: Connection, encoded: Sequence[Encoded]) -> None:
        """Encode without a base what has lost it. Primary key."""
        here = {each.call_id for each in encoded}
        needed = sorted({each.base_id for each in encoded if each.base_id} - here)
        stored = select(body.c.call_id).where(among(connection, body.c.call_id, needed))
        there = here.union(connection.scalars(stored)) if needed else here
        for each in encoded:
            if each.base_id and each.base_id not in there:
                each.base_id, each.codec = "", CODEC_PACKED
                each.data = self._alone(each.packed)

    def _take_trained(self) -> None:
        """Use a dictionary that has been trained meanwhile; train one when there is enough."""
        if self._training is not None and self._training.done():
            trained, self._training = self._training.result(), None
            if trained is not None:
                log.info("dictionary trained id=%d bytes=%d", trained.id, len(trained.content))
                self._dictionary = self._unstored = trained
        if self._training is None and (samples := self._sampler.take()) is not None:
            self._training = self._thread.submit(train, samples, self._dictionary)


class BodyReader:
    """Reads bodies through one connection, each base once as long as it is remembered."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._decompressor = zstandard.ZstdDecompressor()
        self._dictionaries: dict[int, Dictionary] = {}
        self._stored: dict[str, tuple[int, bytes, str | None]] = {}
        self._packed: OrderedDict[str, bytes] = OrderedDict()
        self._packed_bytes = 0

    def captures(self, call_ids: Sequence[str]) -> Iterator[tuple[str, Capture]]:
        """Yield the captures of some calls in that order; calls without a body are left out.

        Primary keys: a query for all, one more for each level of bases, one for a call's parts.
        """
        self._stored = {}
        self.load(call_ids)
        for call_id in call_ids:
            if call_id in self._stored:
                yield call_id, self._capture(call_id)

    def packed(self, call_id: str) -> bytes:
        """Return the Packed of a call that `captures` or `load` has read."""
        known = self._packed.get(call_id)
        if known is not None:
            self._packed.move_to_end(call_id)
            return known
        codec, data, base_id = self._stored[call_id]
        if codec == CODEC_BASED:
            assert base_id is not None, f"the body of {call_id} names none that it needs"
            packed = decompress_against(self.packed(base_id), data, self._decompressor)
        elif number := dictionary_of(data):
            packed = self._dictionary(number).decompress(data)
        else:
            packed = self._decompressor.decompress(data)
        self._remember(call_id, packed)
        return packed

    def _capture(self, call_id: str) -> Capture:
        codec, data, _ = self._stored[call_id]
        if codec in (CODEC_RAW, CODEC_ZSTD):
            return unpack_first(codec, data)
        packed = self.packed(call_id)
        return unpack(packed, self._parts)

    def load(self, call_ids: Iterable[str]) -> None:
        """Read what `packed` needs for some calls."""
        wanted = [each for each in call_ids if each not in self._stored]
        for _ in range(DEPTH_MAX + 1):
            bases: set[str] = set()
            for ids in _slices(wanted):
                query = select(body.c.call_id, body.c.codec, body.c.capture, body.c.base_id)
                these = among(self._connection, body.c.call_id, ids)
                # All at once: row by row the driver is asked for each.
                found = self._connection.execute(query.where(these)).all()
                for call_id, codec, data, base_id in found:
                    self._stored[call_id] = (codec, data, base_id)
                    if base_id is not None and base_id not in self._packed:
                        bases.add(base_id)
            wanted = sorted(bases - self._stored.keys())
            if not wanted:
                return
        raise AssertionError(f"a chain of bodies is longer than {DEPTH_MAX}: {wanted[:3]}")

    def _remember(self, call_id: str, packed: bytes) -> None:
        self._packed[call_id] = packed
        self._packed_bytes += len(packed)
        while self._packed_bytes > CACHE_BYTES_MAX and len(self._packed) > DEPTH_MAX:
            _, oldest = self._packed.popitem(last=False)
            self._packed_bytes -= len(oldest)

    def _dictionary(self, number: int) -> Dictionary:
        known = self._dictionaries.get(number)
        if known is None:
            known = self._dictionaries[number] = Dictionary(self._content(number))
        return known

    def _content(self, number: int) -> bytes:
        """Read a dictionary, once in the life of this process: it is never changed. Primary key."""
        key = (self._connection.engine.url, number)
        content = _contents.get(key)
        if content is None:
            query = select(dictionary.c.content).where(dictionary.c.id == number)
            if len(_contents) >= CONTENTS_MAX:
                _contents.clear()
            content = _contents[key] = self._connection.execute(query).scalar_one()
        return content

    def _parts(self, hashes: Sequence[bytes]) -> Mapping[bytes, bytes]:
        parts: dict[bytes, bytes] = {}
        for names in _slices([digest.hex() for digest in hashes]):
            query = select(part.c.hash, part.c.codec, part.c.content).where(part.c.hash.in_(names))
            for name, codec, content in self._connection.execute(query):
                parts[bytes.fromhex(name)] = decompress_part(codec, content)
        return parts


def release(connection: Connection, call_ids: Sequence[str]) -> None:
    """Remove the bodies of some calls, and what only they needed; calls without one do not matter.

    Bodies that were encoded against them are written anew. Give as many ids as fit in memory with
    their bodies. Primary keys, and the indexes on base_id and hash.
    """
    _hold(connection, erasing=True)
    for ids in _slices(call_ids):
        _free_dependants(connection, ids, set(call_ids))
    hashes: set[str] = set()
    for ids in _slices(call_ids):
        query = select(body_part.c.hash).where(among(connection, body_part.c.call_id, ids))
        found = set(connection.scalars(query))
        if found:
            hashes |= found
            of_these = among(connection, body_part.c.call_id, ids)
            connection.execute(delete(body_part).where(of_these))
    for ids in _slices(call_ids):
        connection.execute(delete(body).where(among(connection, body.c.call_id, ids)))
    for names in _slices(sorted(hashes)):
        used = exists().where(body_part.c.hash == part.c.hash)
        connection.execute(delete(part).where(part.c.hash.in_(names), ~used))


def write(connection: Connection, rows: BodyRows) -> None:
    """Insert the rows, passing over dictionaries and parts that are there."""
    for target, values in ((dictionary, rows.dictionaries), (part, rows.parts)):
        if values:
            connection.execute(insert_new(connection, target), values)
    bodies = rows.bodies
    if connection.dialect.name == "sqlite":  # PostgreSQL looks for a page that has room
        bodies = [bodies[place] for place in fill_order(rows.body_bytes)]
    insert_rows(connection, body, bodies)
    insert_rows(connection, body_part, rows.body_parts)


def _free_dependants(connection: Connection, ids: Sequence[str], going: set[str]) -> None:
    """Write without a base the bodies that stay and whose base goes."""
    query = select(body.c.call_id).where(among(connection, body.c.base_id, ids))
    staying = [each for each in connection.scalars(query) if each not in going]
    if not staying:
        return
    reader = BodyReader(connection)
    reader.load(staying)
    for call_id in staying:
        alone = zstandard.compress(reader.packed(call_id), ZSTD_LEVEL)
        values = {"codec": CODEC_PACKED, "capture": alone, "base_id": None}
        connection.execute(update(body).where(body.c.call_id == call_id).values(values))


def _hold(connection: Connection, *, erasing: bool) -> None:
    """Keep those who erase bodies and those who refer to them apart, until the transaction ends.

    SQLite has one writer at a time anyway.
    """
    if connection.dialect.name == "postgresql":
        lock = func.pg_advisory_xact_lock if erasing else func.pg_advisory_xact_lock_shared
        connection.execute(select(lock(_LOCK)))


def _existing_parts(connection: Connection, digests: Iterable[bytes]) -> set[bytes]:
    """Say which parts are stored already. Primary key."""
    found: set[bytes] = set()
    for names in _slices([digest.hex() for digest in digests]):
        query = select(part.c.hash).where(part.c.hash.in_(names))
        found.update(map(bytes.fromhex, connection.scalars(query)))
    return found


def _slices(values: Sequence[str]) -> Iterator[Sequence[str]]:
    return (values[start : start + IN_MAX] for start in range(0, len(values), IN_MAX))
