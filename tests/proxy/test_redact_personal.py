"""Tests of proxy.redact_personal: found in every form a body has, however it is cut."""

import gzip
import json
import re
import zlib

import brotli
import pytest
import zstandard

from proxy.personal import Rule
from proxy.redact import Redactor
from proxy.redact_bodies import BodyRedactor, Strainer
from proxy.redact_frames import FrameStrainer
from proxy.redact_personal import PersonalRules
from storage.capture import Headers
from storage.frames import TEXT, MessageReader, frame_of

RULES = [Rule("email"), Rule("phone"), Rule("badge", r"\bbadge ([A-Z]{2}[0-9]{4})\b")]
BODIES = BodyRedactor(Redactor(b"key"), PersonalRules(RULES, b"key")).of("shop")
JSON: Headers = [(b"content-type", b"application/json")]
EVENTS: Headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
PLAIN: Headers = [(b"content-type", b"text/plain")]
TOKEN = re.compile(rb"<(?:email|phone|badge):[0-9a-f]{12}>")

DOCUMENT = json.dumps(
    {
        "created": 1727281234,
        "messages": [
            {"role": "user", "content": 'Ünder "quotes":\n\tbob@x.de, or +49 151 2345678\n'},
            {"role": "tool", "arguments": '{"to": "bob@x.de", "tel": 4915112345678}'},
        ],
        "user": "badge AB1234 is Bob's",
    }
).encode()


def clean(data: bytes, headers: Headers = JSON) -> bytes:
    found = BODIES.whole(data, headers)
    assert found is not None
    return found


def events(*texts: str) -> bytes:
    event = 'data: {{"id":491511234567,"choices":[{{"index":0,"delta":{{"content":{}}}}}]}}\n\n'
    return "".join(event.format(json.dumps(text)) for text in texts).encode() + b"data: [DONE]\n\n"


def strained(data: bytes, headers: Headers, pieces: list[bytes]) -> bytes:
    strainer = Strainer(BODIES, headers)
    kept = b"".join(strainer.strain(piece) for piece in pieces)
    return kept + strainer.strain(b"", last=True)


def test_values_in_strings_are_replaced_and_json_stays_what_it_was() -> None:
    before, after = json.loads(DOCUMENT), json.loads(clean(DOCUMENT))
    said = after["messages"][0]["content"]
    assert re.fullmatch(r'Ünder "quotes":\n\t<email:\w+>, or <phone:\w+>\n', said)
    assert after["created"] == before["created"], "a number is no text"
    arguments = json.loads(after["messages"][1]["arguments"])
    assert arguments["to"] in said, "one value, one token"
    assert arguments["tel"] == 4915112345678
    assert re.fullmatch(r"badge <badge:\w+> is Bob's", after["user"]), "the group is the value"


@pytest.mark.parametrize(
    "written",
    [r"bob@x.de", r"bob\u0040x.de", r"\u0062ob@x\u002Ede", r"\nbob@x.de", r"\"bob@x.de\""],
)
def test_escapes_are_respected(written: str) -> None:
    data = b'{"a": "%b", "b": 1}' % written.encode()
    found = json.loads(clean(data))
    assert found["b"] == 1
    assert found["a"].strip('\n"') == json.loads(clean(b'["bob@x.de"]'))[0]


def test_nothing_is_found_across_two_strings() -> None:
    assert BODIES.whole(b'{"a": "bob@", "x.de": "+49", "b": [151, 2345678]}', JSON) is None


def test_what_crosses_the_end_of_a_string_does_not_hide_what_is_within() -> None:
    bodies = BodyRedactor(Redactor(b"key"), PersonalRules([Rule("x", '[a-z]+[":, ]*[a-z]*')], b"k"))
    found = bodies.whole(b'{"ab":"cd"}', JSON)
    assert found is not None
    assert [*map(len, json.loads(found).popitem())] == [len("<x:0123456789ab>")] * 2


def test_a_text_that_is_no_json_is_searched_as_it_is() -> None:
    assert TOKEN.sub(b"*", clean(b'Write "Bob" <bob@x.de> or +49 151 2345678.', PLAIN)) == (
        b'Write "Bob" <*> or *.'
    )
    assert TOKEN.sub(b"*", clean(rb"it said {'a': bob\u0040x.de}", PLAIN)) == b"it said {'a': *}"
    assert BODIES.whole(b"\x00\x01 bob@x.de", PLAIN) is None, "sounds and pictures are left alone"


def test_broken_json_hides_nothing() -> None:
    for data in (b'{"a": "x", "b": "bob@x.de', b'{"a" "": "bob@x.de"}', b'{oops" bob@x.de "'):
        assert b"bob" not in clean(data)


def test_lines_of_json_in_a_form_stay_json() -> None:
    line = b'{"custom_id": "r1", "at": 4915112345678, "body": {"user": "bob\\u0040x.de"}}'
    head = b'--b\r\ncontent-disposition: form-data; name="file"; filename="batch.jsonl"\r\n\r\n'
    data = head + line + b"\n" + line + b"\r\n--b--\r\n"
    found = clean(data, [(b"content-type", b"multipart/form-data; boundary=b")])
    first, second = (json.loads(each) for each in found.split(b"\n")[3:5])
    assert first == second
    assert first["at"] == 4915112345678
    assert TOKEN.fullmatch(first["body"]["user"].encode())


