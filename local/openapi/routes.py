"""Every route: what it takes, what it answers, and who may call it. Tests hold this table against ``function_app``."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from local.openapi.answers import REQUEST_ID
from local.openapi.schemas import Schema, choice, moment, number, query_schema, text
from revoke_core.domain import fields
from revoke_core.domain.access import Action, Role
from revoke_core.domain.identifiers import KEY_FORM, LONGEST_KEY, REQUEST_ID_FORM
from revoke_core.domain.payloads.shapes import Shape
from revoke_core.domain.request_record import RequestStatus
from revoke_core.domain.user_state import UserStatus

if TYPE_CHECKING:
    from revoke_core.domain.fields import Body


class Access(Enum):
    """What a call needs to be let in."""

    KEY_OR_ROLE = auto()
    ENTRA_ONLY = auto()
    NOTHING = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter: ``place`` is path, query or header."""

    name: str
    place: str
    schema: Schema

    @property
    def is_required(self) -> bool:
        """Whether a call without it is refused."""
        return self.place == "path" or self.name == "sig"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one route.

    ``answer`` names the schema of 2xx. ``statuses`` are all that a call can be answered with; ``action`` is what Entra
    roles are asked for.
    """

    method: str
    path: str
    name: str
    summary: str
    description: str
    answer: str
    statuses: tuple[int, ...]
    access: Access = Access.KEY_OR_ROLE
    action: Action | None = None
    parameters: tuple[Parameter, ...] = ()
    body: Body | None = None
    body_is_required: bool = True
    takes_payload: bool = False
    has_csv: bool = False
    sent_headers: tuple[str, ...] = ()

    @property
    def roles(self) -> str:
        """Which app roles may do this, in a sentence."""
        if self.action is None:
            return ""
        anyones = " or ".join(role for role in Role if role in self.action.anyones)
        if self.action.own is None:
            return f"With Entra authentication: the app role {anyones}, or having made the request."
        own = " or ".join(role for role in Role if role in self.action.own - self.action.anyones)
        also = f", or {own} for what the caller itself has submitted" if own else ""
        return f"With Entra authentication: the app role {anyones}{also}."


# ---- parameters

ID: Final = Parameter(
    name="id",
    place="path",
    schema=text("The id of the request, as every answer about it has it.", REQUEST_ID, pattern=f"^{REQUEST_ID_FORM}$"),
)
SIGNATURE: Final = Parameter(
    name="sig",
    place="query",
    schema=text("The signature in the link; it is good for 48 hours.", "1790000000.c2lnbmF0dXJl"),
)
USER: Final = Parameter(
    name="user",
    place="query",
    schema=text("Only requests that touched this user: an object id or a user principal name.", "adele@contoso.com"),
)
SINCE: Final = Parameter(
    name="since",
    place="query",
    schema=moment("Only requests that were made at this time or later.", "2026-09-10T14:32:27Z"),
)
REQUEST_STATUS: Final = Parameter(
    name="status",
    place="query",
    schema=choice("Only requests with this status.", RequestStatus, "failed"),
)
USER_STATUS: Final = Parameter(
    name="status",
    place="query",
    schema=choice("Only users with this status.", UserStatus, "failed"),
)
FORMAT: Final = Parameter(
    name="format",
    place="query",
    schema=choice("The form of the answer; without it the header Accept decides.", ("csv", "json"), "csv"),
)
PAGE_SIZE: Final = Parameter(
    name="pageSize",
    place="query",
    schema=number("How many entries a page has at most.", 100, minimum=1, maximum=1000, default=100),
)
CONTINUATION: Final = Parameter(
    name="continuationToken",
    place="query",
    schema=text("Where the page begins, as nextLink has it.", "eyJwIjoxfQ"),
)
IDEMPOTENCY_KEY: Final = Parameter(
    name="Idempotency-Key",
    place="header",
    schema=text(
        "The caller's own name for the request: a call that is repeated with it is the same request.",
        "INC-1042-adele",
        pattern=f"^{KEY_FORM}$",
        maxLength=LONGEST_KEY,
    ),
)
PREFER: Final = Parameter(
    name="Prefer",
    place="header",
    schema=text("How long to wait for the end: respond-async, or wait with 1 to 100 seconds.", "respond-async"),
)
CORRELATION: Final = tuple(
    Parameter(name=name, place="header", schema=text(f"{what} It is kept with the request.", example))
    for name, what, example in (
        ("x-ms-client-request-id", "The caller's id of the call.", "c0ffee00-0001"),
        ("x-ms-workflow-run-id", "The run of a flow.", "08584"),
        ("x-ms-workflow-name", "The name of a flow.", "leaver-flow"),
        (
            "traceparent",
            "The trace that the call belongs to.",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ),
    )
)
SHAPE: Final = Parameter(
    name="shape",
    place="path",
    schema=choice("What product the payload is of.", Shape, Shape.SENTINEL_ACCOUNTS),
)
BESIDE_PAYLOAD: Final = tuple(
    Parameter(name=field.name, place="query", schema=query_schema(field)) for field in fields.PAYLOAD_QUERY.fields
)
_PAGE: Final = (PAGE_SIZE, CONTINUATION)
_MADE: Final = (IDEMPOTENCY_KEY, *CORRELATION)

# ---- what calls are answered with

STATUSES: Final[dict[int, str]] = {
    HTTPStatus.OK: "The answer. The request is not running: its status says what became of it.",
    HTTPStatus.ACCEPTED: "The request is durable and running. Read it at Location until the answer is 200.",
    HTTPStatus.BAD_REQUEST: "The input is not valid. Every fault is named, and nothing has happened.",
    HTTPStatus.UNAUTHORIZED: "The caller is not known: no valid key (the host answers, without a body), token or link.",
    HTTPStatus.FORBIDDEN: "The caller lacks the app role that is named.",
    HTTPStatus.NOT_FOUND: "There is no such request, or the caller may not see it.",
    HTTPStatus.CONFLICT: "Another request has the idempotency key, or this one is not in a state for it.",
    HTTPStatus.CONTENT_TOO_LARGE: "The body is larger than 16 MiB.",
    HTTPStatus.UNPROCESSABLE_CONTENT: "A guard refuses it: more users or groups than one request may name.",
    HTTPStatus.TOO_MANY_REQUESTS: "The caller has as many requests open as it may.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "The app failed. Repeat the call with the same Idempotency-Key.",
    HTTPStatus.SERVICE_UNAVAILABLE: "Storage or the protected list cannot be read, or new requests are refused.",
}
HEADERS: Final[dict[str, Schema]] = {
    "Location": text(
        "Where to read the request until the answer is 200; no key is needed.", f"/api/operations/{REQUEST_ID}"
    ),
    "Retry-After": number("Seconds to wait before the next call.", 5),
    "Preference-Applied": text("Which preference was followed.", "respond-async"),
    "WWW-Authenticate": text("How to identify oneself.", "Bearer"),
    "Cache-Control": text("No cache may keep an answer that changes.", "no-store"),
    "Link": text("The next page of a list in CSV.", '<https://…>; rel="next"'),
}
# Which answers may carry which headers; those of CSV come with the operation that has it.
HEADERS_OF: Final[dict[int, tuple[str, ...]]] = {
    HTTPStatus.ACCEPTED: ("Location", "Retry-After"),
    HTTPStatus.UNAUTHORIZED: ("WWW-Authenticate",),
    HTTPStatus.CONFLICT: ("Retry-After",),
    HTTPStatus.TOO_MANY_REQUESTS: ("Retry-After",),
    HTTPStatus.SERVICE_UNAVAILABLE: ("Retry-After",),
}
_READ: Final = (400, 401, 403, 500, 503)
_FOUND: Final = (400, 401, 403, 404, 500, 503)
_CHANGED: Final = (400, 401, 403, 404, 409, 413, 500, 503)

OPERATIONS: Final = (
    Operation(
        method="post",
        path="/revocations",
        name="SubmitRevocation",
        summary="Revoke sessions",
        description="Ends the sign-in sessions of the users that the body names. Up to 20 named users are carried out "
        "within the call, which then answers 200 with the result. What is larger or takes longer is answered 202 and "
        "goes on.",
        answer="Revocation",
        statuses=(200, 202, 400, 401, 403, 409, 413, 422, 429, 500, 503),
        action=Action.SUBMIT,
        parameters=(*_MADE, PREFER),
        body=fields.SUBMIT,
        sent_headers=("Preference-Applied",),
    ),
    Operation(
        method="post",
        path="/revocations/from/{shape}",
        name="SubmitPayload",
        summary="Revoke the users of a payload",
        description="Ends the sign-in sessions of the users that another product's payload names, and of nobody else "
        "in it. What cannot be resolved is a failed user, and a payload that names nobody a failed request.",
        answer="Revocation",
        statuses=(200, 202, 400, 401, 403, 404, 409, 413, 422, 429, 500, 503),
        action=Action.SUBMIT,
        parameters=(SHAPE, *BESIDE_PAYLOAD, *_MADE, PREFER),
        takes_payload=True,
        sent_headers=("Preference-Applied",),
    ),
    Operation(
        method="post",
        path="/me/revocations",
        name="SubmitOwnRevocation",
        summary="Revoke my own sessions",
        description="Ends the sign-in sessions of the person who calls. The route exists only with Entra "
        "authentication and needs no role. The body may be left out.",
        answer="Revocation",
        statuses=(200, 202, 400, 401, 403, 409, 413, 429, 500, 503),
        access=Access.ENTRA_ONLY,
        parameters=(*_MADE, PREFER),
        body=fields.OWN,
        body_is_required=False,
        sent_headers=("Preference-Applied",),
    ),
    Operation(
        method="get",
        path="/revocations",
        name="ListRevocations",
        summary="List requests",
        description="Lists requests, newest first. With a user it answers whether this user has been revoked, when and "
        "by whom.",
        answer="RevocationList",
        statuses=(200, *_READ),
        action=Action.LIST,
        parameters=(REQUEST_STATUS, SINCE, USER, *_PAGE),
    ),
    Operation(
        method="get",
        path="/revocations/{id}",
        name="GetRevocation",
        summary="Get request",
        description="Reads one request. It answers 202 while the request is running and 200 once it is held or has "
        "ended.",
        answer="Revocation",
        statuses=(200, 202, *_FOUND),
        action=Action.READ,
        parameters=(ID,),
    ),
    Operation(
        method="get",
        path="/revocations/{id}/users",
        name="ListRevocationUsers",
        summary="List users of a request",
        description="Lists the users of one request with what became of each, as far as they have been looked up.",
        answer="UserList",
        statuses=(200, *_FOUND),
        action=Action.READ,
        parameters=(ID, USER_STATUS, FORMAT, *_PAGE),
        has_csv=True,
        sent_headers=("Link",),
    ),
    Operation(
        method="post",
        path="/revocations/{id}/confirm",
        name="ConfirmRevocation",
        summary="Confirm held request",
        description="Releases a request that is held, with the number of users that it is held with.",
        answer="Revocation",
        statuses=(200, 202, *_CHANGED),
        action=Action.CONFIRM,
        parameters=(ID,),
        body=fields.CONFIRM,
    ),
    Operation(
        method="post",
        path="/revocations/{id}/cancel",
        name="CancelRevocation",
        summary="Cancel request",
        description="Stops a request within one call of 20 users. A request that has ended stays as it is and is "
        "answered 200.",
        answer="Revocation",
        statuses=(200, 202, *_FOUND),
        action=Action.CANCEL,
        parameters=(ID,),
    ),
    Operation(
        method="post",
        path="/revocations/cancel",
        name="CancelOpenRevocations",
        summary="Cancel all open requests of one caller",
        description="Stops everything that one caller has open.",
        answer="CancelledRequests",
        statuses=(202, 400, 401, 403, 413, 500, 503),
        action=Action.CANCEL,
        body=fields.CANCEL_OPEN,
    ),
    Operation(
        method="post",
        path="/revocations/{id}/retry",
        name="RetryRevocation",
        summary="Retry failed users",
        description="Makes a new request for the users who failed in one that has ended. The body may be left out.",
        answer="Revocation",
        statuses=(200, 202, 400, 401, 403, 404, 409, 413, 429, 500, 503),
        action=Action.RETRY,
        parameters=(ID, *_MADE),
        body=fields.RETRY,
        body_is_required=False,
    ),
    Operation(
        method="get",
        path="/operations/{id}",
        name="GetOperation",
        summary="Get request through its signed link",
        description="Reads one request through the link that Location names. The signature in it takes the place of a "
        "key.",
        answer="Revocation",
        statuses=(200, 202, 400, 401, 404, 500, 503),
        access=Access.NOTHING,
        parameters=(ID, SIGNATURE),
    ),
    Operation(
        method="get",
        path="/readiness",
        name="GetReadiness",
        summary="Get readiness",
        description="Says whether the app could revoke now, and what is missing.",
        answer="Readiness",
        statuses=(200, 400, 401, 403, 500, 503),
        action=Action.READINESS,
    ),
    *(
        Operation(
            method=method,
            path="/health",
            name=name,
            summary="Get health",
            description="Says that the process answers, and nothing else.",
            answer="Health",
            statuses=(200, 400, 500),
            access=Access.NOTHING,
        )
        for method, name in (("get", "GetHealth"), ("head", "HeadHealth"))
    ),
    Operation(
        method="get",
        path="/openapi.json",
        name="GetDescription",
        summary="Get this description",
        description="Reads this description of the API, with the app's own address in it.",
        answer="Description",
        statuses=(200, 400, 500),
        access=Access.NOTHING,
    ),
)
