"""Chat completions that OpenAI has stored (`store: true`), as its API lists them.

A record is an object of `GET /v1/chat/completions`
(https://platform.openai.com/docs/api-reference/chat/list): the answer, and of the request all but
its messages. These come from `GET /v1/chat/completions/{id}/messages`, one page a completion, whose
entries are called `<completion id>-<number>`: have such pages in files that begin with one, or put
the messages into the completion as `messages`. A completion without messages is imported without.

Limit: the messages of MESSAGES_MAX entries wait in memory for their completions.
"""

from importers.fields import flat_metadata, text_of, time_ns
from importers.imported import ImportedCall, NotUnderstood, Reading
from storage.trace import Json
from storage.wire import Object, as_array, as_object, rest

MESSAGES_MAX = 1_000_000

# What the answer said. All else was said by the request, or is of the store.
_ANSWER_KEYS = ("id", "object", "created", "model", "choices", "usage", "system_fingerprint")
_STORE_KEYS = {"request_id", "input_user", "messages", "service_tier"}


def recognise(record: Object) -> bool:
    """Tell whether a record is of this format."""
    return record.get("object") == "chat.completion" or is_context(record)


def is_context(record: Object) -> bool:
    """Tell whether a record is a message that a completion was asked with."""
    number = text_of(record, "id").rpartition("-")[2]
    return "role" in record and "object" not in record and number.isdigit()


class Reader:
    """Reads stored completions, and the messages they were asked with."""

    def __init__(self) -> None:
        self._messages: dict[str, dict[int, Object]] = {}
        self._message_count = 0

    def __call__(self, record: Object) -> Reading:
        """Read a completion or a message. Raise NotUnderstood for anything else."""
        if is_context(record):
            self._remember(record)
            return Reading([], other_count=1)
        if not isinstance(record.get("choices"), list):
            raise NotUnderstood("it is no chat completion: it has no choices")
        return Reading([self._completion(record)])

    def _remember(self, record: Object) -> None:
        completion, _, number = text_of(record, "id").rpartition("-")
        if self._message_count >= MESSAGES_MAX:
            raise NotUnderstood(f"more than {MESSAGES_MAX} messages wait for their completions")
        self._message_count += 1
        message: Object = {key: value for key, value in record.items() if value is not None}
        del message["id"]
        if parts := message.pop("content_parts", None):
            message["content"] = parts
        self._messages.setdefault(completion, {})[int(number)] = message

    def _completion(self, record: Object) -> ImportedCall:
        original_id = text_of(record, "id")
        given: Json = record.get("messages")
        if isinstance(given, dict):  # a page, as the API answers
            given = given.get("data")
        numbered = self._messages.pop(original_id, {})
        self._message_count -= len(numbered)
        messages = as_array(given) or [numbered[number] for number in sorted(numbered)]
        request: Object = rest(record, {*_ANSWER_KEYS, *_STORE_KEYS, "metadata"}) or {}
        request |= {"model": record.get("model"), "messages": [*messages], "store": True}
        if user := text_of(record, "input_user", "user"):
            request["user"] = user
        if metadata := flat_metadata(record.get("metadata")):
            request["metadata"] = metadata
        response: Object = {key: record[key] for key in _ANSWER_KEYS if key in record}
        if service_tier := record.get("service_tier"):
            response["service_tier"] = service_tier
        kept: Object = {}
        if request_id := record.get("request_id"):
            kept["request_id"] = request_id
        return ImportedCall(
            request=request,
            response=response,
            original_id=original_id,
            started_at_ns=time_ns(as_object(record).get("created")),
            upstream="openai",
            rest=kept,
        )
