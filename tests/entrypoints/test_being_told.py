"""Whoever asked for it is told when a request is held and when it has ended: by the whole app, over real sockets."""

from __future__ import annotations

import json
import logging
import secrets
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from outages import House, house

from local.receiver import Receiver, new_secret, receiving
from revoke_core.entrypoints.http.call import HttpCall

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from steps import JumpingClock

SECRET = new_secret()
# As in the address that Logic Apps gives to its HTTP Webhook action.
SIGNATURE = "c2VjcmV0LXNpZ25hdHVyZS1vZi1hLWZsb3c"
PATH = f"/runtime/webhooks/workflow/callback?api-version=2022-05-01&sp=%2Frun&sv=1.0&sig={SIGNATURE}"

NOT_TRIED = {"status": "pending", "attempts": 0, "lastStatus": None, "lastError": None}


@pytest.fixture
async def receiver(clock: JumpingClock) -> AsyncIterator[Receiver]:
    """A receiver that has the app's secret and its clock."""
    async with receiving(Receiver(secret=SECRET, clock=lambda: clock.now().timestamp())) as made:
        yield made


@asynccontextmanager
async def app_with_callbacks(
    azurite: str, clock: JumpingClock, hosts: str = "127.0.0.1", **settings: str
) -> AsyncIterator[House]:
    async with house(azurite, clock=clock, CALLBACK_HOSTS=hosts, CALLBACK_SECRET=SECRET, **settings) as made:
        yield made


@pytest.fixture
async def told(azurite: str, clock: JumpingClock) -> AsyncIterator[House]:
    """An app that may call back to this machine."""
    async with app_with_callbacks(azurite, clock, MAX_UNCONFIRMED_USERS="1", MAX_USERS="3") as made:
        yield made


async def deliver(app: House, request_id: str) -> None:
    """The message that is on the work queue."""
    await app.app.queue.work(json.dumps({"callback": request_id}))


async def work(app: House, request_id: str) -> None:
    await app.app.queue.work(json.dumps({"requestId": request_id}))


async def submitted(app: House, receiver: Receiver, **content: Any) -> Any:
    """A request with a callback, carried out as far as it goes, its callback message received."""
    _, answer = await app.submit({"callbackUrl": receiver.root + PATH} | content)
    if answer["status"] == "accepted":
        await work(app, answer["id"])
    await deliver(app, answer["id"])
    return answer


async def test_an_ended_request_is_posted_without_its_users_and_rightly_signed(told: House, receiver: Receiver) -> None:
    """The receiver gets what a reader gets, but for the users; it finds them through absolute links."""
    (user,) = await told.directory.people(1, "told")
    answer = await submitted(told, receiver, user=user, reason="INC-1042")
    (arrival,) = receiver.arrivals
    assert arrival.fault is None
    assert arrival.webhook_id == f"{answer['id']}-ended"
    shown = await told.status(answer["id"])
    users = shown.pop("users")
    assert [one["status"] for one in users] == ["verified"]
    assert shown.pop("callback") == {"status": "delivered", "attempts": 1, "lastStatus": 204, "lastError": None}
    assert arrival.body.pop("callback")["status"] == "pending"
    assert arrival.body == shown
    assert arrival.body["status"] == "succeeded"
    assert arrival.body["links"]["users"].startswith("http")


@pytest.mark.parametrize(
    ("content", "status"),
    [
        ({"user": "nobody@contoso.com"}, "failed"),
        ({"user": "adele@contoso.com", "dryRun": True}, "planned"),
        ({"groups": ["00000000-0000-4000-8000-0000000000ff"]}, "failed"),
        ({"filter": "startswith(userPrincipalName, 'team')"}, "failed"),
    ],
    ids=["failed", "planned", "unknown-group", "too-many-users"],
)
async def test_every_end_is_told(told: House, receiver: Receiver, content: dict[str, Any], status: str) -> None:
    """Also of a request that was refused once its users were looked up."""
    answer = await submitted(told, receiver, **content)
    (arrival,) = receiver.arrivals
    assert (arrival.fault, arrival.body["status"]) == (None, status)
    assert arrival.body["id"] == answer["id"]


async def test_a_held_request_is_told_twice(told: House, receiver: Receiver) -> None:
    """Once that a person is needed, and once that it is over: two events with an id each."""
    members = await told.directory.people(2, f"held{secrets.token_hex(3)}")
    answer = await submitted(told, receiver, groups=[await told.directory.group("Held and told", members)])
    (held,) = receiver.arrivals
    assert (held.fault, held.body["status"], held.webhook_id) == (None, "held", f"{answer['id']}-held")
    confirmation = HttpCall(body=b'{"users": 2}')
    assert (await told.app.control.confirm(confirmation, answer["id"])).status == 202
    assert (await told.status(answer["id"]))["callback"]["status"] == "delivered"
    await work(told, answer["id"])
    assert (await told.status(answer["id"]))["callback"] == NOT_TRIED
    await deliver(told, answer["id"])
    ended = receiver.arrivals[-1]
    assert (ended.fault, ended.body["status"], ended.webhook_id) == (None, "succeeded", f"{answer['id']}-ended")
    assert len(receiver.arrivals) == 2


