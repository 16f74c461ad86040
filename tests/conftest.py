"""One kit for the whole run, or for each worker: the tenant simulator, Azurite and the Functions host, over sockets."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import ClientSession
from azure.data.tables.aio import TableServiceClient
from clients import Api, App, Tenant
from kits import PROTECTED, UNHURRIED, UNLIMITED, compare
from side_by_side import Groups, place_of

from local.processes import start
from local.up import Kit, kit
from revoke_core.adapters.storage import Storage
from revoke_core.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Groups:
    """Several workers take groups, not single tests."""
    return Groups(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On each of several workers alike; a run in one process keeps the order of the files."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: place_of(item.nodeid))


@pytest.fixture(scope="session")
async def session() -> AsyncIterator[ClientSession]:
    async with ClientSession() as client:
        yield client


@pytest.fixture(scope="session")
async def azurite_server() -> AsyncIterator[str]:
    """The connection string of an emulator for tests of single parts; the app knows nothing of it."""
    child = await start("storage", ["storage", "--queue-port", "0", "--table-port", "0", "--json"])
    yield str(child.ready["connectionString"])
    await child.stop()


@pytest.fixture(scope="module")
async def azurite(azurite_server: str) -> str:
    """The same without the tables of earlier files: the emulator looks through every row for a query."""
    async with TableServiceClient.from_connection_string(azurite_server) as service:
        async for table in service.list_tables():
            await service.delete_table(table.name)
    return azurite_server


@pytest.fixture
async def storage(azurite: str) -> AsyncIterator[Storage]:
    """Its tables and queues, all there."""
    made = Storage(settings=read_settings({"AzureWebJobsStorage": azurite}).storage)
    await made.ready()
    yield made
    await made.close()


@pytest.fixture(scope="session")
async def running(session: ClientSession) -> AsyncIterator[Kit]:
    """The kit; when the run is over, what the tenant did and what the status log says must be the same."""
    async with kit(environment=PROTECTED) as parts:
        yield parts
        await compare(parts.address, Tenant(session, parts.address["graph"]))


@pytest.fixture(scope="session")
async def large(session: ClientSession) -> AsyncIterator[Kit]:
    """A second kit, in which neither side limits the writes, so that many users take little time; compared as well."""
    async with kit(users=0, tenant_options=("--config", UNLIMITED), environment=UNHURRIED) as parts:
        yield parts
        await compare(parts.address, Tenant(session, parts.address["graph"]))


@pytest.fixture
async def bulk(session: ClientSession, large: Kit) -> AsyncIterator[App]:
    """The app of the second kit; its tenant is as it was at the start once the test is over."""
    api = Api(session, large.address["functions"], large.address["key"])
    app = App(api, Tenant(session, large.address["graph"]), large.address)
    yield app
    await app.tenant.post("reset")


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
