from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from engine import Engine, new_record, stored_run
from steps import begun, person

from revoke_core.adapters.clock import SystemClock
from revoke_core.adapters.pacing.row import PARTITION
from revoke_core.adapters.storage import STATE_TABLE
from revoke_core.domain import problems
from revoke_core.domain.identifiers import parse_user
from revoke_core.domain.named_users import NamedUsers
from revoke_core.domain.request import RevocationRequest
from revoke_core.domain.request_record import RequestStatus
from revoke_core.domain.responses import Delivery
from revoke_core.domain.user_state import Counts
from revoke_core.service.engine.protection import ProtectedListUnreadable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from listing import Directory

    from revoke_core.adapters.storage import Storage


@pytest.fixture
async def throttled(engine: Engine, directory: Directory) -> AsyncIterator[Engine]:
    """Graph asks every reader to wait for a minute; the gate is open again for whoever tests next."""
    await directory.post("throttle", {"seconds": 60, "kind": "read"})
    yield engine
    await engine.gates.reopen("read")


async def reads(directory: Directory) -> int:
    """Calls that reached Graph, items of a batch and their envelope included."""
    return sum((await directory.calls()).values())


async def test_the_rest_of_a_page_is_not_looked_up_once_graph_asks_to_wait(
    throttled: Engine, directory: Directory
) -> None:
    """Three calls of 20 were on their way together; the other 27 of the page stay here."""
    people = NamedUsers(f"late{number}@contoso.com" for number in range(600))
    lookup = await throttled.lookup.look_up(people)
    assert (lookup.obstacle, lookup.answers) == (problems.THROTTLED, {})
    assert (await directory.calls()).get("/$batch") == 3


async def test_whoever_reads_waits_behind_one_gate(throttled: Engine, directory: Directory) -> None:
    """A filter that is tried, a list, the protected group: none is asked for in a pause that any other was told of."""
    await throttled.lookup.look_up(NamedUsers(["adele@contoso.com"]))
    before = await reads(directory)
    assert await throttled.sources.check_filter("department eq 'HP'") is None
    throttled.protect(group=await directory.group("Protected", []))
    with pytest.raises(ProtectedListUnreadable):
        await throttled.protected.keys()
    for pages in (throttled.gated.group_members("0" * 8), throttled.gated.users_matching("accountEnabled eq true")):
        assert [(answer.status, answer.body) async for answer in pages] == [(429, None)]
    assert await reads(directory) == before


@pytest.mark.parametrize("reader", ["filter", "protected", "list"])
async def test_whoever_is_told_to_wait_closes_the_gate(throttled: Engine, directory: Directory, reader: str) -> None:
    """Also outside any request's own course: the next one to read knows of it."""
    if reader == "filter":
        await throttled.sources.check_filter("department eq 'HP'")
    elif reader == "list":
        assert [answer.status async for answer in throttled.gated.users_matching("accountEnabled eq true")] == [429]
    else:
        throttled.protect(group=await directory.group("Protected", []))
        with pytest.raises(ProtectedListUnreadable):
            await throttled.protected.keys()
    assert await throttled.gates.closed_until("read")
    assert await throttled.gates.closed_until("write") is None


NAMES = [f"team{number:02d}@contoso.com" for number in range(1, 6)]


async def test_users_of_a_refused_batch_are_each_told_by_their_own_answer(engine: Engine, directory: Directory) -> None:
    """Graph calls the envelope wrong, not the users: they are asked one by one."""
    named = [user for user in map(parse_user, [*NAMES, "nobody@contoso.com"]) if user]
    for call in (engine.gated.read_users, engine.gated.revoke):
        for status in (400, 403, 404):
            await directory.post("faults", {"match": {"scope": "envelope"}, "action": {"status": status}})
            assert [answer.status for answer in await call(named)] == [200] * 5 + [404]


async def test_calls_one_by_one_stop_with_the_first_that_is_throttled(engine: Engine, directory: Directory) -> None:
    """Those behind it never left, and the gate is closed."""
    named = [user for user in map(parse_user, NAMES) if user]
    throttled = {"status": 429, "headers": {"Retry-After": "60"}}
    faults = [
        {"match": {"scope": "envelope"}, "action": {"status": 400}},
        {"match": {"scope": "single", "path": "revokeSignInSessions"}, "after": 2, "action": throttled},
    ]
    await directory.post("faults", faults)
    answers = await engine.gated.revoke(named)
    assert [answer.status for answer in answers] == [200, 200, 429, 429, 429]
    assert [answer.delivery for answer in answers[3:]] == [Delivery.NOT_SENT] * 2
    assert len(await directory.served()) == 3
    assert await engine.gates.closed_until("write")
    await engine.gates.reopen("write")


