import json
import uuid
from collections.abc import AsyncIterator

import pytest
from principals import HEADER, SUBMIT, signed_in

from revoke_core.bootstrap import App, build
from revoke_core.entrypoints.http.call import HttpCall
from revoke_core.settings import read_settings

# Nothing listens there: a caller must be refused before the app calls storage.
NOWHERE = {
    "AzureWebJobsStorage": (
        "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=a2V5;"
        "QueueEndpoint=http://127.0.0.1:1/devstoreaccount1;TableEndpoint=http://127.0.0.1:2/devstoreaccount1"
    ),
    "ENTRA_AUTHENTICATION": "true",
}


def call(headers: dict[str, str]) -> HttpCall:
    return HttpCall(headers={name.lower(): value for name, value in headers.items()}, body=b"{")


@pytest.mark.parametrize("name", ["code", "Code", "CODE"])
async def test_a_key_in_the_query_is_known_however_its_name_is_written(
    azurite: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The host takes any case: the caller is the one that the header names, and no answer or log repeats the key."""
    caplog.set_level("DEBUG")
    app = build(read_settings({"AzureWebJobsStorage": azurite}))
    secret, headers = uuid.uuid4().hex, {"prefer": "respond-async", "idempotency-key": "once"}
    body = b'{"user": "adele@contoso.com"}'
    by_header = HttpCall(headers=headers | {"x-functions-key": secret}, body=body)
    by_query = HttpCall(headers=headers, query={name: secret}, body=body)
    by_another = HttpCall(headers=headers, query={name: uuid.uuid4().hex}, body=body)
    answers = [await app.submit.submit(call) for call in (by_header, by_query, by_another)]
    one, same, other = [json.loads(answer.body) for answer in answers]
    assert one["requestedBy"]["kind"] == "key"
    assert (same["id"], same["requestedBy"]) == (one["id"], one["requestedBy"])
    assert (other["id"] != one["id"], other["requestedBy"]["id"] != one["requestedBy"]["id"]) == (True, True)
    page = await app.read.requests(HttpCall(query={name: secret, "pageSize": "1"}))
    assert "?pageSize=1&continuationToken=" in json.loads(page.body)["nextLink"]
    assert secret not in caplog.text
    assert not [answer for answer in (*answers, page) if secret.encode() in answer.body]
    await app.close()


@pytest.mark.parametrize("added", [", x", ",x", ",", ", y, z"])
async def test_a_key_that_is_given_twice_is_the_one_the_host_accepted(azurite: str, added: str) -> None:
    """The host lets the first in and hands both on: a word behind it does not make the caller another one."""
    app = build(read_settings({"AzureWebJobsStorage": azurite}))
    secret, body = uuid.uuid4().hex, b'{"user": "adele@contoso.com"}'
    calls = [
        HttpCall(headers={"prefer": "respond-async"} | header, query=query, body=body)
        for header, query in (
            ({"x-functions-key": secret}, {}),
            ({"x-functions-key": secret + added}, {}),
            ({}, {"code": secret + added}),
            ({"x-functions-key": secret + added}, {"code": "another"}),
        )
    ]
    answers = [json.loads((await app.submit.submit(call)).body) for call in calls]
    assert len({answer["requestedBy"]["id"] for answer in answers}) == 1
    await app.close()


@pytest.fixture
async def guarded() -> AsyncIterator[App]:
    """The app with App Service authentication in front, as the platform's own setting says."""
    app = build(read_settings(NOWHERE | {"WEBSITE_AUTH_ENABLED": "True"}))
    yield app
    await app.close()


@pytest.mark.parametrize("word", ["", "false", "False", "0", "1", "yes", "enabled"])
async def test_without_app_service_in_front_no_principal_is_believed(
    word: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Where App Service does not remove forged headers, a principal counts for nothing; answer and log say why."""
    app = build(read_settings(NOWHERE | {"WEBSITE_AUTH_ENABLED": word}))
    for headers in ({}, signed_in(SUBMIT)):
        for answer in (await app.submit.submit(call(headers)), await app.submit.submit_own(call(headers))):
            assert answer.status == 401
            assert b"WEBSITE_AUTH_ENABLED" in answer.body
    assert "entra_authentication_not_in_front" in caplog.text
    await app.close()


async def test_with_it_the_principal_counts(guarded: App) -> None:
    """The same call gets as far as its body, which is wrong here."""
    assert (await guarded.submit.submit(call(signed_in(SUBMIT)))).status == 400


async def test_nothing_of_a_principal_reaches_the_log(guarded: App, caplog: pytest.LogCaptureFixture) -> None:
    """Neither a refused caller's name nor its header, whatever they hold."""
    caplog.set_level("DEBUG")
    caller = str(uuid.uuid4())
    for headers in (signed_in(object_id=caller, name="Ada Admin"), {HEADER: "c2VjcmV0"}, {HEADER: "!secret!"}):
        answer = await guarded.submit.submit(call(headers))
        assert answer.status in (401, 403)
        for word in (caller, "Ada Admin", "c2VjcmV0", "secret"):
            assert word not in caplog.text
            assert word.encode() not in answer.body
