"""No outage of ours ends a valid message before its 24 hours, and none makes it count twice."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from azure.storage.queue.aio import QueueClient

from local.testbed.exchanges import is_request_creation
from revoke_core.domain.redelivery import WaitingMessage, received
from revoke_core.domain.schedules import LONGEST_PAUSE
from revoke_core.entrypoints.http.call import HttpCall

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from azure.storage.queue import QueueMessage
    from outages import House
    from steps import JumpingClock

    from local.testbed.proxy import Exchange


@pytest.fixture
async def door(whole: House, azurite: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[QueueClient]:
    """The doors' queue, empty; what goes back to it is visible at once."""
    monkeypatch.setattr("revoke_core.domain.redelivery.FIRST_PAUSE", timedelta(0))
    await whole.app.storage.ready()
    async with QueueClient.from_connection_string(azurite, "revocation-requests") as queue:
        await queue.clear_messages()
        yield queue
        await queue.clear_messages()


async def delivered(house: House, door: QueueClient) -> list[str]:
    """Deliver once what waits in the queue, as the host does; the ids of the messages."""
    waiting = [message async for message in door.receive_messages(visibility_timeout=60)]

    async def deliver(message: QueueMessage) -> None:
        await house.app.queue.message(message.content, message.id, inserted_at=message.inserted_on)
        await door.delete_message(message)

    await asyncio.gather(*map(deliver, waiting))
    return [message.id for message in waiting]


async def entries(house: House, status: str) -> list[dict[str, Any]]:
    answer = await house.app.read.requests(HttpCall(query={"status": status, "pageSize": "1000"}))
    return list(json.loads(answer.body)["value"])


async def test_a_message_outlives_an_outage_of_the_tables_however_often_it_is_tried(
    whole: House, door: QueueClient
) -> None:
    """Far more tries than the host's five: the message waits in its queue and is carried out once, no row fails."""
    people = await whole.directory.people(3, "outlives")
    before = len(await entries(whole, "failed"))
    whole.outage.of_tables()
    for user in people:
        await door.send_message(json.dumps({"user": user}))
    for _ in range(8):
        assert len(await delivered(whole, door)) == 3
    assert await whole.directory.served() == []
    whole.outage.over()
    await delivered(whole, door)
    assert await delivered(whole, door) == []
    assert sorted(await whole.directory.served()) == sorted(people)
    assert len(await entries(whole, "failed")) == before


async def test_a_message_that_was_accepted_before_the_outage_is_not_revoked_again(
    whole: House, door: QueueClient
) -> None:
    """Its request is durable although its first try failed: it keeps its first id, and so its idempotency key."""
    (user,) = await whole.directory.people(1, "accepted")
    await door.send_message(user)

    def loses(exchange: Exchange) -> bool:
        if is_request_creation(exchange):
            whole.outage.of_tables()
        return exchange.side == "table" and whole.outage.cuts is not None

    whole.outage.loses = loses
    await delivered(whole, door)
    whole.outage.over()
    entry = (await entries(whole, "accepted"))[0]
    await whole.app.queue.work(json.dumps({"requestId": entry["id"]}))
    assert await whole.directory.served() == [user]
    assert len(await delivered(whole, door)) == 1
    assert await whole.directory.served() == [user]


async def test_a_poisoned_message_is_given_back_and_carried_out(whole: House, door: QueueClient) -> None:
    """The host gave it up; nothing was wrong with it."""
    (user,) = await whole.directory.people(1, "poisoned")
    await whole.app.queue.poison(user, str(uuid4()), inserted_at=datetime.now(UTC))
    assert await whole.directory.served() == []
    await delivered(whole, door)
    assert await whole.directory.served() == [user]


async def test_a_message_that_ends_its_hosts_goes_back_before_its_tries_run_out(
    whole: House, door: QueueClient
) -> None:
    """A host that dies with the message in hand uses up a try: the third goes back under the message's own id."""
    (user,) = await whole.directory.people(1, "deadly")
    message_id = str(uuid4())
    await whole.app.queue.message(user, message_id, tries=3)
    assert await whole.directory.served() == []
    await delivered(whole, door)
    await whole.app.queue.message(user, message_id)
    assert await whole.directory.served() == [user]


async def test_a_message_that_waited_for_a_day_ends_with_a_row(
    whole: House, door: QueueClient, clock: JumpingClock
) -> None:
    """Nothing that old is revoked; its sender finds it in the status log, also when the tables come back late."""
    (user,) = await whole.directory.people(1, "aged")
    await door.send_message(json.dumps({"user": user, "reason": f"aged {user}"}))
    whole.outage.of_tables()
    await delivered(whole, door)
    clock.jump(hours=23)
    await delivered(whole, door)
    assert await whole.directory.served() == []
    clock.jump(hours=1)
    await delivered(whole, door)
    whole.outage.over()
    await delivered(whole, door)
    assert await whole.directory.served() == []
    (entry,) = [entry for entry in await entries(whole, "failed") if user in entry.get("messageText", "")]
    assert entry["error"]["code"] == "notProcessed"


