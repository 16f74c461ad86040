"""``REVOKING_PAUSED=refuse``: nothing new is taken in, so nothing piles up to run when the pause ends."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from azure.storage.queue.aio import QueueClient
from outages import House, house

from revoke_core.bootstrap import build
from revoke_core.entrypoints.http.call import HttpCall
from revoke_core.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def refusing(azurite: str) -> AsyncIterator[House]:
    """An app whose operator has new requests refused."""
    async with house(azurite, REVOKING_PAUSED="Refuse") as made:
        yield made


@pytest.fixture
async def accepting(refusing: House) -> AsyncIterator[House]:
    """The same app before or after the operator's word."""
    settings = {"AzureWebJobsStorage": refusing.connection, "GRAPH_ENDPOINT": refusing.directory.root}
    app = build(read_settings(settings))
    yield replace(refusing, app=app)
    await app.close()


async def test_a_new_request_is_refused_and_its_caller_told_who_has_to_do_what(refusing: House) -> None:
    """503 with a time to come back; no request is left behind, and nobody is revoked."""
    (user,) = await refusing.directory.people(1, "refused")
    answer = await refusing.app.submit.submit(HttpCall(body=json.dumps({"user": user}).encode()))
    problem = json.loads(answer.body)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "60")
    assert problem["type"].endswith(":paused")
    assert "operator" in problem["detail"]
    listed = await refusing.app.read.requests(HttpCall(query={"user": user}))
    assert json.loads(listed.body)["value"] == []
    assert await refusing.directory.served() == []


async def test_what_was_accepted_before_is_answered_and_a_dry_run_is_carried_out(
    accepting: House, refusing: House
) -> None:
    """A repeated key finds its request, of which another body is a conflict; a dry run changes nothing."""
    (user, other) = await accepting.directory.people(2, "before")
    key = f"before-{user}"
    _, accepted = await accepting.submit({"user": user}, idempotency_key=key)
    status, again = await refusing.submit({"user": user}, idempotency_key=key)
    assert (status, again["id"], again["status"]) == (200, accepted["id"], "succeeded")
    assert (await refusing.submit({"user": other}, idempotency_key=key))[0] == 409
    (person,) = await refusing.directory.people(1, "dry")
    status, dry = await refusing.submit({"user": person, "dryRun": True})
    assert (status, dry["status"]) == (200, "planned")


async def test_a_retry_is_a_new_request(accepting: House, refusing: House) -> None:
    """It would revoke as any other."""
    _, failed = await accepting.submit({"user": "nobody-to-refuse@contoso.com"})
    assert (await refusing.app.control.retry(HttpCall(), failed["id"])).status == 503


async def test_a_message_waits_in_its_queue_until_requests_are_taken_again(
    refusing: House, accepting: House, azurite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It keeps its id and its age, and is carried out once when the operator has turned the refusing off."""
    monkeypatch.setattr("revoke_core.domain.redelivery.FIRST_PAUSE", timedelta(0))
    (user,) = await refusing.directory.people(1, "waits")
    await refusing.app.storage.ready()
    async with QueueClient.from_connection_string(azurite, "revocation-requests") as queue:
        await queue.clear_messages()
        await refusing.app.queue.message(user, str(uuid4()), inserted_at=datetime.now(UTC))
        assert await refusing.directory.served() == []
        (waiting,) = [message async for message in queue.receive_messages(visibility_timeout=60)]
        await accepting.app.queue.message(waiting.content, waiting.id, inserted_at=waiting.inserted_on)
        assert await refusing.directory.served() == [user]
        await queue.clear_messages()


@pytest.mark.parametrize(
    ("word", "expected"), [("refuse", (True, True)), ("on", (True, False)), ("FALSE", (False, False))]
)
def test_the_switch_has_three_positions(word: str, expected: tuple[bool, bool]) -> None:
    """Whoever refuses has paused as well."""
    settings = read_settings({"AzureWebJobsStorage": "UseDevelopmentStorage=true", "REVOKING_PAUSED": word})
    assert (settings.revoking_paused, settings.requests_refused) == expected
