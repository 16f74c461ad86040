import asyncio
import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from azure.storage.queue.aio import QueueClient
from clients import Api, Tenant, send_message, until

from local.up import Kit
from revoke_core.bootstrap import build
from revoke_core.settings import read_settings


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "form",
    [
        lambda upn: upn,
        lambda upn: json.dumps({"user": upn}),
        encoded,
        lambda upn: encoded(json.dumps({"users": [upn]})),
    ],
    ids=["bare", "json", "base64-bare", "base64-json"],
)
async def test_every_form_of_message_ends_verified(
    api: Api, tenant: Tenant, connection: str, person: dict[str, Any], form: Callable[[str], str]
) -> None:
    """A bare UPN, JSON, and base64 of either are the same request."""
    await send_message(connection, form(person["userPrincipalName"]))
    done = await api.of_user(person["userPrincipalName"])
    assert (done.json["source"], done.user["status"]) == ("queue", "verified")
    assert len(await tenant.served(person["id"])) == 1


async def test_a_message_with_many_users_is_one_request(api: Api, connection: str) -> None:
    """Twenty users, one row in the status log."""
    names = [f"user{number:05d}@contoso.com" for number in range(130, 150)]
    await send_message(connection, json.dumps({"users": names, "requestedBy": "HR", "reason": "leavers"}))
    done = await api.of_user(names[-1])
    assert done.json["counts"]["verified"] == 20
    assert done.json["requestedBy"] | {"kind": "queue", "name": "HR", "claim": True} == done.json["requestedBy"]


@pytest.mark.parametrize(
    "text",
    ["garbage", "{broken", "[]", "x" * 64000, json.dumps({"usr": "bob@contoso.com"}), "AccountKey=s3cret;nonsense"],
    ids=["word", "broken-json", "array", "noise", "unknown-field", "with-a-secret"],
)
async def test_a_bad_message_is_one_failed_row(api: Api, connection: str, text: str) -> None:
    """Its sender can see it and why; nothing of it sits in poison unseen."""
    before = {entry["id"] for entry in (await api.get("revocations?status=failed&pageSize=1000")).json["value"]}
    await send_message(connection, text)

    async def fresh() -> list[dict[str, Any]]:
        entries = (await api.get("revocations?status=failed&pageSize=1000")).json["value"]
        return [entry for entry in entries if entry["id"] not in before]

    (entry,) = await until(fresh, bool)
    assert (entry["source"], entry["error"]["code"]) == ("queue", "invalidMessage")
    assert entry["error"]["errors"]
    assert len(entry["messageText"]) <= 2000
    assert "s3cret" not in json.dumps(entry)


async def test_what_reaches_a_poison_queue_becomes_a_row_too(
    api: Api, connection: str, numbers: Callable[[], int]
) -> None:
    """Noise becomes a failed row, and a good message is carried out after all: nothing sits in poison unseen."""
    noise, good = f"noise-{numbers()}", f"poisoned{numbers()}@contoso.com"
    for mark in (noise, good):
        await send_message(connection, mark, "revocation-requests-poison")

    async def rows() -> list[str]:
        entries = (await api.get("revocations?status=failed&pageSize=1000")).json["value"]
        return [entry["error"]["code"] for entry in entries if entry.get("messageText") == noise]

    assert await until(rows, bool) == ["invalidMessage"]
    assert (await api.of_user(good)).user["error"]["code"] == "userNotFound"
    async with QueueClient.from_connection_string(connection, "revocation-requests-poison") as queue:
        await until(queue.get_queue_properties, lambda found: found.approximate_message_count == 0)


async def test_an_idempotency_key_makes_two_messages_one_request(
    api: Api, tenant: Tenant, connection: str, person: dict[str, Any]
) -> None:
    """The same body adds nothing; another body is a failed row that says so."""
    message = {"user": person["id"], "idempotencyKey": f"key-{person['id']}"}
    for _ in range(2):
        await send_message(connection, json.dumps(message))
    await api.of_user(person["id"])
    await send_message(connection, json.dumps(message | {"reason": "other"}))

    async def conflicts() -> list[dict[str, Any]]:
        entries = (await api.get("revocations?status=failed&pageSize=1000")).json["value"]
        return [entry for entry in entries if entry.get("error", {}).get("code") == "idempotencyConflict"]

    await until(conflicts, bool)
    assert len((await api.get(f"revocations?user={person['id']}")).json["value"]) == 1
    assert len(await tenant.served(person["id"])) == 1


async def test_the_same_message_delivered_twice_is_one_request(
    api: Api, tenant: Tenant, running: Kit, person: dict[str, Any]
) -> None:
    """Queues deliver at least once: at the same moment or an hour later, the second delivery adds nothing."""
    environment = {
        "AzureWebJobsStorage": running.address["connectionString"],
        "GRAPH_ENDPOINT": running.address["graph"],
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IDENTITY_ENDPOINT", running.address["identityEndpoint"])
        patch.setenv("IDENTITY_HEADER", running.address["identityHeader"])
        app = build(read_settings(environment))
        message_id = f"message-{person['id']}"
        await asyncio.gather(*(app.queue.message(person["userPrincipalName"], message_id) for _ in range(3)))
        await app.queue.message(person["userPrincipalName"], message_id)
        for _ in range(2):
            await app.queue.message("no request at all", f"bad-{message_id}")
        await app.close()
    done = await api.of_user(person["id"])
    assert done.user["status"] == "verified"
    assert len((await api.get(f"revocations?user={person['id']}")).json["value"]) == 1
    assert len(await tenant.served(person["id"])) == 1
    entries = (await api.get("revocations?status=failed&pageSize=1000")).json["value"]
    assert [entry.get("messageText") for entry in entries].count("no request at all") == 1