async def test_a_cancelled_request_is_told(told: House, receiver: Receiver) -> None:
    """Whoever waits for the end learns of this one, too."""
    members = await told.directory.people(2, f"cancelled{secrets.token_hex(3)}")
    answer = await submitted(told, receiver, groups=[await told.directory.group("Cancelled and told", members)])
    assert (await told.app.control.cancel(HttpCall(), answer["id"])).status == 202
    await work(told, answer["id"])
    await deliver(told, answer["id"])
    assert [arrival.body["status"] for arrival in receiver.arrivals] == ["held", "cancelled"]


async def test_a_receivers_errors_end_in_success_under_one_id(
    told: House, receiver: Receiver, clock: JumpingClock
) -> None:
    """Tried again after 5, 10 and 20 seconds, not before; each try is signed anew."""
    (user,) = await told.directory.people(1, "again")
    receiver.failures = 3
    answer = await submitted(told, receiver, user=user)
    for pause in (5, 10, 20):
        tries = len(receiver.arrivals)
        clock.jump(seconds=pause - 6)
        await deliver(told, answer["id"])
        clock.jump(seconds=6)
        await deliver(told, answer["id"])
        await deliver(told, answer["id"])
        assert len(receiver.arrivals) == tries + 1
    assert [arrival.answered for arrival in receiver.arrivals] == [500, 500, 500, 204]
    assert {arrival.fault for arrival in receiver.arrivals} == {None}
    assert len({arrival.webhook_id for arrival in receiver.arrivals}) == 1
    assert len({arrival.timestamp for arrival in receiver.arrivals}) == 4
    assert (await told.status(answer["id"]))["callback"]["status"] == "delivered"


async def test_after_a_day_the_request_says_that_nobody_took_it(
    told: House, receiver: Receiver, clock: JumpingClock
) -> None:
    """A dead letter is seen where the request is, with the latest answer."""
    (user,) = await told.directory.people(1, "dead")
    receiver.failures, receiver.failure_status = 1000, 503
    answer = await submitted(told, receiver, user=user)
    began = clock.now()
    callback = {"status": "pending"}
    while callback["status"] == "pending":
        assert clock.now() - began < timedelta(hours=25)
        clock.jump(minutes=30)
        await deliver(told, answer["id"])
        callback = (await told.status(answer["id"]))["callback"]
    assert (callback["status"], callback["lastStatus"]) == ("failed", 503)
    assert callback["attempts"] == len(receiver.arrivals)
    assert clock.now() - began >= timedelta(hours=23)
    clock.jump(hours=30)
    await deliver(told, answer["id"])
    assert callback["attempts"] == len(receiver.arrivals)


async def test_a_redirect_is_not_followed(told: House, receiver: Receiver) -> None:
    """Its target was never on the list; to the app it is an answer that is not 2xx."""
    (user,) = await told.directory.people(1, "moved")
    receiver.location = f"{receiver.root}/elsewhere"
    answer = await submitted(told, receiver, user=user)
    (arrival,) = receiver.arrivals
    assert arrival.path != "/elsewhere"
    callback = (await told.status(answer["id"]))["callback"]
    assert (callback["status"], callback["lastStatus"]) == ("pending", 302)


async def test_nobody_listening_is_no_answer(told: House) -> None:
    """The request itself is not touched by it."""
    (user,) = await told.directory.people(1, "closed")
    async with receiving(Receiver(secret=SECRET)) as gone:
        pass
    answer = await submitted(told, gone, user=user)
    shown = await told.status(answer["id"])
    assert shown["status"] == "succeeded"
    assert shown["callback"] == {"status": "pending", "attempts": 1, "lastStatus": None, "lastError": "noAnswer"}


async def test_callbacks_are_off_until_an_operator_turns_them_on(whole: House, receiver: Receiver) -> None:
    """The caller is told so and nothing happens; a message leaves a row that says the same."""
    content = {"user": "adele@contoso.com", "callbackUrl": receiver.root + PATH}
    status, answer = await whole.submit(content)
    assert status == 400
    (fault,) = answer["errors"]
    assert fault["pointer"] == "/callbackUrl"
    assert "CALLBACK_HOSTS" in fault["detail"]
    assert await whole.directory.served() == []
    row = await received(whole, json.dumps(content))
    assert (row["error"]["code"], row["error"]["errors"][0]["pointer"]) == ("invalidMessage", "/callbackUrl")
    assert SIGNATURE not in json.dumps(row)
    assert receiver.arrivals == []


