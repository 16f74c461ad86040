"""One kit for the whole run: the tenant simulator, Azurite and the Functions host, over sockets."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import ClientSession
from azure.data.tables.aio import TableServiceClient
from clients import Api, Tenant

from local.processes import start
from local.up import Kit, kit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

# As an operator would protect the emergency account.
PROTECTED = {"PROTECTED_USERS": "breakglass@contoso.com"}


@pytest.fixture(scope="session")
async def session() -> AsyncIterator[ClientSession]:
    async with ClientSession() as client:
        yield client


@pytest.fixture(scope="session")
async def azurite() -> AsyncIterator[str]:
    """The connection string of an emulator for tests of single parts; the app knows nothing of it."""
    child = await start("storage", ["storage", "--queue-port", "0", "--table-port", "0", "--json"])
    yield str(child.ready["connectionString"])
    await child.stop()


@pytest.fixture(scope="session")
async def running(session: ClientSession) -> AsyncIterator[Kit]:
    """The kit; when the run is over, what the tenant did and what the status log says must be the same."""
    async with kit(environment=PROTECTED) as parts:
        yield parts
        tenant = Tenant(session, parts.address["graph"])
        served = Counter(entry["userId"] for entry in await tenant.served())
        logged = Counter(row["UserId"] for row in await rows_with_a_revoke(parts, tenant))
        assert logged == served, f"only in the tenant: {served - logged}, only in the log: {logged - served}"


async def rows_with_a_revoke(parts: Kit, tenant: Tenant) -> list[dict[str, Any]]:
    """Every user row that claims a revoke; a name that could not be looked up is looked up now."""
    by_name = {user["userPrincipalName"].lower(): user["id"] for user in await tenant.get("users")}
    async with TableServiceClient.from_connection_string(parts.address["connectionString"]) as service:
        found = service.get_table_client("RevocationUsers").query_entities("RevokedAt ge ''")
        rows = [dict(row) async for row in found]
    return [row | {"UserId": row.get("UserId") or by_name[row["Input"].lower()]} for row in rows]


@pytest.fixture
async def tenant(session: ClientSession, running: Kit) -> AsyncIterator[Tenant]:
    """The tenant, as it was at the start once the test is over."""
    control = Tenant(session, running.address["graph"])
    yield control
    await control.post("reset")


@pytest.fixture
def api(session: ClientSession, running: Kit, tenant: Tenant) -> Api:  # noqa: ARG001 -- resets the tenant afterwards
    """The app."""
    return Api(session, running.address["functions"], running.address["key"])


@pytest.fixture(scope="session")
def connection(running: Kit) -> str:
    """The connection string of the storage."""
    return str(running.address["connectionString"])


@pytest.fixture(scope="session")
def numbers() -> Callable[[], int]:
    """A number that no other test gets."""
    return itertools.count(1).__next__


@pytest.fixture
async def person(tenant: Tenant, numbers: Callable[[], int]) -> dict[str, Any]:
    """A user that no other test touches."""
    return await tenant.new_user(f"person{numbers()}@contoso.com")
