"""JSON batching, https://learn.microsoft.com/graph/json-batching: at most 20 calls in one, each with its own answer.

A write without ``body`` and ``Content-Type`` makes Graph refuse the whole batch, so each carries an empty object.
Answers come in any order; one that is missing or doubled counts as lost. An item without ``Retry-After`` has that of
the batch. A date in it is counted from the answer's own ``Date``, because this host's clock may be ahead of Graph's:
whole seconds make the pause a little long, never short.
"""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from revoke_core.domain.responses import Answer, Delivery, graph_error
from revoke_core.domain.timestamps import http_date, retry_after

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from revoke_core.adapters.graph.transport import Reply

LARGEST_BATCH: Final = 20
_HALF_CHARACTER: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_REQUEST_ID: Final = re.compile(r"[0-9a-fA-F-]{36}")
_SUCCESS: Final = range(200, 300)
# What is wrong with the batch as such; 401, 408, 409, 429 and the like hold for its calls as well.
_REFUSED: Final = frozenset({400, 403, 404, 405, 410, 411, 413, 414, 415, 422})


def batch_body(method: str, paths: Sequence[str], headers: Mapping[str, str] | None = None) -> bytes:
    """The body of a batch; the ids are the positions, and ``headers`` go with every call."""
    requests: list[dict[str, Any]] = []
    for position, path in enumerate(paths):
        request: dict[str, Any] = {"id": str(position), "method": method, "url": path}
        if headers:
            request["headers"] = dict(headers)
        if method != "GET":
            request |= {"headers": {"Content-Type": "application/json"}, "body": {}}
        requests.append(request)
    return json.dumps({"requests": requests}, separators=(",", ":")).encode()


def batch_answers(reply: Reply, size: int, now: datetime) -> list[Answer]:
    """One answer per position. When the batch itself failed, its status stands for every item."""
    if reply.delivery is not Delivery.ANSWERED:
        return [Answer(delivery=reply.delivery)] * size
    if reply.status in _REFUSED and graph_error(single_answer(reply, now)):
        return [Answer(delivery=Delivery.UNOPENED, request_id=reply.headers.get("request-id"))] * size
    content = json_object(reply.body)
    responses = content.get("responses") if content is not None else None
    if not isinstance(responses, list):
        if reply.status in _SUCCESS:
            return [Answer(delivery=Delivery.LOST, request_id=reply.headers.get("request-id"))] * size
        return [single_answer(reply, now)] * size
    if reply.status not in _SUCCESS and reply.status != HTTPStatus.FAILED_DEPENDENCY:
        return [single_answer(reply, now)] * size
    found: dict[str, list[dict[str, Any]]] = {}
    for response in responses:
        if isinstance(response, dict):
            found.setdefault(str(response.get("id")), []).append(response)
    return [_item(found.get(str(position), []), reply, now) for position in range(size)]


def single_answer(reply: Reply, now: datetime) -> Answer:
    """The answer of a call outside a batch."""
    date = http_date(reply.headers.get("date"))
    return Answer(
        delivery=reply.delivery,
        status=reply.status,
        body=json_object(reply.body),
        request_id=reply.headers.get("request-id"),
        retry_after=retry_after(reply.headers.get("retry-after"), date or now),
        date=date,
    )


def _item(responses: list[dict[str, Any]], reply: Reply, now: datetime) -> Answer:
    envelope_id = reply.headers.get("request-id")
    if len(responses) != 1:
        return Answer(delivery=Delivery.LOST, request_id=envelope_id)
    response = responses[0]
    status = _status(response.get("status"))
    if status is None:
        return Answer(delivery=Delivery.LOST, request_id=envelope_id)
    body = response.get("body")
    headers = _lower(response.get("headers"))
    date = http_date(reply.headers.get("date"))
    return Answer(
        delivery=Delivery.ANSWERED,
        status=status,
        body=body if isinstance(body, dict) else None,
        request_id=headers.get("request-id") or _id_in(body) or envelope_id,
        retry_after=retry_after(headers.get("retry-after", reply.headers.get("retry-after")), date or now),
        date=date,
    )


def _id_in(body: Any) -> str | None:
    """The ``request-id`` of Graph's error body; items of a batch have it there, and often in no header."""
    error = body.get("error") if isinstance(body, dict) else None
    inner = error.get("innerError") if isinstance(error, dict) else None
    found = inner.get("request-id") if isinstance(inner, dict) else None
    return found if isinstance(found, str) and _REQUEST_ID.fullmatch(found) else None


def _status(value: Any) -> int | None:
    try:
        status = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return status if 100 <= status <= 599 else None  # noqa: PLR2004 -- HTTP's own range


def _lower(headers: Any) -> Mapping[str, str]:
    if not isinstance(headers, dict):
        return {}
    return {str(name).lower(): str(value) for name, value in headers.items()}


def json_object(body: bytes) -> dict[str, Any] | None:
    """The JSON object in a body; ``None`` for anything else, for Graph's gateways also answer HTML.

    Half a character (a lone surrogate) becomes a question mark: no table and no answer could hold it.
    """
    try:
        value = json.loads(body.decode("utf-8-sig"))
        if _HALF_CHARACTER.search(body):
            value = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
