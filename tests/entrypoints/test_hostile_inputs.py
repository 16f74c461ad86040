"""Whatever is sent, over HTTP or by message: it is refused in words or carried out, and breaks nothing behind it."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import random
import resource
import secrets
import time
from typing import TYPE_CHECKING, Any

import pytest
from azure.data.tables.aio import TableServiceClient
from mistakes import HOSTILE_NAMES

from revoke_core.entrypoints.http.call import HttpCall

if TYPE_CHECKING:
    from collections.abc import Callable

    from outages import House

SEED = int(os.environ.get("HOSTILE_SEED", "1"))
# ``HOSTILE_INPUTS=10000`` plays the long campaign.
INPUTS = int(os.environ.get("HOSTILE_INPUTS", "300"))
CANARIES = [f"CANARY{number:02d}{secrets.token_hex(6)}" for number in range(20)]
HIDDEN_IN = (
    "AccountName=x;AccountKey={}==;End",
    "https://x.contoso.com/api?code={}",
    r"https://x.contoso.com/api?a=1\u0026sig={}",
    '{{"code":"{}"}}',
    "x-functions-key: {}",
    "Authorization: Bearer {}",
    "SharedAccessKey={}",
    "client_secret={}",
    "eyJhbGciOiJub25lIn0.{}.c2ln",
    "(code={})",
)


def canaried(dice: random.Random, secret: str) -> str:
    """A text with a secret in it."""
    text = dice.choice(HIDDEN_IN).format(secret)
    return base64.b64encode(text.encode()).decode() if dice.random() < 0.3 else text


def hostile(dice: random.Random, secret: str) -> Any:
    """A body that no caller should send."""
    name, text = dice.choice(HOSTILE_NAMES), canaried(dice, secret)
    made: list[Callable[[], Any]] = [
        lambda: {"user": name, "reason": text},
        lambda: {"users": [name, text], "idempotencyKey": "k" * dice.randrange(400)},
        lambda: {"groups": [name], "filter": text, "transitive": "yes"},
        lambda: {text: 1, f"ünknown{dice.random()}": name},
        lambda: {f"fé{number}\u2028": "x" for number in range(dice.randrange(130))},
        lambda: [[name]] * dice.randrange(9),
        lambda: name,
        lambda: {"user": None, "users": [], "reason": "x" * dice.randrange(2000)},
        lambda: {"user": {"id": name}, "expectedUsers": -1, "dryRun": "true"},
        lambda: {"requestedBy": text, "users": name, "verify": 1},
        dice.random,
    ]
    return dice.choice(made)()


def as_bytes(dice: random.Random, body: Any) -> bytes:
    """The body on the wire, mostly JSON."""
    text = json.dumps(body, ensure_ascii=dice.random() < 0.5).encode("utf-8", "surrogatepass")
    broken: list[Callable[[], bytes]] = [
        lambda: text,
        lambda: text,
        lambda: text[: dice.randrange(len(text) + 1)],
        lambda: text.decode("utf-8", "replace").encode("utf-16"),
        lambda: b"[" * dice.randrange(5000) + text,
        lambda: b'{"a":' * dice.randrange(3000) + text,
        lambda: bytes(dice.randrange(256) for _ in range(40)),
        lambda: b"\xef\xbb\xbf" + text,
    ]
    return dice.choice(broken)()


async def rows_and_columns(whole: House) -> tuple[int, str]:
    """How many requests there are, and everything that stands in the tables."""
    texts, requests = [], 0
    async with TableServiceClient.from_connection_string(whole.connection) as service:
        for table in ("Revocations", "RevocationUsers", "RevocationState"):
            async for entity in service.get_table_client(table).list_entities():
                texts.append(repr(dict(entity)))
                requests += table == "Revocations" and "Status" in entity
    return requests, "".join(texts)


@pytest.mark.timeout(3600)
async def test_nothing_hostile_gets_through_or_leaves_a_secret(
    whole: House, caplog: pytest.LogCaptureFixture, record_property: Callable[[str, object], None]
) -> None:
    """No 5xx, one row for each message, no call to Graph for a hostile name, no planted secret anywhere."""
    dice = random.Random(SEED)  # noqa: S311 -- repeatable, guards nothing
    caplog.set_level(logging.DEBUG, logger="revoker")
    await whole.app.storage.ready()
    before, _ = await rows_and_columns(whole)
    answers, slowest, accepted = "", 0.0, 0
    for number in range(INPUTS):
        secret = CANARIES[number % len(CANARIES)]
        body = as_bytes(dice, hostile(dice, secret))
        headers = {"x-ms-client-request-id": canaried(dice, secret), "x-ms-workflow-name": "ÿ\ud800"}
        began = time.perf_counter()
        answer = await whole.app.submit.submit(HttpCall(headers=headers, body=body))
        slowest = max(slowest, time.perf_counter() - began)
        assert answer.status < 500, body[:300]
        accepted += answer.status < 300
        answers += answer.body.decode()
    messages = [as_bytes(dice, hostile(dice, CANARIES[number % 20])) for number in range(INPUTS)]
    for number, message in enumerate(messages):
        await whole.app.queue.message(message.decode("utf-8", "replace"), f"{SEED}-{number}-{secrets.token_hex(4)}")
    listed = await whole.app.read.requests(HttpCall(query={"pageSize": "1000"}))
    assert listed.status == 200
    after, stored = await rows_and_columns(whole)
    assert after - before == accepted + len(messages)
    found = {one for one in CANARIES if one in stored + answers + listed.body.decode() + caplog.text}
    assert found == set()
    assert await whole.directory.served() == []
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    # Shown in a report that ``--junitxml`` writes.
    record_property("slowest answer in ms, largest memory in MB", f"{1000 * slowest:.0f}, {memory:.0f}")


@pytest.mark.parametrize("piece", [b"[],", b"{},", b'"a":1,', b"[", b'{"a":'])
async def test_a_body_of_millions_of_parts_is_refused_before_it_is_parsed(whole: House, piece: bytes) -> None:
    """16 MiB that would take half a gigabyte and seconds of everybody's time; other calls are answered meanwhile."""
    body = b"[" + piece * (16 * 1024 * 1024 // len(piece) - 1)
    began = time.perf_counter()
    call = asyncio.create_task(whole.app.submit.submit(HttpCall(body=body)))
    longest = 0.0
    while not call.done():
        turn = time.perf_counter()
        await asyncio.sleep(0.01)
        longest = max(longest, time.perf_counter() - turn)
    assert (await call).status == 400
    assert time.perf_counter() - began < 2
    assert longest < 0.5


async def test_a_message_with_a_hundred_unknown_fields_of_any_script_is_entered(whole: House) -> None:
    """What is wrong with it fills more than a column holds: as much as fits is stored, and the list stays readable."""
    text = json.dumps({f"поле{number}\u2028{'ж' * 100}": 1 for number in range(100)}, ensure_ascii=False)
    message_id = secrets.token_hex(8)
    await whole.app.queue.message(text, message_id)
    await whole.app.queue.message(text, message_id)
    listed = json.loads((await whole.app.read.requests(HttpCall(query={"pageSize": "1000"}))).body)["value"]
    (entry,) = [one for one in listed if one["requestedBy"]["id"] == message_id]
    assert entry["error"]["code"] == "invalidMessage"
    assert entry["error"]["errors"]


async def test_headers_that_no_text_can_hold_change_nothing(whole: House) -> None:
    """The user is revoked, the answer says so, and whoever lists the requests afterwards sees them all."""
    (user,) = await whole.directory.people(1, "surrogate")
    status, resource_ = await whole.submit({"user": user}, x_ms_workflow_name="flow \ud800 ÿ", traceparent="\udfff")
    assert (status, resource_["status"]) == (200, "succeeded")
    assert (await whole.app.read.requests(HttpCall())).status == 200


async def test_a_damaged_row_hides_no_other_from_the_list(whole: House) -> None:
    """It may be of a later version of the app, or edited by hand."""
    (user,) = await whole.directory.people(1, "beside")
    _, good = await whole.submit({"user": user})
    _, damaged = await whole.submit({"user": user})
    async with TableServiceClient.from_connection_string(whole.connection) as service:
        keys = {"PartitionKey": damaged["id"][:3], "RowKey": damaged["id"]}
        await service.get_table_client("Revocations").update_entity(
            keys | {"Status": "unheardOf", "Warnings": "{", "ErrorErrors": "["}
        )
    listed = json.loads((await whole.app.read.requests(HttpCall())).body)["value"]
    assert good["id"] in [one["id"] for one in listed]
    assert damaged["id"] not in [one["id"] for one in listed]


async def test_a_work_message_nested_without_end_is_left_aside(whole: House) -> None:
    """It is none of the app's own; read as JSON it would overflow the stack, again with every delivery."""
    await whole.app.queue.work("[" * 60_000)
    await whole.app.queue.work_poison('{"requestId":' * 20_000)
