"""An app with Entra authentication; the tests are in App Service authentication's place and write its header."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from clients import Api, Tenant
from entra_calls import submitted
from principals import SUBMIT, signed_in

from local.up import Kit, kit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aiohttp import ClientSession


@pytest.fixture(scope="package")
async def entra() -> AsyncIterator[Kit]:
    """A second kit, with Entra authentication on."""
    async with kit(environment={"ENTRA_AUTHENTICATION": "true"}) as parts:
        yield parts


@pytest.fixture(scope="package")
def app(session: ClientSession, entra: Kit) -> Api:
    """The app behind Entra authentication."""
    return Api(session, entra.address["functions"], entra.address["key"])


@pytest.fixture(scope="package")
def directory(session: ClientSession, entra: Kit) -> Tenant:
    """The tenant of that app."""
    return Tenant(session, entra.address["graph"])


@pytest.fixture
async def user(directory: Tenant, numbers: Callable[[], int]) -> dict[str, Any]:
    """A user that no other test touches."""
    return await directory.new_user(f"entra-user{numbers()}@contoso.com")


@pytest.fixture(scope="package")
async def foreign(app: Api) -> str:
    """The id of a request that a submitter made whom no test plays again."""
    reply = await submitted(app, signed_in(SUBMIT), {"user": "adele@contoso.com"})
    assert reply.status == 200
    return str(reply.json["id"])
