"""Azurite once for the run; the sample app under the host, one shared and one for each test that needs its own."""

from __future__ import annotations

import json
import shutil
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest
from sample_host import SAMPLE, SampleHost, sample_host

from local.processes import start

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from aiohttp import ClientSession

type Begin = Callable[..., Awaitable[SampleHost]]


@pytest.fixture(scope="session")
async def storage() -> AsyncIterator[str]:
    """The connection string of an Azurite that is alone with these tests."""
    child = await start("storage", ["storage", "--queue-port", "0", "--table-port", "0", "--json"])
    yield child.ready["connectionString"]
    await child.stop()


@pytest.fixture(scope="session")
async def host(
    session: ClientSession, storage: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[SampleHost]:
    """The sample app, shared by the tests that leave nothing behind."""
    folder = tmp_path_factory.mktemp("shared")
    keys = {"LOCAL_FUNCTION_KEY": "the-function-key", "LOCAL_MASTER_KEY": "the-master-key"}
    async with sample_host(session, storage, folder, jobs="jobs-shared", **keys) as running:
        yield running


@pytest.fixture
async def begin(
    session: ClientSession, storage: str, tmp_path: Path, numbers: Callable[[], int]
) -> AsyncIterator[Begin]:
    """Run the sample app with a test's own settings (or ``values`` of local.settings.json) and host.json."""
    async with AsyncExitStack() as stack:

        async def begun(
            *,
            jobs: str = "",
            queues: dict[str, Any] | None = None,
            limit: str = "",
            values: dict[str, str] | None = None,
            **settings: str,
        ) -> SampleHost:
            app = tmp_path / f"app{numbers()}"
            shutil.copytree(SAMPLE, app)
            options = json.loads((app / "host.json").read_text())
            options["extensions"]["queues"] |= queues or {}
            options |= {"functionTimeout": limit} if limit else {}
            (app / "host.json").write_text(json.dumps(options))
            (app / "local.settings.json").write_text(json.dumps({"IsEncrypted": False, "Values": values or {}}))
            name = jobs or f"jobs-{numbers()}"
            return await stack.enter_async_context(
                sample_host(session, storage, tmp_path, jobs=name, app=app, **settings)
            )

        yield begun
