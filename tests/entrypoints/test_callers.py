import uuid
from collections.abc import AsyncIterator

import pytest
from principals import HEADER, SUBMIT, signed_in

from revoke_core.bootstrap import App, build
from revoke_core.entrypoints.http_words import HttpCall
from revoke_core.settings import read_settings

# Nothing listens there: a caller that is refused must be refused before anything is asked.
NOWHERE = {
    "AzureWebJobsStorage": (
        "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=a2V5;"
        "QueueEndpoint=http://127.0.0.1:1/devstoreaccount1;TableEndpoint=http://127.0.0.1:2/devstoreaccount1"
    ),
    "ENTRA_AUTHENTICATION": "true",
}


def call(headers: dict[str, str]) -> HttpCall:
    return HttpCall(headers={name.lower(): value for name, value in headers.items()}, body=b"{")


@pytest.fixture
async def guarded() -> AsyncIterator[App]:
    """The app with App Service authentication in front, as the platform says it."""
    app = build(read_settings(NOWHERE | {"WEBSITE_AUTH_ENABLED": "True"}))
    yield app
    await app.close()


@pytest.mark.parametrize("word", ["", "false", "False", "0", "1", "yes", "enabled"])
async def test_without_app_service_in_front_nobody_is_believed(word: str, caplog: pytest.LogCaptureFixture) -> None:
    """Where nobody takes forged headers away, a principal is worth nothing; the answer and the log say what to do."""
    app = build(read_settings(NOWHERE | {"WEBSITE_AUTH_ENABLED": word}))
    for headers in ({}, signed_in(SUBMIT)):
        for answer in (await app.http.submit(call(headers)), await app.http.submit_own(call(headers))):
            assert answer.status == 401
            assert b"WEBSITE_AUTH_ENABLED" in answer.body
    assert "entra_authentication_not_in_front" in caplog.text
    await app.close()


async def test_with_it_the_principal_counts(guarded: App) -> None:
    """The same call gets as far as its body, which is wrong here."""
    assert (await guarded.http.submit(call(signed_in(SUBMIT)))).status == 400


async def test_nothing_of_a_principal_reaches_the_log(guarded: App, caplog: pytest.LogCaptureFixture) -> None:
    """Neither a refused caller's name nor its header, whatever they hold."""
    caplog.set_level("DEBUG")
    caller = str(uuid.uuid4())
    for headers in (signed_in(object_id=caller, name="Ada Admin"), {HEADER: "c2VjcmV0"}, {HEADER: "!secret!"}):
        answer = await guarded.http.submit(call(headers))
        assert answer.status in (401, 403)
        for word in (caller, "Ada Admin", "c2VjcmV0", "secret"):
            assert word not in caplog.text
            assert word.encode() not in answer.body
