"""One caller's flood: its own share comes first, the rest waits behind others, and at its limit it is told to wait."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from engine import new_record, stored_run
from steps import NAMES, JumpingClock, submission, submitter

from revoke_core.domain.errors import TooManyOpen
from revoke_core.domain.lanes import SHARE, Lane
from revoke_core.domain.named_users import NamedUsers
from revoke_core.domain.request import RevocationRequest
from revoke_core.domain.request_record import RequestedBy, RequestStatus
from revoke_core.service.intake.admission import Admission

if TYPE_CHECKING:
    from engine import Engine

MOST = 25


def somebody() -> RequestedBy:
    """A caller that no other test has."""
    return RequestedBy(kind="key", id=secrets.token_hex(8))


def admission(engine: Engine) -> Admission:
    return Admission(protected=engine.protected, open_requests=engine.open_requests, clock=engine.clock, most_open=MOST)


async def opened(engine: Engine, caller: RequestedBy, number: int = 1) -> list[str]:
    """So many requests of a caller that have not ended, accepted by another instance."""
    ids = []
    for _ in range(number):
        record = replace(new_record(engine.clock.now()), requested_by=caller)
        await engine.log.create_request(record, RevocationRequest(users=NamedUsers(NAMES[:1])))
        ids.append(record.id)
    return ids


async def test_a_callers_small_requests_beyond_its_share_go_behind_those_of_others(engine: Engine) -> None:
    """What it has open with other instances counts; a large request has a lane of its own, whoever sends it."""
    flood, other, here = somebody(), somebody(), admission(engine)
    await opened(engine, flood, SHARE - 1)
    lanes = [await here.admit(flood.caller, is_small=True) for _ in range(3)]
    assert lanes == [Lane.SMALL, Lane.BEYOND_SHARE, Lane.BEYOND_SHARE]
    assert await here.admit(other.caller, is_small=True) is Lane.SMALL
    assert await here.admit(other.caller, is_small=False) is Lane.LARGE


async def test_requests_that_ended_give_their_share_back(engine: Engine) -> None:
    """A caller that sends one after the other never leaves its share."""
    caller, here = somebody(), admission(engine)
    for _ in range(3 * SHARE):
        assert await here.admit(caller.caller, is_small=True) is Lane.SMALL
        here.ended(caller.caller)


async def test_a_caller_at_its_limit_is_told_when_to_come_again(still: tuple[Engine, JumpingClock]) -> None:
    """Nothing is accepted; other callers are not affected, and once a request has ended the next one is admitted."""
    engine, clock = still
    flood, other, here = somebody(), somebody(), admission(engine)
    ids = await opened(engine, flood, MOST)
    with pytest.raises(TooManyOpen, match="25 requests open") as refused:
        await here.admit(flood.caller, is_small=True)
    assert refused.value.retry_after
    assert await here.admit(other.caller, is_small=True) is Lane.SMALL
    assert (await engine.resume(ids[0])).status is RequestStatus.SUCCEEDED
    clock.jump(seconds=6)
    assert await here.admit(flood.caller, is_small=True) is Lane.BEYOND_SHARE


async def test_a_repeated_key_is_answered_although_its_caller_is_at_the_limit(engine: Engine) -> None:
    """The request was accepted before; asking for it again is no new one."""
    caller = somebody()
    asked = replace(submission(), requested_by=caller, idempotency_key=secrets.token_hex(8))
    accepted = await submitter(engine).submit(asked, within=None)
    full = submitter(engine)
    full._admission = Admission(
        protected=engine.protected, open_requests=engine.open_requests, clock=engine.clock, most_open=1
    )
    assert (await full.submit(asked, within=None)).record.id == accepted.record.id
    with pytest.raises(TooManyOpen):
        await full.submit(replace(asked, idempotency_key=None), within=None)


async def test_the_lane_stays_with_the_request(engine: Engine) -> None:
    """A worker of another instance draws the budget as the request was admitted."""
    flood = somebody()
    await opened(engine, flood, SHARE)
    asked = replace(submission(), requested_by=flood)
    accepted = await submitter(engine).submit(asked, within=None)
    stored = await engine.log.get_request(accepted.record.id)
    assert stored is not None
    assert stored.lane is Lane.BEYOND_SHARE
    assert (await engine.resume(stored.id)).status is RequestStatus.SUCCEEDED
    assert (await stored_run(engine.log, stored.id)).counts.verified == len(NAMES)
