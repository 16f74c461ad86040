from __future__ import annotations

import asyncio
import base64
import signal
import time
from typing import TYPE_CHECKING

from clients import until

if TYPE_CHECKING:
    from conftest import Begin
    from sample_host import SampleHost


async def test_a_message_is_handed_over_and_deleted(host: SampleHost) -> None:
    """With its id, try, times and receipt; plain text stays as it is where messageEncoding is none."""
    message = await host.put('{"any": "teext & <more>"}')
    (done,) = await host.noted(id=message, state="done")
    (begun,) = host.notes(id=message, state="begun")
    assert (done["body"], done["tries"], begun["receipt"]) == ('{"any": "teext & <more>"}', 1, True)
    assert begun["inserted"] < begun["expires"]
    assert begun["inserted"].startswith("20")
    await host.emptied()


async def test_an_output_binding_puts_a_message(host: SampleHost) -> None:
    """What a function sets on its output arrives at the queue trigger."""
    assert (await host.call("POST", "/api/sends", headers=host.key, data="sent by binding")).status == 204
    await host.noted(body="sent by binding", state="done")


async def test_a_failing_message_is_tried_again_and_then_poisoned(begin: Begin) -> None:
    """As often as maxDequeueCount allows; the poison queue gets the text as a new message for seven days."""
    host = await begin()
    message = await host.put("fail")
    await until(lambda: host.length("-poison"), lambda length: length == 1)
    await host.emptied()
    assert [note["tries"] for note in host.notes(id=message)] == [1, 2, 3]
    async with host.queue("-poison") as queue:
        poisoned = await anext(aiter(queue.receive_messages()))
    assert (poisoned.content, poisoned.id != message) == ("fail", True)
    assert 6.9 < (poisoned.expires_on - poisoned.inserted_on).total_seconds() / 86400 < 7.1


async def test_a_failed_message_waits_for_the_visibility_timeout(begin: Begin) -> None:
    """The next try comes no earlier than host.json allows."""
    host = await begin(queues={"visibilityTimeout": "00:00:02"})
    await host.put("fail")
    first, second = (await host.noted(2, state="begun"))[:2]
    assert second["at"] - first["at"] >= 1.9


async def test_a_message_of_too_many_tries_is_poisoned_unseen(begin: Begin, storage: str) -> None:
    """The app does not get what was received too often already."""
    host = await begin(queues={"maxDequeueCount": 2})
    await host.child.stop()
    message = await host.put("worn out")
    async with host.queue() as queue:
        for _ in range(2):
            received = await anext(aiter(queue.receive_messages(visibility_timeout=60)))
            await queue.update_message(received, visibility_timeout=0)
    again = await begin(jobs=host.jobs, queues={"maxDequeueCount": 2})
    await until(lambda: again.length("-poison"), lambda length: length == 1)
    assert again.notes(id=message) == []
    assert storage == again.connection


async def test_a_poison_queue_has_no_poison_queue(begin: Begin) -> None:
    """A failed message there stays hidden for its lock, and comes back."""
    host = await begin(jobs="jobs-unlucky-poison", LOCAL_QUEUE_VISIBILITY_SECONDS="2")
    message = await host.put("fail")
    first, second = (await host.noted(2, id=message))[:2]
    assert second["at"] - first["at"] >= 1.5
    assert await host.length("-poison") == 0


async def test_base64_is_decoded_where_it_is_asked_for(begin: Begin) -> None:
    """``messageEncoding`` base64, the default of the real host."""
    host = await begin(queues={"messageEncoding": "base64"})
    await host.put(base64.b64encode("öffnen".encode()).decode())
    await host.noted(body="öffnen", state="done")


async def test_a_message_that_is_not_base64_is_poisoned_at_once(begin: Begin) -> None:
    """The app never sees it, as in Azure; the text is kept."""
    host = await begin(queues={"messageEncoding": "base64"})
    await host.put("no base64!")
    await until(lambda: host.length("-poison"), lambda length: length == 1)
    assert host.notes() == []
    async with host.queue("-poison") as queue:
        assert (await anext(aiter(queue.receive_messages()))).content == "no base64!"


async def test_a_long_message_is_not_given_to_anybody_else(begin: Begin) -> None:
    """Its lock is renewed while the function runs, and the renewed receipt deletes it."""
    host = await begin(LOCAL_QUEUE_VISIBILITY_SECONDS="2")
    other = await begin(jobs=host.jobs, LOCAL_QUEUE_VISIBILITY_SECONDS="2")
    message = await host.put("sleep 5")

    async def done() -> list[object]:
        return [*host.notes(id=message, state="done"), *other.notes(id=message, state="done")]

    await until(done, bool)
    await host.emptied()
    begun = {(note["tries"], note["at"]) for part in (host, other) for note in part.notes(id=message, state="begun")}
    assert [tries for tries, _ in begun] == [1]


async def test_batches_are_limited(begin: Begin) -> None:
    """At most batchSize + newBatchThreshold messages of a function run at once."""
    host = await begin()
    for _ in range(9):
        await host.put("sleep 1")
    notes = [note for note in await host.noted(18) if note["function"] == "job"]
    running = most = 0
    for note in sorted(notes, key=lambda one: (one["at"], one["state"] == "begun")):
        running += 1 if note["state"] == "begun" else -1
        most = max(most, running)
    assert 4 <= most <= 6


async def test_a_message_in_hand_is_finished_when_the_host_is_stopped(begin: Begin) -> None:
    """SIGTERM ends nothing that runs; the message is done once and gone."""
    host = await begin()
    message = await host.put("sleep 1.5")
    await host.noted(id=message, state="begun")
    assert await host.child.stop() == 0
    assert len(host.notes(id=message, state="done")) == 1
    assert await host.length() == 0


async def test_what_still_runs_when_a_stop_loses_patience_ends_with_the_process(begin: Begin) -> None:
    """No function is told: the platform's worker cancels none, so an app must not count on it."""
    host = await begin(LOCAL_DRAIN_SECONDS="1", LOCAL_QUEUE_VISIBILITY_SECONDS="2")
    message = await host.put("sleep 60")
    await host.noted(id=message, state="begun")
    call = asyncio.create_task(host.call("GET", "/api/sleeps?seconds=60"))
    await host.noted(function="sleeps", state="begun")
    began = time.monotonic()
    assert await host.child.stop() == 0
    assert time.monotonic() - began < 10
    await asyncio.gather(call, return_exceptions=True)
    assert host.notes(state="cancelled") == []
    assert host.notes(id=message, state="done") == []
    assert await host.length() == 1


async def test_a_message_in_hand_comes_back_when_the_host_is_killed(begin: Begin) -> None:
    """``kill -9`` loses nothing: the message is there again when its lock ends."""
    host = await begin(LOCAL_QUEUE_VISIBILITY_SECONDS="2")
    message = await host.put("sleep 2")
    await host.noted(id=message, state="begun")
    await host.child.stop(signal.SIGKILL)
    assert host.notes(id=message, state="done") == []
    assert await host.length() == 1
    again = await begin(jobs=host.jobs, LOCAL_QUEUE_VISIBILITY_SECONDS="2")
    (done,) = await again.noted(id=message, state="done")
    assert done["tries"] == 2


async def test_polling_survives_a_queue_that_is_gone(begin: Begin) -> None:
    """A deleted queue is made again, and messages flow."""
    host = await begin()
    await host.put("before")
    await host.noted(body="before", state="done")
    async with host.queue() as queue:
        await queue.delete_queue()
    await host.put("after")
    await host.noted(body="after", state="done")