class JumpingClock(SystemClock):
    """The system's, moved on by unit."""

    ahead = timedelta(0)

    def now(self) -> datetime:
        """Ahead of the system's by all jumps."""
        return super().now() + self.ahead

    def jump(self, minutes: float) -> None:
        """Time goes by."""
        self.ahead += timedelta(minutes=minutes)


@pytest.fixture
async def patient(storage: Storage, directory: Directory) -> AsyncIterator[tuple[Engine, JumpingClock]]:
    """Graph has asked readers to wait for three hours."""
    clock = JumpingClock()
    made = Engine(storage=storage, root=directory.root, clock=clock)
    await made.gates.close_for("read", timedelta(hours=3))
    yield made, clock
    await made.close()
    # What it wrote lies ahead of the clock that everybody else goes by.
    table = storage.table(STATE_TABLE)
    async for row in table.query_entities("PartitionKey eq @pace", parameters={"pace": PARTITION}):
        await table.delete_entity(row)


async def test_a_very_long_pause_is_probed_with_one_user(
    patient: tuple[Engine, JumpingClock], directory: Directory
) -> None:
    """After ten minutes, by one caller; refused once more it stays closed, and answered it opens for everybody."""
    engine, clock = patient
    named = [user for user in map(parse_user, NAMES) if user]
    assert [answer.status for answer in await engine.gated.read_users(named)] == [429] * 5
    assert await reads(directory) == 0
    clock.jump(10.1)
    await directory.fault("^/users", status=429, headers={"Retry-After": "7200"})
    assert [answer.status for answer in await engine.gated.read_users(named)] == [429] * 5
    assert await reads(directory) == 1
    assert [answer.status for answer in await engine.gated.read_users(named)] == [429] * 5
    assert await reads(directory) == 1
    clock.jump(10.1)
    assert [answer.status for answer in await engine.gated.read_users(named)] == [200, 429, 429, 429, 429]
    assert [answer.status for answer in await engine.gated.read_users(named)] == [200] * 5


@pytest.mark.parametrize("status", [302, 409, 423])
async def test_a_probe_that_is_told_to_wait_is_no_sign_of_health(
    patient: tuple[Engine, JumpingClock], directory: Directory, status: int
) -> None:
    """Whatever it is told with it: the gate stays closed for as long as Graph asks."""
    engine, clock = patient
    clock.jump(10.1)
    await directory.fault("^/users", status=status, headers={"Retry-After": "7200"})
    await engine.gated.read_users([user for user in map(parse_user, NAMES) if user])
    closed = await engine.gates.closed_until("read")
    assert closed
    assert closed > clock.now() + timedelta(hours=1)


@pytest.mark.parametrize("reader", ["filter", "list"])
async def test_any_read_may_be_the_probe(patient: tuple[Engine, JumpingClock], reader: str) -> None:
    """Whoever comes first once ten minutes have passed."""
    engine, clock = patient
    text = "accountEnabled eq true"
    clock.jump(10.1)
    if reader == "filter":
        assert (await engine.gated.probe_filter(text)).status == 200
    else:
        assert {answer.status async for answer in engine.gated.users_matching(text)} == {200}
    assert await engine.gates.closed_until("read") is None


async def test_a_request_comes_back_for_the_probe_and_goes_on(
    patient: tuple[Engine, JumpingClock], directory: Directory
) -> None:
    """It does not sleep for the three hours that Graph asked for."""
    engine, clock = patient
    record = new_record(clock.now(), counts=Counts(total=5, pending=5))
    await engine.log.create_request(record, RevocationRequest(users=NamedUsers(NAMES)))
    await engine.resume(record.id)
    waits_until = (await stored_run(engine.log, record.id)).due_at
    assert waits_until
    assert timedelta(minutes=9) < waits_until - clock.now() <= timedelta(minutes=10)
    clock.jump(10.1)
    assert (await engine.resume(record.id)).status is RequestStatus.SUCCEEDED
    assert len(await directory.served()) == 5


async def test_a_refused_user_opens_the_gate_of_writes_as_well(
    patient: tuple[Engine, JumpingClock], directory: Directory
) -> None:
    """Graph has answered the probe: the others need not wait three hours because the first one is no user any more."""
    engine, clock = patient
    await engine.gates.reopen("read")
    await engine.gates.close_for("write", timedelta(hours=3))
    record, _ = await begun(engine, [person(place) for place in (1, 2, 3)])
    await engine.resume(record.id)
    assert await directory.served() == []
    clock.jump(10.1)
    await directory.post("faults", {"match": {"path": "revokeSignInSessions"}, "action": {"status": 404}})
    final = await engine.resume(record.id)
    assert (final.status, final.counts.verified, final.counts.failed) == (RequestStatus.PARTIALLY_SUCCEEDED, 2, 1)
