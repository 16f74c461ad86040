"""Readiness says what is really so, and within ten seconds."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from outages import house

from revoke_core.bootstrap import build
from revoke_core.entrypoints.http.call import HttpCall
from revoke_core.service.reading import readiness
from revoke_core.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from outages import House

    from revoke_core.bootstrap import App

GROUP = "8f5d1c2e-0000-4000-8000-0000000000dd"


async def asked(app: App) -> tuple[int, Any]:
    answer = await app.read.readiness(HttpCall())
    return answer.status, json.loads(answer.body)


async def test_a_ready_app_has_asked_graph_and_says_whom_it_protects(azurite: str) -> None:
    """One call was answered with the token; entries that match nobody are named, and the app is ready all the same."""
    settings = {"PROTECTED_USERS": "breakglass@contoso.com,breakglas@contoso.com", "PROTECTED_GROUP": GROUP}
    async with house(azurite, **settings) as made:
        await made.directory.group("Kept", ["adele@contoso.com", "bob@contoso.com"], id=GROUP)
        status, found = await asked(made.app)
        assert status == 200
        assert found["graph"]["status"] == 404
        read_at = found["protection"].pop("from")
        assert read_at.endswith("Z")
        assert found["protection"] == {"entries": 2, "unresolved": ["breakglas@contoso.com"], "groupMembers": 2}


async def test_an_app_without_a_protected_list_is_not_ready(azurite: str) -> None:
    """It would refuse every request, and says what it cannot read."""
    group = "8f5d1c2e-0000-4000-8000-0000000000ee"
    async with house(azurite, PROTECTED_GROUP=group) as made:
        status, found = await asked(made.app)
        assert status == 503
        assert group in found["protection"]["unreadable"][0]


async def test_a_token_that_graph_does_not_know_is_no_readiness(whole: House) -> None:
    """The identity endpoint gives one, Graph refuses it: the code is shown, and the app is not ready."""
    error = {"error": {"code": "Authorization_IdentityNotFound", "message": "The identity of the calling application…"}}
    await whole.directory.fault("^/users", times=None, status=401, body=error)
    status, found = await asked(whole.app)
    assert (status, found["token"]) == (503, True)
    assert found["graph"] == {"status": 401, "code": "Authorization_IdentityNotFound"}


@pytest.mark.parametrize("accepts", [True, False], ids=["never-answers", "is-not-there"])
async def test_readiness_answers_in_time_when_storage_does_not(*, accepts: bool) -> None:
    """A probe of the platform gives up after seconds; the answer says that it is the storage."""
    async with silent(accepts=accepts) as port:
        app = build(
            read_settings(
                {
                    "AzureWebJobsStorage": (
                        "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=a2V5;"
                        f"QueueEndpoint=http://127.0.0.1:{port}/a;TableEndpoint=http://127.0.0.1:{port}/a"
                    ),
                    "GRAPH_ENDPOINT": f"http://127.0.0.1:{port}",
                    "PROTECTED_USERS": "adele@contoso.com",
                }
            )
        )
        began = time.monotonic()
        status, found = await asked(app)
        assert time.monotonic() - began < 10
        assert (status, found["table"], found["queue"]["reachable"]) == (503, False, False)
        await app.close()


async def test_readiness_answers_in_time_when_graph_hangs(whole: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The storage is well, and Graph takes longer than anybody waits."""
    monkeypatch.setattr(readiness, "PATIENCE", 1.0)
    await whole.directory.configure(latencyMs=5000)
    began = time.monotonic()
    status, found = await asked(whole.app)
    assert time.monotonic() - began < 4
    assert (status, found["table"], found["graph"]["status"]) == (503, True, None)


@asynccontextmanager
async def silent(*, accepts: bool) -> AsyncIterator[int]:
    """A port on which a server takes connections and says nothing, or on which nobody listens any more."""

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(keep, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    if not accepts:
        server.close()
    yield port
    server.close()
