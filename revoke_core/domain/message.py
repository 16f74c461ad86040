"""Reading queue messages. A request: trimmed, then JSON, then a bare id or UPN, then base64 of either, once."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any, Final

from revoke_core.domain.errors import Fault, InvalidRequest
from revoke_core.domain.identifiers import BLANKS, is_request_id, parse_user
from revoke_core.domain.mistakes import body_mistake, user_mistake
from revoke_core.domain.request_body import parse_queue_request, read_json

if TYPE_CHECKING:
    from revoke_core.domain.request import QueueClaims, RequestLimits, RevocationRequest

_BLANKS: Final = BLANKS + "\x00"


def parse_message(text: str, limits: RequestLimits) -> tuple[RevocationRequest, QueueClaims]:
    """The request in a message; ``InvalidRequest`` when it cannot be read or is not valid.

    The faults are those of the first form the text takes: a message that is JSON is judged as JSON.
    """
    trimmed = text.strip(_BLANKS)
    value = _decoded(trimmed)
    if value is None:
        value = _decoded(_from_base64(trimmed).strip(_BLANKS))
    if value is None:
        detail = body_mistake(trimmed.encode("utf-8", "replace")) or (
            "the message is not JSON, a user id, a user principal name, nor base64 of one of them; "
            f'send {{"user": "adele@contoso.com"}} or the bare name. As a name it {user_mistake(trimmed)}'
        )
        raise InvalidRequest([Fault("", detail)])
    if isinstance(value, dict) and value.get("shape") is not None:
        # Fifteen modules that a start of the app need not wait for.
        from revoke_core.domain.payload_request import parse_payload_message  # noqa: PLC0415 -- as above

        return parse_payload_message(value, limits)
    return parse_queue_request(value, limits)


def _decoded(text: str) -> Any:
    """The JSON value of a text, or of the bare user it names; ``None`` when it is neither."""
    if parse_user(text):
        return {"user": text}
    if not text.startswith(("{", "[", '"')):
        return None
    try:
        value = read_json(text.encode("utf-8", "surrogatepass"))
    except InvalidRequest:
        if text.startswith("{"):
            raise
        return None
    if isinstance(value, str):
        # Once: what another system has written as JSON into a JSON text.
        inner = value.strip(_BLANKS)
        return _decoded(inner) if inner.startswith("{") and text.startswith('"') else {"user": value}
    return value


def _from_base64(text: str) -> str:
    """The text that base64 stands for, in lines or not, of UTF-8 or UTF-16; an empty one for anything else."""
    try:
        content = base64.b64decode("".join(text.split()), validate=True)
        return content.decode(
            "utf-16" if content[:2] == b"\xff\xfe" else "utf-16-le" if b"\x00" in content else "utf-8"
        )
    except (binascii.Error, ValueError):
        return ""


def referenced_request(body: str) -> str | None:
    """The request that a work message names, or ``None`` for a message that this app did not write."""
    return _named_request(body, "requestId")


def referenced_callback(body: str) -> str | None:
    """The request whose callback is due, or ``None`` for any other message."""
    return _named_request(body, "callback")


def _named_request(body: str, member: str) -> str | None:
    try:
        request_id = json.loads(body)[member]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return request_id if isinstance(request_id, str) and is_request_id(request_id) else None
