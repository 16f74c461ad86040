"""The schemas of bodies and the app's own reader accept and refuse the same bodies."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from described import SCHEMAS, STRANGE, bodies, validator
from hypothesis import HealthCheck, Phase, given, seed, settings

from revoke_core.domain.callback import callback_mistake
from revoke_core.domain.errors import GuardRefused, InvalidRequest
from revoke_core.domain.fields import BODIES, CANCEL_OPEN, CONFIRM, MESSAGE, OWN, RETRY, SUBMIT, Body
from revoke_core.domain.mistakes import filter_mistake
from revoke_core.domain.request import RequestLimits
from revoke_core.domain.request_body import (
    parse_cancellation,
    parse_confirmation,
    parse_own_request,
    parse_queue_request,
    parse_request,
    parse_retry,
    read_json,
)

if TYPE_CHECKING:
    from collections.abc import Callable

HOSTS = frozenset({"hooks.contoso.com"})
LIMITS = RequestLimits(max_users=100_000, require_reason=False, callback_hosts=HOSTS)
ME = "8f5d7f3e-0000-4000-8000-000000000001"
READERS: dict[str, Callable[[Any], Any]] = {
    SUBMIT.name: lambda value: parse_request(value, LIMITS),
    MESSAGE.name: lambda value: parse_queue_request(value, LIMITS),
    OWN.name: lambda value: parse_own_request(value, ME, LIMITS),
    RETRY.name: parse_retry,
    CONFIRM.name: parse_confirmation,
    CANCEL_OPEN.name: parse_cancellation,
}
EXAMPLES = {
    SUBMIT.name: 1200,
    MESSAGE.name: 500,
    OWN.name: 200,
    RETRY.name: 100,
    CONFIRM.name: 200,
    CANCEL_OPEN.name: 300,
}


def reads(name: str, body: bytes) -> bool:
    """Whether the app takes a body as it arrives."""
    try:
        READERS[name](read_json(body))
    except (InvalidRequest, GuardRefused):
        return False
    return True


def is_within_the_schemas_reach(body: Any) -> bool:
    """Not what ``BEYOND`` lists."""
    members = body if isinstance(body, dict) else {}
    text, url = members.get("filter"), members.get("callbackUrl")
    is_beyond = isinstance(text, str) and filter_mistake(text.strip())
    return not (is_beyond or (isinstance(url, str) and callback_mistake(url, HOSTS)))


def test_every_body_is_generated() -> None:
    """A body that is added to the table is held against its schema, 2,500 bodies in all."""
    assert {body.name for body in BODIES} == set(READERS) == set(EXAMPLES)
    assert sum(EXAMPLES.values()) >= 2_500


@pytest.mark.parametrize("name", READERS)
def test_schema_and_reader_agree(name: str) -> None:
    """Bodies by the schema, and with members that it may refuse: both say yes, or both say no."""
    check, counts = validator(SCHEMAS[name]), {True: 0, False: 0}

    @seed(14)
    @settings(
        max_examples=EXAMPLES[name],
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(bodies(SCHEMAS[name]).filter(is_within_the_schemas_reach))
    def agree(body: Any) -> None:
        is_valid = check.is_valid(body)
        assert reads(name, json.dumps(body).encode()) == is_valid, body
        counts[is_valid] += 1

    agree()
    # Neither side may win by saying always the same.
    assert min(counts.values()) >= EXAMPLES[name] / 20, counts


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.name)
def test_each_slip_alone_is_judged_alike(body: Body) -> None:
    """Every strange value in every member of an otherwise right body: 1,900 in all."""
    check = validator(SCHEMAS[body.name])
    for field in body.fields:
        for value in STRANGE:
            slip = body.example | {field.name: value}
            if is_within_the_schemas_reach(slip):
                assert reads(body.name, json.dumps(slip).encode()) == check.is_valid(slip), slip


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.name)
def test_the_examples_are_taken(body: Body) -> None:
    """What a reader of the description copies works: the body's example, and each member's own."""
    assert validator(SCHEMAS[body.name]).is_valid(body.example)
    assert reads(body.name, json.dumps(body.example).encode())
    whole = {field.name: field.example for field in body.fields}
    assert validator(SCHEMAS[body.name]).is_valid(whole)
    assert reads(body.name, json.dumps(whole).encode())


# Rules that a schema cannot state or had better not: the app refuses what the schema takes.
BEYOND: dict[str, tuple[str, bytes]] = {
    "a member may not be given twice": (SUBMIT.name, b'{"user": "adele@contoso.com", "user": "bob@contoso.com"}'),
    "lone surrogates cannot be stored": (SUBMIT.name, rb'{"user": "adele@contoso.com", "reason": "\ud800"}'),
    "a whole name has 320 characters at most": (
        SUBMIT.name,
        json.dumps({"user": "a" * 64 + "@" + ".".join(["d" * 60] * 5)}).encode(),
    ),
    "a filter with typographic or double quotation marks": (SUBMIT.name, b'{"filter": "department eq \\"HP\\""}'),
    "a filter that begins with its parameter's name": (SUBMIT.name, b'{"filter": "$filter=department eq 1"}'),
    "a callback goes to a host that the operator has named": (
        SUBMIT.name,
        b'{"user": "adele@contoso.com", "callbackUrl": "https://elsewhere.contoso.com/"}',
    ),
    "a filter with another language's operators": (SUBMIT.name, b'{"filter": "department == 1"}'),
    "a time that is in no year of UTC": (
        CANCEL_OPEN.name,
        b'{"requestedBy": {"kind": "queue"}, "since": "0001-01-01T00:00:00+23:59"}',
    ),
}


@pytest.mark.parametrize("rule", BEYOND)
def test_what_the_schema_cannot_say_is_still_refused(rule: str) -> None:
    """The list of exceptions is whole and true: the schema takes each of these, and the app does not."""
    name, body = BEYOND[rule]
    assert validator(SCHEMAS[name]).is_valid(json.loads(body))
    assert not reads(name, body)


def test_settings_refuse_what_the_schema_takes() -> None:
    """MAX_USERS and REQUIRE_REASON are the operator's, so they stand in no schema; nor does an unknown null."""
    two = {"users": ["adele@contoso.com", "bob@contoso.com"]}
    assert validator(SCHEMAS[SUBMIT.name]).is_valid(two)
    with pytest.raises(GuardRefused):
        parse_request(two, RequestLimits(max_users=1, require_reason=False))
    with pytest.raises(InvalidRequest):
        parse_request(two, RequestLimits(max_users=2, require_reason=True))
    assert parse_request(two | {"unknown": None}, LIMITS).named == 2
    assert not validator(SCHEMAS[SUBMIT.name]).is_valid(two | {"unknown": None})
