"""Once a request is durable, no failure after that makes its caller believe that nothing was accepted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from local.testbed.exchanges import is_request_creation, is_request_end, written_entities
from revoke_core.entrypoints.http.call import HttpCall

if TYPE_CHECKING:
    from collections.abc import Callable

    from outages import House

    from local.testbed.proxy import Exchange
    from revoke_core.entrypoints.http.response import HttpResponse


def tables_after(written: Callable[[Exchange], bool]) -> Callable[[Exchange], bool]:
    """Cuts every table request that follows the first one that matches."""
    seen: list[Exchange] = []

    def cuts(exchange: Exchange) -> bool:
        if exchange.side == "table" and seen:
            return True
        if written(exchange):
            seen.append(exchange)
        return False

    return cuts


def is_signal(exchange: Exchange) -> bool:
    """A confirmation or a cancel is being written to a run row."""
    signals = ("ConfirmedAt", "CancelRequested")
    return any(one.row.get(name) for one in written_entities(exchange) for name in signals)


@pytest.mark.parametrize("prefer", ["wait=20", "respond-async"])
async def test_a_submit_whose_storage_fails_after_acceptance_is_answered_with_its_id(whole: House, prefer: str) -> None:
    """The request will be carried out: its caller gets 202 with an id to ask for, never a 503."""
    (user,) = await whole.directory.people(1, f"durable{len(prefer)}")
    whole.outage.cuts = tables_after(is_request_creation)
    status, answer = await whole.submit({"user": user}, prefer=prefer)
    assert (status, answer["status"]) == (202, "accepted")
    assert whole.outage.broken
    whole.outage.over()
    assert (await whole.status(answer["id"]))["id"] == answer["id"]


async def test_a_submit_that_revoked_is_answered_so_although_the_last_write_failed(whole: House) -> None:
    """The user was revoked, only the final status could not be written: 202, and the request ends later."""
    (user,) = await whole.directory.people(1, "ended")
    whole.outage.cuts = is_request_end
    status, answer = await whole.submit({"user": user})
    assert (status, await whole.directory.served()) == (202, [user])
    assert answer["id"]


async def test_a_large_submit_is_answered_although_its_status_cannot_be_read(whole: House) -> None:
    """A request behind a 202 reads its status for the answer: that read is not worth a 503."""
    users = await whole.directory.people(30, "many")
    whole.outage.cuts = tables_after(is_request_creation)
    status, answer = await whole.submit({"users": users})
    assert (status, answer["counts"]["total"]) == (202, 30)


async def held(whole: House, prefix: str) -> dict[str, Any]:
    """A request that waits for its confirmation."""
    members = await whole.directory.people(3, prefix)
    group = await whole.directory.group(prefix, members)
    _, answer = await whole.submit({"groups": [group]})
    await whole.app.queue.work(json.dumps({"requestId": answer["id"]}))
    found = await whole.status(answer["id"])
    assert found["status"] == "held"
    return dict(found)


@pytest.mark.parametrize("word", ["confirm", "cancel"])
async def test_a_signal_that_was_written_is_answered_2xx(strict: House, word: str) -> None:
    """The control signal counts from the moment it is stored, whatever cannot be read afterwards."""
    request = await held(strict, f"signal-{word}")
    strict.outage.cuts = tables_after(is_signal)
    control = strict.app.control
    call: HttpResponse
    if word == "confirm":
        call = await control.confirm(HttpCall(body=b'{"users": 3}'), request["id"])
    else:
        call = await control.cancel(HttpCall(), request["id"])
    answer = json.loads(call.body)
    assert strict.outage.broken
    assert (call.status, answer["id"], answer["status"]) == (202, request["id"], "running")


async def test_a_retry_that_was_accepted_is_answered_2xx(whole: House) -> None:
    """The new request exists; its caller gets its id although nothing more can be read."""
    _, failed = await whole.submit({"user": "nobody-of-that-name@contoso.com"})
    assert failed["status"] == "failed"
    whole.outage.cuts = tables_after(is_request_creation)
    call = await whole.app.control.retry(HttpCall(), failed["id"])
    answer = json.loads(call.body)
    assert (call.status, answer["retryOf"]) == (202, failed["id"])


async def test_a_link_that_cannot_be_signed_does_not_deny_the_request(whole: House) -> None:
    """Without the signing key the answer leads to the request's own address, which wants a key."""
    (user,) = await whole.directory.people(1, "unsigned")
    whole.outage.cuts = tables_after(is_request_creation)
    call = await whole.app.submit.submit(
        HttpCall(headers={"prefer": "respond-async"}, body=json.dumps({"user": user}).encode())
    )
    answer = json.loads(call.body)
    assert (call.status, call.headers["Location"]) == (202, answer["links"]["self"])


async def test_a_refusal_does_not_claim_that_nothing_was_accepted(whole: House) -> None:
    """An insert whose answer is lost may have been made: the caller is told to repeat with the same key."""
    await whole.app.storage.ready()
    whole.outage.of_tables()
    status, answer = await whole.submit({"user": "adele@contoso.com"})
    assert status == 503
    assert "nothing was accepted" not in answer["detail"]
    assert "Idempotency-Key" in answer["detail"]
