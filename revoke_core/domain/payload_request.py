"""From what another product sends to a request: a payload that names users, and what its sender says beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from revoke_core.domain import fields
from revoke_core.domain.body_reader import BodyReader
from revoke_core.domain.errors import Fault, Faults, GuardRefused, InvalidRequest, TooLarge
from revoke_core.domain.identifiers import BLANKS
from revoke_core.domain.mistakes import is_utf16
from revoke_core.domain.payloads import csv_lines
from revoke_core.domain.payloads.members import Members
from revoke_core.domain.payloads.named import Named
from revoke_core.domain.payloads.shapes import EXAMPLES, READERS, Shape
from revoke_core.domain.redaction import redacted, short
from revoke_core.domain.request_body import (
    LARGEST_BODY,
    build_request,
    queue_claims,
    read_json,
    refuse_envelope,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from revoke_core.domain.fields import Body
    from revoke_core.domain.request import QueueClaims, RequestLimits, RevocationRequest

SHAPES: Final = ", ".join(Shape)


def parse_payload(shape: Shape, body: bytes, members: dict[str, Any], limits: RequestLimits) -> RevocationRequest:
    """The request for the users in a body, which may be none; ``members`` are those of a JSON body that name no users.

    ``InvalidRequest`` with all faults of the body and of the members; ``TooLarge`` and ``GuardRefused`` for a body that
    holds too much.
    """
    named, faults = _collected("", lambda faults: _read_body(shape, body, faults, limits))
    reader, request = _request(members, fields.PAYLOAD_QUERY, named, limits, faults)
    reader.get(fields.KEY)
    reader.check()
    return request


def parse_payload_message(message: dict[str, Any], limits: RequestLimits) -> tuple[RevocationRequest, QueueClaims]:
    """The same from a queue message: the payload is its ``body``, the members stand beside it."""
    shape = known_shape(message["shape"]) if isinstance(message["shape"], str) else None
    if shape is None:
        raise InvalidRequest([Fault("/shape", f"is not a known shape; known are {SHAPES}")])
    named, faults = _collected("/body", lambda faults: _read_part(shape, message.get("body"), faults, limits))
    reader, request = _request(message, fields.PAYLOAD_MESSAGE, named, limits, faults)
    claims = queue_claims(reader)
    reader.check()
    return request, claims


def known_shape(name: str) -> Shape | None:
    """The shape of this name, in any case."""
    return Shape(name.lower()) if name.lower() in Shape else None


def _request(
    members: dict[str, Any], body: Body, named: Named, limits: RequestLimits, faults: Faults
) -> tuple[BodyReader, RevocationRequest]:
    if len(named.users) > limits.max_users:
        detail = (
            f"The payload names more than {limits.max_users} users, as many as are allowed (MAX_USERS). Send several "
            "requests, or have an operator raise the limit."
        )
        raise GuardRefused(detail, pointer="")
    if members.get("reason") is None and named.reason:
        members = members | {"reason": short(redacted(named.reason), fields.LONGEST_REASON)}
    reader = BodyReader(members, body, faults=faults)
    return reader, build_request(reader, members, limits, named.users)


def _collected(pointer: str, read: Callable[[Faults], Named]) -> tuple[Named, Faults]:
    """What was read and what is wrong with it, of a payload that cannot be read at all, too."""
    noted, faults = Faults(), Faults()
    try:
        named = read(noted)
    except InvalidRequest as invalid:
        named = Named()
        faults.include(invalid.faults, pointer)
    faults.include(noted, pointer)
    return named, faults


def _read_body(shape: Shape, body: bytes, faults: Faults, limits: RequestLimits) -> Named:
    if shape is Shape.CSV:
        return csv_lines.read(_text(body), limits.max_users)
    return _read_value(shape, read_json(body, example=EXAMPLES[shape]), faults)


def _read_part(shape: Shape, body: Any, faults: Faults, limits: RequestLimits) -> Named:
    if shape is Shape.CSV:
        if isinstance(body, dict):
            refuse_envelope(body)
        if not isinstance(body, str) or not body.strip(BLANKS):
            raise InvalidRequest([Fault("", f"must be there, a text: {EXAMPLES[shape]}")])
        return csv_lines.read(body.removeprefix("\ufeff"), limits.max_users)
    if isinstance(body, str) and body.strip(BLANKS):
        # As a flow writes it that puts the trigger's body between quotation marks.
        body = read_json(body.encode("utf-8", "replace"), example=EXAMPLES[shape])
    return _read_value(shape, body, faults)


def _read_value(shape: Shape, value: Any, faults: Faults) -> Named:
    if not isinstance(value, dict):
        raise InvalidRequest([Fault("", f"must be a JSON object as {shape} has it: {EXAMPLES[shape]}")])
    refuse_envelope(value)
    return READERS[shape](Members(value, "", faults))


def _text(body: bytes) -> str:
    """A list's text: UTF-8, a byte order mark is skipped."""
    if len(body) > LARGEST_BODY:
        raise TooLarge("The body is larger than 16 MiB; send the users in several requests.")
    if is_utf16(body):
        raise InvalidRequest([Fault("", "the body is UTF-16; save the list as CSV UTF-8")])
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        detail = "the body is not UTF-8 (Latin-1, as Excel's plain CSV?); save the list as CSV UTF-8"
        raise InvalidRequest([Fault("", detail)]) from None
    if not text.strip(BLANKS):
        raise InvalidRequest([Fault("", f"the body is empty; send {EXAMPLES[Shape.CSV]}")])
    return text
