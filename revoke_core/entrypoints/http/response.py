"""HTTP responses: JSON, problems (RFC 9457), and a request's status as 200 or 202."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from functools import wraps
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from revoke_core import logs
from revoke_core.domain.errors import InvalidRequest, Refused
from revoke_core.domain.request_record import RequestStatus
from revoke_core.entrypoints.http import render

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from revoke_core.entrypoints.http.links import Links
    from revoke_core.ports.shared import Clock
    from revoke_core.service.reading.status import Status

_PROBLEM_TYPES: Final = "urn:entra-session-revoker:problem:"
_SHORTEST_POLL: Final = 5
_LONGEST_POLL: Final = 60
# A held request is answered 200: a polling flow must end there and ask a person.
_ANSWERED_202: Final = (RequestStatus.ACCEPTED, RequestStatus.RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpResponse:
    """One response; the Functions worker adds the charset to a text type."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


type Route[**P] = Callable[P, Coroutine[Any, Any, HttpResponse]]


def problem_responses[**P](route: Route[P]) -> Route[P]:
    """Turn every exception of a route into a problem response; a caller never sees a stack trace."""

    @wraps(route)
    async def respond(*args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        try:
            return await route(*args, **kwargs)
        except InvalidRequest as invalid:
            detail = "Nothing was done. Correct what errors names and send the request again."
            return _problem(
                HTTPStatus.BAD_REQUEST, "invalid-request", "Invalid request", detail, errors=invalid.listed()
            )
        except Refused as refused:
            headers = {"Retry-After": str(refused.retry_after)} if refused.retry_after else {}
            headers |= {"WWW-Authenticate": refused.challenge} if refused.challenge else {}
            return _problem(refused.status, refused.kind, refused.title, refused.detail, headers)
        except Exception as error:  # noqa: BLE001 -- the outermost layer: its class is logged, the caller gets a 500
            logs.failure("request_crashed", error, route=route.__name__)
            detail = (
                "The app failed. Repeat the call with the same Idempotency-Key; if it lasts, look into the app's log."
            )
            return _problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal-error", "Internal error", detail)

    return respond


def json_response(
    status: int, content: Any, headers: Mapping[str, str] | None = None, *, content_type: str = "application/json"
) -> HttpResponse:
    """A JSON response; it changes with the request, so no cache may keep it."""
    sent = {"Cache-Control": "no-store"} | dict(headers or {})
    return HttpResponse(status=status, body=_json(content), content_type=content_type, headers=sent)


def _json(content: Any) -> bytes:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _problem(
    status: int, kind: str, title: str, detail: str, headers: Mapping[str, str] | None = None, **more: Any
) -> HttpResponse:
    content = {"type": _PROBLEM_TYPES + kind, "title": title, "status": status, "detail": detail, **more}
    return json_response(status, content, headers, content_type="application/problem+json")


class StatusResponses:
    """A request's status as every route answers it: 202 with ``Location`` and ``Retry-After`` while it runs."""

    def __init__(self, *, links: Links, clock: Clock) -> None:
        self._links = links
        self._clock = clock

    async def of(self, status: Status, headers: Mapping[str, str] | None = None) -> HttpResponse:
        """200 or 202 with the resource."""
        content = render.resource(status, self._links, users=True)
        if status.record.status not in _ANSWERED_202:
            return json_response(HTTPStatus.OK, content, headers)
        location = await self._links.operation_or_request(status.record.id)
        polling = {"Location": location, "Retry-After": str(self._poll_seconds(status))}
        return json_response(HTTPStatus.ACCEPTED, content, polling | dict(headers or {}))

    def document(self, status: Status) -> bytes:
        """The resource without its users as JSON: what a callback posts."""
        return _json(render.resource(status, self._links, users=False))

    def _poll_seconds(self, status: Status) -> int:
        """Until the request goes on or is likely to end, from 5 to 60 seconds; 5 when neither is known."""
        moments = [moment for moment in (status.due_at, status.finishes_at) if moment]
        left = (max(moments) - self._clock.now()).total_seconds() if moments else 0
        return max(_SHORTEST_POLL, min(_LONGEST_POLL, math.ceil(left)))
