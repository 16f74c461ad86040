"""How a caller's words are read: every fault is found before anything happens."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, Final

from revoke_core.domain.body_reader import (
    BODY_FIELDS,
    LARGEST_BODY,
    LONGEST_KEY,
    LONGEST_NAME,
    LONGEST_REASON,
    OWN_FIELDS,
    QUEUE_FIELDS,
    BodyReader,
    escaped,
    short,
)
from revoke_core.domain.errors import Fault, Faults, GuardRefused, InvalidRequest, TooLarge
from revoke_core.domain.named_users import NamedUsers
from revoke_core.domain.request import Limits, QueueClaims, RevocationRequest

MOST_GROUPS: Final = 1000


def read_json(body: bytes) -> Any:
    """The JSON value of a body: UTF-8, a byte order mark is skipped, doubled keys and NaN are faults."""
    if len(body) > LARGEST_BODY:
        raise TooLarge("The body is larger than 16 MiB; send the users in several requests.")
    if not body.strip():
        raise InvalidRequest([Fault("", 'the body is empty; send JSON such as {"user": "adele@contoso.com"}')])
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidRequest([Fault("", "the body is not UTF-8")]) from None
    doubled = Faults()

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) < len(pairs):
            for name in _repeated(pairs):
                doubled.add(f"/{escaped(name)}", "is given more than once")
        return members

    try:
        value = json.loads(text, object_pairs_hook=unique, parse_constant=_not_a_number)
    except RecursionError:
        raise InvalidRequest([Fault("", "the JSON is nested too deeply")]) from None
    except ValueError as problem:
        raise InvalidRequest([Fault("", f"the body is not valid JSON: {short(str(problem))}")]) from None
    if doubled:
        raise InvalidRequest(doubled)
    return value


def _not_a_number(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


def _repeated(pairs: list[tuple[str, Any]]) -> list[str]:
    return [name for name, times in Counter(name for name, _ in pairs).items() if times > 1]


def parse_request(value: Any, limits: Limits, *, allowed: tuple[str, ...] = BODY_FIELDS) -> RevocationRequest:
    """The request a JSON value stands for, or ``InvalidRequest`` with all its faults.

    ``GuardRefused`` for one that holds too much; nothing in it is looked at then.
    """
    if not isinstance(value, dict):
        raise InvalidRequest([Fault("", "must be a JSON object")])
    _refuse_too_many(value, limits)
    reader = BodyReader({name: member for name, member in value.items() if member is not None})
    reader.refuse_unknown(allowed)
    users = reader.users("user") + reader.users("users")
    groups = reader.groups("groups")
    transitive = reader.flag("transitive", default=True)
    request = RevocationRequest(
        users=NamedUsers(users),
        groups=groups,
        # Without groups it says nothing, and then it must not tell two requests apart either.
        transitive=transitive or not groups,
        filter=reader.filter("filter"),
        exclude=tuple(NamedUsers(reader.users("exclude"))),
        reason=reader.text("reason", LONGEST_REASON),
        expected_users=reader.count("expectedUsers"),
        dry_run=reader.flag("dryRun", default=False),
        verify=reader.flag("verify", default=True),
    )
    if not reader.names_somebody():
        reader.faults.add("", "names nobody; give user, users, groups or filter")
    if limits.require_reason and not (request.reason or "").strip():
        reader.faults.add("/reason", "is required here (REQUIRE_REASON); say why, e.g. a ticket number")
    if reader.faults:
        raise InvalidRequest(reader.faults)
    return request


def _refuse_too_many(members: dict[str, Any], limits: Limits) -> None:
    """``GuardRefused`` for lists longer than a request's may be, before anything is made of their entries."""
    held = {name: len(entries) for name, entries in members.items() if isinstance(entries, list)}
    named = held.get("users", 0) + (members.get("user") is not None)
    by_operator = "(MAX_USERS). Send several requests, or have an operator raise the limit."
    for pointer, what, count, most, advice in (
        ("/users", "names {} users", named, limits.max_users, by_operator),
        ("/exclude", "excludes {} users", held.get("exclude", 0), limits.max_users, by_operator),
        ("/groups", "names {} groups", held.get("groups", 0), MOST_GROUPS, "in one request. Send several."),
    ):
        if count > most:
            detail = f"The request {what.format(count)} and at most {most} are allowed {advice}"
            raise GuardRefused(detail, pointer=pointer)


def parse_own_request(value: Any, user_id: str, limits: Limits) -> RevocationRequest:
    """As ``parse_request`` for a caller's own sessions: who is meant is known, and only a reason can be given."""
    if not isinstance(value, dict):
        raise InvalidRequest([Fault("", "must be a JSON object")])
    reader = BodyReader({name: member for name, member in value.items() if member is not None})
    reader.refuse_unknown(OWN_FIELDS)
    try:
        request = parse_request({"user": user_id, "reason": value.get("reason")}, limits)
    except InvalidRequest as problem:
        raise InvalidRequest(reader.faults + problem.faults) from None
    if reader.faults:
        raise InvalidRequest(reader.faults)
    return request


def parse_confirmation(value: Any) -> int:
    """The number of users in ``{"users": 340}``."""
    if not isinstance(value, dict):
        raise InvalidRequest([Fault("", 'must be a JSON object such as {"users": 340}')])
    reader = BodyReader(value)
    reader.refuse_unknown(("users",))
    users = reader.count("users")
    if users is None and not reader.faults:
        reader.faults.add("/users", "is missing: the number of users the request was held with")
    if users is None or reader.faults:
        raise InvalidRequest(reader.faults)
    return users


def parse_queue_request(value: Any, limits: Limits) -> tuple[RevocationRequest, QueueClaims]:
    """As ``parse_request`` for a queue message, which may also carry its key and its sender."""
    faults = Faults()
    claims = QueueClaims()
    if isinstance(value, dict):
        reader = BodyReader({name: member for name, member in value.items() if member is not None})
        claims = QueueClaims(
            idempotency_key=reader.text("idempotencyKey", LONGEST_KEY),
            requested_by=reader.text("requestedBy", LONGEST_NAME),
        )
        faults = reader.faults
    try:
        request = parse_request(value, limits, allowed=BODY_FIELDS + QUEUE_FIELDS)
    except InvalidRequest as problem:
        raise InvalidRequest(problem.faults + faults) from None
    if faults:
        raise InvalidRequest(faults)
    return request, claims
