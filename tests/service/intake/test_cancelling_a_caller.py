"""An operator ends everything that one caller has open, in one call."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from engine import new_record
from steps import NAMES, ago, begun, controls, person

from revoke_core.domain.errors import InvalidRequest
from revoke_core.domain.named_users import NamedUsers
from revoke_core.domain.request import RevocationRequest
from revoke_core.domain.request_body import parse_cancellation
from revoke_core.domain.request_record import RequestedBy, RequestStatus

if TYPE_CHECKING:
    from engine import Engine

FLOOD = RequestedBy(kind="key", id="f100df100df100d0")
OTHER = RequestedBy(kind="key", id="0123456789abcdef")


async def opened(engine: Engine, caller: RequestedBy, *, age: timedelta = timedelta(0)) -> str:
    """A request of this caller that was accepted and not begun."""
    record = replace(new_record(ago(seconds=age.total_seconds())), requested_by=caller)
    await engine.log.create_request(record, RevocationRequest(users=NamedUsers(NAMES[:1])))
    return record.id


async def test_everything_that_one_caller_has_open_ends_and_nobody_elses(engine: Engine) -> None:
    """Begun or not: the caller's requests end cancelled without a call to Graph; those of others are carried out."""
    flood = [await opened(engine, FLOOD) for _ in range(3)]
    other = await opened(engine, OTHER)
    record, _ = await begun(engine, [person(1), person(2)])
    assert await controls(engine).cancel_open(FLOOD.caller, None) == 3
    for request_id in flood:
        assert (await engine.resume(request_id)).status is RequestStatus.CANCELLED
    assert (await engine.resume(other)).status is RequestStatus.SUCCEEDED
    assert (await engine.resume(record.id)).status is RequestStatus.SUCCEEDED
    assert await controls(engine).cancel_open(FLOOD.caller, None) == 0


async def test_only_what_was_accepted_since_a_moment_is_cancelled(engine: Engine) -> None:
    """The key was good until yesterday: what it asked for before stays."""
    before = await opened(engine, FLOOD, age=timedelta(hours=2))
    after = await opened(engine, FLOOD, age=timedelta(minutes=5))
    assert await controls(engine).cancel_open(FLOOD.caller, ago(hours=1)) == 1
    assert (await engine.resume(after)).status is RequestStatus.CANCELLED
    assert (await engine.resume(before)).status is RequestStatus.SUCCEEDED


async def test_a_cancelled_request_without_a_message_is_redriven_by_the_next_run_of_the_timer(engine: Engine) -> None:
    """Held or paused requests wait for hours otherwise, and their messages are not needed for that."""
    request_id = await opened(engine, FLOOD)
    await engine.open_requests.postpone(request_id, engine.clock.now() + timedelta(hours=1), paused=True)
    await controls(engine).cancel_open(FLOOD.caller, None)
    assert request_id in await engine.open_ids(engine.clock.now())
    assert (await engine.resume(request_id)).status is RequestStatus.CANCELLED


def test_callers_are_named_as_requests_show_them() -> None:
    """What is copied from a request's ``requestedBy`` is taken; the queue and a local host are one caller each."""
    shown = {"kind": "entra", "id": "8f5d7f3e-0000-4000-8000-000000000001", "name": "Adele", "appId": "x"}
    assert parse_cancellation({"requestedBy": shown}) == ("entra:8f5d7f3e-0000-4000-8000-000000000001", None)
    assert parse_cancellation({"requestedBy": {"kind": "queue", "id": "a-message"}})[0] == "queue"
    caller, since = parse_cancellation({"requestedBy": {"kind": "key", "id": "f1"}, "since": "2026-09-10T14:32:27Z"})
    assert caller == "key:f1"
    assert since is not None


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"requestedBy": "f1"},
        {"requestedBy": {"kind": "key"}},
        {"requestedBy": {"kind": "nobody", "id": "x"}},
        {"requestedBy": {"kind": "key", "id": "f1"}, "since": "yesterday"},
        {"requestedBy": {"kind": "key", "id": "f1"}, "all": True},
        [],
    ],
)
def test_nothing_is_cancelled_for_a_caller_that_is_not_named_exactly(body: object) -> None:
    """A slip must not end other callers' requests."""
    with pytest.raises(InvalidRequest):
        parse_cancellation(body)
