"""From a JSON body or message to a request: every fault is found before anything happens."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from revoke_core.domain import fields
from revoke_core.domain.body_reader import BodyReader, escaped
from revoke_core.domain.callback import callback_mistake
from revoke_core.domain.errors import Fault, Faults, GuardRefused, InvalidRequest, TooLarge
from revoke_core.domain.mistakes import body_mistake
from revoke_core.domain.named_users import NamedUsers
from revoke_core.domain.redaction import redacted, short
from revoke_core.domain.request import QueueClaims, RequestLimits, RevocationRequest

if TYPE_CHECKING:
    from datetime import datetime

LARGEST_BODY: Final = 16 * 1024 * 1024
_MOST_CONTAINERS: Final = 20_000
_MOST_MEMBERS: Final = 100_000
_MOST_COMMAS: Final = 1_000_000
_OBJECT_WANTED: Final = (
    f"must be a JSON object such as {fields.SUBMIT.shown}; several users go into one: "
    '{"users": ["adele@contoso.com", "bob@contoso.com"]}'
)


def read_json(body: bytes, *, example: str = fields.SUBMIT.shown) -> Any:
    """The JSON value of a body: UTF-8, a byte order mark is skipped, doubled keys and NaN are faults."""
    if len(body) > LARGEST_BODY:
        raise TooLarge("The body is larger than 16 MiB; send the users in several requests.")
    if not body.strip():
        raise InvalidRequest([Fault("", f"the body is empty; send JSON such as {example}")])
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        detail = body_mistake(body) or "the body is not UTF-8 (Latin-1?); encode it as UTF-8"
        raise InvalidRequest([Fault("", detail)]) from None
    _refuse_overfull(body)
    doubled = Faults()

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        repeated = Counter(name for name, _ in pairs) - Counter(list(members)) if len(members) < len(pairs) else ()
        for name in repeated:
            doubled.add(f"/{escaped(name)}", "is given more than once")
        return members

    try:
        value = json.loads(text, object_pairs_hook=unique, parse_constant=_refuse_constant)
    except RecursionError:
        raise InvalidRequest([Fault("", "the JSON is nested too deeply")]) from None
    except ValueError as error:
        detail = body_mistake(body) or f"the body is not valid JSON: {short(str(error))}; send {example}"
        raise InvalidRequest([Fault("", detail)]) from None
    if doubled:
        raise InvalidRequest(doubled)
    return value


def _refuse_overfull(body: bytes) -> None:
    """Before a body is parsed: what holds millions of arrays, objects or members takes a hundred times its size.

    The largest body that is taken, a list of users, has one array and as many commas as users.
    """
    containers = body.count(b"[") + body.count(b"{")
    if containers > _MOST_CONTAINERS or body.count(b":") > _MOST_MEMBERS or body.count(b",") > _MOST_COMMAS:
        detail = (
            f"the JSON holds more than {_MOST_CONTAINERS:,} arrays and objects, {_MOST_MEMBERS:,} members or "
            f"{_MOST_COMMAS:,} entries; send one object"
        )
        raise InvalidRequest([Fault("", detail)])


def refuse_envelope(value: dict[str, Any]) -> None:
    """``InvalidRequest`` for the object in which Logic Apps hands on what was no JSON."""
    if "$content" in value:
        detail = (
            "is Logic Apps' envelope of a binary body; send the JSON itself: in a flow, "
            "json(base64ToString(triggerBody()?['$content']))"
        )
        raise InvalidRequest([Fault("/$content", detail)])


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def parse_request(value: Any, limits: RequestLimits) -> RevocationRequest:
    """The request in a JSON value, or ``InvalidRequest`` with all its faults.

    ``GuardRefused`` for a request that holds too much; nothing else in it is looked at then.
    """
    reader = BodyReader(value, fields.SUBMIT, wanted=_OBJECT_WANTED)
    request = build_request(reader, value, limits)
    reader.get(fields.KEY)
    reader.check()
    return request


def parse_queue_request(value: Any, limits: RequestLimits) -> tuple[RevocationRequest, QueueClaims]:
    """As ``parse_request`` for a queue message, which may also carry its sender."""
    reader = BodyReader(value, fields.MESSAGE, wanted=_OBJECT_WANTED)
    request = build_request(reader, value, limits)
    claims = queue_claims(reader)
    reader.check()
    return request, claims


def queue_claims(reader: BodyReader) -> QueueClaims:
    """What only a queue message may carry."""
    sender = reader.get(fields.SENDER)
    return QueueClaims(
        idempotency_key=reader.get(fields.MESSAGE_KEY),
        requested_by=redacted(sender) if sender else sender,
    )


def parse_own_request(value: Any, user_id: str, limits: RequestLimits) -> RevocationRequest:
    """A request for the caller's own sessions: the user is known, and only a reason and a key can be given."""
    reader = BodyReader(value, fields.OWN, wanted="must be a JSON object")
    request = RevocationRequest(users=NamedUsers([user_id]), reason=_reason(reader, limits))
    reader.get(fields.KEY)
    reader.check()
    return request


