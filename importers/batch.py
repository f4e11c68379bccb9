"""Input and output of OpenAI's Batch API (https://platform.openai.com/docs/guides/batch).

The input file's lines are requests (`custom_id, method, url, body`), those of the output and the
error file are answers (`custom_id, response {status_code, request_id, body}, error`). Give both to
one command: the requests are read first. An answer without its request is reported, a request
without an answer is no call.

The time of a call is its answer's, for errors that of the file. Limit: REQUESTS_MAX requests wait
in memory, which is what the API allows in a batch.
"""

from importers.fields import first_time_ns, text_of
from importers.imported import CHAT_TARGET, ImportedCall, NotUnderstood, Reading
from storage.wire import Object, as_count, as_object

REQUESTS_MAX = 50_000


def recognise(record: Object) -> bool:
    """Tell whether a record is of this format."""
    return "custom_id" in record and ("response" in record or "body" in record)


def is_context(record: Object) -> bool:
    """Tell whether a record is a request that an answer will belong to."""
    return "custom_id" in record and "body" in record


class Reader:
    """Reads requests and answers of a batch."""

    def __init__(self) -> None:
        self._requests: dict[str, Object] = {}

    def __call__(self, record: Object) -> Reading:
        """Read a request or an answer. Raise NotUnderstood for anything else."""
        custom_id = text_of(record, "custom_id")
        if is_context(record):
            if len(self._requests) >= REQUESTS_MAX:
                raise NotUnderstood(f"more than {REQUESTS_MAX} requests wait for their answers")
            self._requests[custom_id] = record
            return Reading([], other_count=1)
        if not recognise(record):
            raise NotUnderstood("it is neither a request nor an answer of a batch")
        asked = self._requests.get(custom_id)
        if asked is None:
            raise NotUnderstood(
                f"the request of {custom_id!r} was not read: give the batch's input file, too"
            )
        return Reading([_call(custom_id, asked, record)])


def _call(custom_id: str, asked: Object, answered: Object) -> ImportedCall:
    response = as_object(answered.get("response"))
    body = as_object(response.get("body"))
    error = as_object(answered.get("error"))
    if not body and error:  # it never got as far as a model: expired, cancelled
        body = {"error": error}
    kept = {"batch_request_id": answered.get("id"), "request_id": response.get("request_id")}
    return ImportedCall(
        request=as_object(asked.get("body")),
        response=body,
        original_id=text_of(answered, "id") or custom_id,
        started_at_ns=first_time_ns(body, ("created", "created_at")),
        target=text_of(asked, "url") or CHAT_TARGET,
        upstream="openai",
        status_code=as_count(response.get("status_code")),
        tags={"custom_id": custom_id},
        rest={key: value for key, value in kept.items() if value},
    )