async def test_a_host_that_is_not_on_the_list_gets_no_connection(
    azurite: str, clock: JumpingClock, receiver: Receiver
) -> None:
    """Not when the request is made, and not for one that was made when it still was on the list."""
    async with app_with_callbacks(azurite, clock) as before:
        (user,) = await before.directory.people(1, "unlisted")
        _, answer = await before.submit({"user": user, "callbackUrl": receiver.root + PATH})
    async with app_with_callbacks(azurite, clock, hosts="hooks.contoso.com") as after:
        status, refused = await after.submit({"user": user, "callbackUrl": receiver.root + PATH})
        assert (status, refused["errors"][0]["pointer"]) == (400, "/callbackUrl")
        assert "127.0.0.1" in refused["errors"][0]["detail"]
        await deliver(after, answer["id"])
        callback = (await after.status(answer["id"]))["callback"]
    assert (callback["status"], callback["lastError"]) == ("failed", "hostNotAllowed")
    assert receiver.arrivals == []


async def test_another_callback_url_under_the_same_key_is_another_request(told: House, receiver: Receiver) -> None:
    """Answering it as the same one would leave the second address without its word."""
    (user,) = await told.directory.people(1, "keyed")
    key = secrets.token_hex(8)
    content = {"user": user, "callbackUrl": receiver.root + PATH}
    assert (await told.submit(content, idempotency_key=key))[0] == 200
    assert (await told.submit(content, idempotency_key=key))[0] == 200
    assert (await told.submit(content | {"callbackUrl": receiver.root}, idempotency_key=key))[0] == 409


async def test_a_retry_takes_no_callback(told: House, receiver: Receiver) -> None:
    """It takes nothing but a key, and its end is not told to whoever waited for the first one."""
    answer = await submitted(told, receiver, user="nobody@contoso.com")
    body = json.dumps({"callbackUrl": receiver.root + PATH}).encode()
    refused = await told.app.control.retry(HttpCall(body=body), answer["id"])
    assert (refused.status, json.loads(refused.body)["errors"][0]["pointer"]) == (400, "/callbackUrl")
    retried = json.loads((await told.app.control.retry(HttpCall(), answer["id"])).body)
    await work(told, retried["id"])
    await deliver(told, retried["id"])
    assert "callback" not in await told.status(retried["id"])
    assert len(receiver.arrivals) == 1


async def test_a_message_is_told_as_a_call_is(told: House, receiver: Receiver) -> None:
    """The other door has no answer of its own, so it needs this most."""
    (user,) = await told.directory.people(1, "message")
    content = {"user": user, "callbackUrl": receiver.root + PATH}
    row = await received(told, json.dumps(content))
    await deliver(told, row["id"])
    (arrival,) = receiver.arrivals
    assert (arrival.fault, arrival.body["id"], arrival.body["source"]) == (None, row["id"], "queue")


async def test_the_address_is_a_secret_that_nobody_is_shown(
    told: House, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither in an answer nor in the log, whatever is wrong with it; nor the signing secret."""
    caplog.set_level(logging.DEBUG)
    url = receiver.root + PATH
    (user,) = await told.directory.people(1, "shy")
    receiver.failures = 1
    answer = await submitted(told, receiver, user=user)
    answers = [answer, await told.status(answer["id"])]
    for wrong in (
        url.replace("http://", "http://user:name@"),
        url.replace("127.0.0.1", "evil.contoso.com"),
        url + "#part",
        url + "x" * 3000,
        [url],
    ):
        status, refused = await told.submit({"user": user, "callbackUrl": wrong})
        assert status == 400
        answers.append(refused)
    # In names that no rule of redaction knows, and in a body that is broken.
    hidden = f"{receiver.root}/hook?k={SIGNATURE}&n=1"
    texts = (
        json.dumps({"user": "x", "callbackUrl": hidden}),
        json.dumps({"user": "x", "callbackUrl": hidden}).replace("/", r"\/"),
        json.dumps(json.dumps({"user": "x", "callbackUrl": hidden})),
        '{"user": "x", "callbackUrl": "' + hidden,
    )
    answers += [await received(told, text) for text in texts]
    seen = json.dumps(answers) + caplog.text
    assert SIGNATURE not in seen
    assert SECRET not in seen
    assert SECRET.removeprefix("whsec_") not in seen


async def received(app: House, text: str) -> Any:
    """The row that a message leaves: other tests' clocks may be ahead, so it need not be the newest."""
    message_id = secrets.token_hex(8)
    await app.app.queue.message(text, message_id)
    listed = json.loads((await app.app.read.requests(HttpCall(query={"pageSize": "1000"}))).body)["value"]
    return next(row for row in listed if row["requestedBy"]["id"] == message_id)