async def test_an_invalid_message_gets_its_row_after_the_outage(whole: House, door: QueueClient) -> None:
    """It cannot be entered while the tables are down; its text is what its sender wrote, not an envelope."""
    mark = f"noise {uuid4()}"
    await door.send_message(mark)
    whole.outage.of_tables()
    for _ in range(2):
        await delivered(whole, door)
    whole.outage.over()
    await delivered(whole, door)
    (entry,) = [entry for entry in await entries(whole, "failed") if entry.get("messageText") == mark]
    assert entry["error"]["code"] == "invalidMessage"


def test_a_message_waits_longer_each_time_and_keeps_its_id_and_age() -> None:
    """Ten seconds, doubling, at most five minutes; the envelope tells what the queue forgets."""
    first = datetime(2026, 9, 10, 12, tzinfo=UTC)
    message = WaitingMessage(text='{"user": "adele@contoso.com"} \U0001f600', message_id="m-1", inserted_at=first)
    pauses = []
    for _ in range(8):
        pauses.append(message.pause)
        message = received(message.envelope(), "another", first + timedelta(hours=1))
    assert pauses[:4] == [timedelta(seconds=seconds) for seconds in (10, 20, 40, 80)]
    assert pauses[-1] == LONGEST_PAUSE
    assert (message.message_id, message.inserted_at, message.given_back) == ("m-1", first, 8)
    assert message.text.endswith("\U0001f600")


def test_the_largest_message_fits_its_envelope() -> None:
    """A queue message has 64 KiB, and a full one must not become too large to go back."""
    text = json.dumps({"users": [str(uuid4()) for _ in range(1600)]})
    assert len(WaitingMessage(text=text, message_id=str(uuid4()), inserted_at=datetime.now(UTC)).envelope()) < 64_000


@pytest.mark.parametrize(
    "text",
    [
        '{"redelivery":5}',
        '{"redelivery":{}}',
        '{"redelivery":{"messageId":"m","insertedAt":"x","givenBack":1,"text":"eA=="}}',
        '{"redelivery":{"messageId":1,"insertedAt":"2026-09-10T12:00:00Z","givenBack":1,"text":"eJwDAAAAAAE="}}',
        '{"redelivery":' + "[" * 50_000,
    ],
)
def test_what_only_looks_like_an_envelope_is_a_message_of_its_sender(text: str) -> None:
    """Then it is judged as any other text."""
    now = datetime.now(UTC)
    assert received(text, "own", now) == WaitingMessage(text=text, message_id="own", inserted_at=now)


async def test_a_key_belongs_to_the_sender_who_claims_it_and_a_dry_run_blocks_nobody(
    whole: House, door: QueueClient
) -> None:
    """Somebody's dry run, and another system's request, under the key of HR's leaver: HR's message is carried out."""
    (leaver, other) = await whole.directory.people(2, "leaver")
    key = f"hr-{leaver}"
    for message in (
        {"user": leaver, "dryRun": True},
        {"user": leaver, "dryRun": True, "requestedBy": "HR"},
        {"user": other, "requestedBy": "Facilities"},
        {"user": leaver, "requestedBy": "HR"},
    ):
        await door.send_message(json.dumps(message | {"idempotencyKey": key}))
        await delivered(whole, door)
    assert await whole.directory.served() == [other, leaver]
    await door.send_message(json.dumps({"user": other, "requestedBy": "HR", "idempotencyKey": key}))
    await delivered(whole, door)
    assert await whole.directory.served() == [other, leaver]
    failed = [entry["error"] for entry in await entries(whole, "failed") if "error" in entry]
    assert "idempotencyConflict" in [error["code"] for error in failed]


async def test_over_http_too_a_dry_run_never_stands_in_the_way(whole: House) -> None:
    """First look, then do: one key for both is what a careful script sends."""
    (user,) = await whole.directory.people(1, "careful")
    headers = {"idempotency_key": f"careful-{user}"}
    first, planned = await whole.submit({"user": user, "dryRun": True}, **headers)
    second, done = await whole.submit({"user": user}, **headers)
    assert (first, planned["status"], second, done["status"]) == (200, "planned", 200, "succeeded")
    third, refused = await whole.submit({"user": user, "reason": "other"}, **headers)
    assert (third, refused["status"]) == (409, 409)