def parse_retry(value: Any) -> None:
    """``InvalidRequest`` for a retry that asks for anything: the request it repeats says all but the key."""
    reader = BodyReader(value, fields.RETRY, wanted="must be a JSON object")
    reader.get(fields.KEY)
    reader.check()


def parse_confirmation(value: Any) -> int:
    """The number of users in ``{"users": 340}``."""
    reader = BodyReader(value, fields.CONFIRM)
    users = reader.get(fields.HELD_USERS)
    reader.check()
    return users or 0


def parse_cancellation(value: Any) -> tuple[str, datetime | None]:
    """A ``RequestedBy.caller`` and a moment, from ``{"requestedBy": {"kind": …, "id": …}, "since": …}``."""
    reader = BodyReader(value, fields.CANCEL_OPEN)
    caller, since = reader.get(fields.CALLER), reader.get(fields.SINCE)
    reader.check()
    return caller.caller if caller else "", since


def build_request(
    reader: BodyReader, members: dict[str, Any], limits: RequestLimits, named: list[str] | None = None
) -> RevocationRequest:
    """The request in ``members``; what is wrong is noted in ``reader``. ``named`` are the users of a payload."""
    refuse_envelope(members)
    _refuse_too_many(members, limits)
    users = reader.get(fields.USER) + reader.get(fields.USERS) if named is None else named
    groups = reader.get(fields.GROUPS)
    transitive = reader.get(fields.TRANSITIVE)
    return RevocationRequest(
        users=NamedUsers(users),
        groups=groups,
        # Without groups it means nothing, and then must not make two requests differ.
        transitive=transitive or not groups,
        filter=reader.get(fields.FILTER),
        exclude=tuple(NamedUsers(reader.get(fields.EXCLUDE))),
        reason=_reason(reader, limits),
        expected_users=reader.get(fields.EXPECTED_USERS),
        dry_run=reader.get(fields.DRY_RUN),
        verify=reader.get(fields.VERIFY),
        callback_url=_callback_url(reader, limits),
    )


def _callback_url(reader: BodyReader, limits: RequestLimits) -> str | None:
    """As given: what is wrong with it quotes no more of it than its host, for the rest may be a secret."""
    url = reader.get(fields.CALLBACK_URL)
    if url is not None and (detail := callback_mistake(url, limits.callback_hosts)):
        reader.faults.add("/callbackUrl", detail)
    return url


def _reason(reader: BodyReader, limits: RequestLimits) -> str | None:
    reason = reader.get(fields.REASON)
    if limits.require_reason and not (reason or "").strip():
        reader.faults.add("/reason", "is required here (REQUIRE_REASON); say why, e.g. a ticket number")
    return redacted(reason) if reason else reason


def _refuse_too_many(members: dict[str, Any], limits: RequestLimits) -> None:
    """``GuardRefused`` for lists longer than a request's may be, before anything is made of their entries."""
    lengths = {name: len(entries) for name, entries in members.items() if isinstance(entries, list)}
    named = lengths.get("users", 0) + (members.get("user") is not None)
    by_operator = "(MAX_USERS). Send several requests, or have an operator raise the limit."
    for pointer, what, count, most, advice in (
        ("/users", "names {} users", named, limits.max_users, by_operator),
        ("/exclude", "excludes {} users", lengths.get("exclude", 0), limits.max_users, by_operator),
        ("/groups", "names {} groups", lengths.get("groups", 0), fields.MOST_GROUPS, "in one request. Send several."),
    ):
        if count > most:
            detail = f"The request {what.format(count)} and at most {most} are allowed {advice}"
            raise GuardRefused(detail, pointer=pointer)