@pytest.mark.parametrize(
    ("encoding", "encoded"),
    [
        (b"gzip", gzip.compress(DOCUMENT, mtime=0)),
        (b"deflate", zlib.compress(DOCUMENT)),
        (b"br", brotli.compress(DOCUMENT)),
        (b"zstd", zstandard.compress(DOCUMENT)),
    ],
    ids=["gzip", "deflate", "br", "zstd"],
)
def test_encoded_bodies_are_searched_decoded(encoding: bytes, encoded: bytes) -> None:
    headers = [*JSON, (b"content-encoding", encoding)]
    assert BODIES.whole(encoded, headers) == clean(DOCUMENT)
    assert strained(encoded, headers, [encoded[:9], encoded[9:]]) == clean(DOCUMENT)


def test_a_value_in_pieces_is_found_at_every_cut() -> None:
    for cut in range(1, len("bob@x.de")):
        data = events("mail ", "bob@x.de"[:cut], "bob@x.de"[cut:] + " now", ".")
        found = clean(data, EVENTS)
        texts = [
            json.loads(line[6:])["choices"][0]["delta"]["content"]
            for line in found.splitlines()
            if line.startswith(b"data: {")
        ]
        assert re.fullmatch(r"mail <email:\w+> now\.", "".join(texts))
        assert found.count(b'"id":491511234567') == 4


def test_the_text_that_ends_a_stream_is_not_joined_to_its_pieces() -> None:
    data = b'data: {"delta":"bob@x"}\n\ndata: {"delta":".de"}\n\ndata: {"text":"bob@x.de"}\n\n'
    first, second = TOKEN.findall(clean(data, EVENTS))
    assert first == second


LONG = ["It was said ", "that bob", "@x", ".de", " may ", "call ", "+49 1", "51 ", "23456", "78 or"]
LONG += [f" word{number}" for number in range(120)] + [" and eve@", "y.org"]


@pytest.mark.parametrize(
    ("data", "headers"),
    [
        (DOCUMENT, JSON),
        (
            json.dumps({"a": "x" * 300 + " bob@x.de " + "y" * 300, "n": 4915112345678}).encode(),
            JSON,
        ),
        (rb"Dear bob@x.de or b\u006fb\u0040x.de, " * 30 + b"+49 151 2345678", PLAIN),
        (events(*LONG), EVENTS),
        (events("nothing at all"), EVENTS),
        (b'--b\r\n\r\nof bob@x.de\r\n--b\r\n\r\n{"a": "bob@x.de"}\r\n--b--', []),
    ],
    ids=["json", "long strings", "plain", "events", "no value", "form"],
)
def test_however_a_body_is_cut_the_same_is_kept(data: bytes, headers: Headers) -> None:
    whole = BODIES.whole(data, headers) or data
    assert b"bob@" not in whole
    for size in (1, 3, 50, 1000):
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        assert strained(data, headers, pieces) == whole, size
    for cut in range(0, len(data), 1 + len(data) // 800):
        assert strained(data, headers, [data[:cut], data[cut:]]) == whole, cut


def test_a_string_too_long_to_wait_for_is_cut_within_and_known_to_go_on() -> None:
    data = b'{"a": "%b bob@x.de", "n": 4915112345678, "b": "bob@x.de"}' % (b"A" * 600_000)
    pieces = [data[at : at + 65_536] for at in range(0, len(data), 65_536)]
    assert strained(data, JSON, pieces) == clean(data)


def test_a_project_has_tokens_of_its_own_and_its_own_rules() -> None:
    rules = PersonalRules([Rule("email"), Rule("phone", projects=("shop",))], b"key")
    bodies = BodyRedactor(Redactor(b"key"), rules)
    data = b'["bob@x.de", "BOB@X.DE", "+49 151 2345678"]'
    shop, desk = bodies.of("shop").whole(data, JSON), bodies.of("desk").whole(data, JSON)
    assert shop is not None
    assert desk is not None
    first, second, _ = json.loads(shop)
    assert first == second, "an address is one however it is written"
    assert first.encode() not in desk
    assert json.loads(desk)[2] == "+49 151 2345678"


def test_a_mask_says_the_name_only() -> None:
    rules = PersonalRules([Rule("email", replace="mask")], b"key")
    found = BodyRedactor(Redactor(b"key"), rules).whole(b"to bob@x.de", PLAIN)
    assert found == b"to <email>"


def test_the_longest_of_those_that_overlap_hides_the_others() -> None:
    rules = PersonalRules([Rule("short", "bob@x"), Rule("tail", "x.de or"), Rule("email")], b"k")
    found = BodyRedactor(Redactor(b"key"), rules).whole(b"bob@x.de or", PLAIN)
    assert found is not None
    assert TOKEN.fullmatch(found)


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_values_in_messages_of_a_socket_are_found_in_pieces_too(size: int) -> None:
    said = [b'{"delta": "bob@"}', b'{"delta": "x.de "}', b'{"item": "+49 151 2345678"}']
    data = b"".join(frame_of(TEXT, each, masked=False) for each in said)
    strainer = FrameStrainer(BODIES)
    kept = b"".join(strainer.strain(data[at : at + size]) for at in range(0, len(data), size))
    kept += strainer.strain(b"", last=True)
    reader = MessageReader(2**20)
    texts = [json.loads(message.payload) for message in (*reader.feed(kept), *reader.rest())]
    assert re.fullmatch(r"<email:\w+> ", texts[0]["delta"] + texts[1]["delta"])
    assert re.fullmatch(r"<phone:\w+>", texts[2]["item"])
    assert strainer.redacted
