"""Graph's error bodies."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

LOGIN_CHALLENGE = (
    'Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize", '
    'client_id="00000003-0000-0000-c000-000000000000"'
)


@dataclass(kw_only=True)
class GraphError(Exception):
    """A call Graph refuses; the gateway turns it into the documented body.

    `status` is the HTTP status, `code` and `message` go into the body, `headers` beside it.
    """

    status: int
    code: str
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)


def error_body(
    *, code: str, message: str, at: float, request_id: str, client_request_id: str
) -> dict[str, dict[str, Any]]:
    """The body Graph sends with an error; `innerError.date` carries no zone, as on the wire."""
    return {
        "error": {
            "code": code,
            "message": message,
            "innerError": {
                "date": datetime.fromtimestamp(at, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S"),
                "request-id": request_id,
                "client-request-id": client_request_id,
            },
        }
    }


def bad_request(message: str, *, code: str = "BadRequest") -> GraphError:
    """400 with Graph's error text."""
    return GraphError(status=HTTPStatus.BAD_REQUEST, code=code, message=message)


def unsupported_query(message: str) -> GraphError:
    """400 for a query the directory cannot answer."""
    return bad_request(message, code="Request_UnsupportedQuery")


def not_found(named: str) -> GraphError:
    """404 for a directory object that is not there, under the name the caller used."""
    return GraphError(
        status=HTTPStatus.NOT_FOUND,
        code="Request_ResourceNotFound",
        message=f"Resource '{named}' does not exist or one of its queried reference-property objects are not present.",
    )


def denied(message: str = "Insufficient privileges to complete the operation.") -> GraphError:
    """403 for a missing permission or a protected target."""
    return GraphError(status=HTTPStatus.FORBIDDEN, code="Authorization_RequestDenied", message=message)


def unauthorized(message: str, *, challenge: str = LOGIN_CHALLENGE) -> GraphError:
    """401 with the challenge header."""
    return GraphError(
        status=HTTPStatus.UNAUTHORIZED,
        code="InvalidAuthenticationToken",
        message=message,
        headers={"WWW-Authenticate": challenge},
    )


def method_not_allowed() -> GraphError:
    """405 for a method the resource does not have."""
    return GraphError(
        status=HTTPStatus.METHOD_NOT_ALLOWED,
        code="Request_BadRequest",
        message="Specified HTTP method is not allowed for the request target.",
    )


def no_segment(name: str) -> GraphError:
    """400 for a path Graph has no resource for."""
    return bad_request(f"Resource not found for the segment '{name}'.")
