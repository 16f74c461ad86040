"""Requests that arrive as Event Grid events: out of their envelope, onto the queue, and carried out once."""

from __future__ import annotations

import base64
import json
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4
from xml.etree import ElementTree as ET

import pytest
from aiohttp import web
from clients import send_message
from workflow_engine import SUCCEEDED, Run
from workflow_language import evaluated
from workflows import expansion, workflow

from revoke_core.domain.errors import InvalidRequest
from revoke_core.domain.message import parse_message
from revoke_core.domain.request import RequestLimits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import ClientSession
    from clients import Api, Tenant
    from workflow_language import Functions

BY = "Event Grid topic evgt-contoso-security"
TOKEN = {"Authorization": "Bearer made-up-token"}


def event(data: Any, kind: str = "Contoso.Security.SessionsToRevoke") -> dict[str, Any]:
    """An event in the Event Grid schema, as a subscriber gets it."""
    return {
        "id": str(uuid4()),
        "topic": "/subscriptions/s/resourceGroups/g/providers/Microsoft.EventGrid/topics/evgt-contoso-security",
        "subject": "leavers/4711",
        "eventType": kind,
        "eventTime": "2026-11-28T09:19:57.7470000Z",
        "data": data,
        "dataVersion": "1.0",
        "metadataVersion": "1",
    }


class Delivery(Run):
    """One delivery to the shipped workflow; ``answer`` is what Event Grid gets, ``None`` that it delivers again."""

    answer: dict[str, Any] | None = None

    async def _do_response(self, action: dict[str, Any], functions: Functions) -> dict[str, Any]:
        self.answer = evaluated(action["inputs"], functions)
        return {"status": SUCCEEDED}


async def delivered(session: ClientSession, events: list[dict[str, Any]], url: str = "http://127.0.0.1:9") -> Delivery:
    """One delivery, from the trigger to the end."""
    found = workflow("event-grid")["properties"]
    parameters = {"messagesUrl": url, "requestedBy": found["parameters"]["requestedBy"]["value"]}
    tokens = {"https://storage.azure.com/": TOKEN}
    run = Delivery(found["definition"], parameters, session, tokens=lambda audience: tokens[audience])
    await run.start(events)
    return run


@asynccontextmanager
async def queue_service(connection: str, *, is_down: bool = False) -> AsyncIterator[tuple[str, list[str]]]:
    """Put Message as the queue service reads it, with a token; the text goes on to the emulator, which takes none."""
    texts: list[str] = []

    async def put(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == TOKEN["Authorization"]
        assert request.headers["x-ms-version"] >= "2017-11-09"
        if is_down:
            return web.Response(status=503)
        root = ET.fromstring(await request.text())  # noqa: S314 -- the workflow's own text
        assert (root.tag, [child.tag for child in root]) == ("QueueMessage", ["MessageText"])
        texts.append(root[0].text or "")
        await send_message(connection, texts[-1])
        return web.Response(status=201, content_type="application/xml", text="<QueueMessagesList/>")

    app = web.Application()
    app.router.add_post("/revocation-requests/messages", put)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        yield f"http://127.0.0.1:{port}/revocation-requests/messages", texts
    finally:
        await runner.cleanup()


async def test_an_event_is_carried_out_once_however_often_it_is_delivered(
    api: Api, tenant: Tenant, session: ClientSession, connection: str, person: dict[str, Any]
) -> None:
    """Event Grid delivers at least once: the event's id is the key, and the topic stands as the sender."""
    given = event({"users": [person["id"]], "reason": 'leaver <4711> & "Zoë"'})
    async with queue_service(connection) as (url, texts):
        for _ in range(2):
            run = await delivered(session, [given], url)
            assert (run.status, run.answer) == ("Succeeded", {"statusCode": 200})
        assert len(texts) == 2
    done = await api.of_user(person["id"])
    assert (done.user["status"], done.json["reason"]) == ("verified", given["data"]["reason"])
    assert done.json["requestedBy"] | {"name": BY, "claim": True} == done.json["requestedBy"]
    assert len((await api.get(f"revocations?user={person['id']}")).json["value"]) == 1
    assert len(await tenant.served(person["id"])) == 1


async def test_a_sender_cannot_choose_key_or_name(session: ClientSession, connection: str) -> None:
    """Whoever publishes to the topic is the topic: another name would have keys of its own."""
    given = event({"user": "adele@contoso.com", "dryRun": True, "idempotencyKey": "mine", "requestedBy": "the board"})
    async with queue_service(connection) as (url, texts):
        await delivered(session, [given], url)
    sent = json.loads(base64.b64decode(texts[0]))
    assert (sent["idempotencyKey"], sent["requestedBy"]) == (given["id"], BY)


async def test_what_could_not_be_queued_is_delivered_again(session: ClientSession, connection: str) -> None:
    """No answer, and a failed run: Event Grid repeats; a 200 would lose the request."""
    async with queue_service(connection, is_down=True) as (url, texts):
        run = await delivered(session, [event({"user": "adele@contoso.com"})], url)
    assert (run.status, run.answer, texts) == ("Failed", None, [])


async def test_the_handshake_is_answered_and_reaches_no_queue(session: ClientSession) -> None:
    """Event Grid sends the code once and wants it back, else the subscription is not made."""
    asked = event({"validationCode": "512d38b6"}, "Microsoft.EventGrid.SubscriptionValidationEvent")
    run = await delivered(session, [asked])
    assert run.answer == {"statusCode": 200, "body": {"validationResponse": "512d38b6"}}
    assert run.requests == []


def test_the_queue_alone_would_not_do() -> None:
    """Why there is a workflow: with its envelope an event is no request, and the app says so."""
    text = base64.b64encode(json.dumps(event({"user": "adele@contoso.com"})).encode()).decode()
    with pytest.raises(InvalidRequest, match="/topic: is not a known field"):
        parse_message(text, RequestLimits(max_users=100, require_reason=False))


def test_the_template_lets_the_workflow_put_messages_and_nothing_else() -> None:
    """One role, on the one queue, before the first event comes; only the events that are meant."""
    resources = {one["type"]: one for one in expansion("event-grid")["predictedResources"]}
    assert set(resources) == {
        "Microsoft.Logic/workflows",
        "Microsoft.Authorization/roleAssignments",
        "Microsoft.EventGrid/topics/eventSubscriptions",
    }
    role = resources["Microsoft.Authorization/roleAssignments"]
    assert "/queues/revocation-requests/providers/" in role["id"]
    # Storage Queue Data Message Sender.
    assert role["properties"]["roleDefinitionId"].endswith("/c6a89b2d-59bc-44d0-9896-0f6e12d7b80a")
    subscription = resources["Microsoft.EventGrid/topics/eventSubscriptions"]["properties"]
    assert subscription["filter"]["includedEventTypes"] == ["Contoso.Security.SessionsToRevoke"]
    assert re.search(r"triggers/events'", subscription["destination"]["properties"]["endpointUrl"])
    assert subscription["eventDeliverySchema"] == "EventGridSchema"
