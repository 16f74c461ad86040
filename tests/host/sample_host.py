"""The sample app under ``python -m local host``, as tests talk to it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.storage.queue.aio import QueueClient
from clients import Reply, until

from local.processes import Child, start

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import ClientSession

SAMPLE = Path(__file__).parent / "sample_app"
NEVER = "0 0 0 1 1 *"


@dataclass(kw_only=True)
class SampleHost:
    """One running host."""

    child: Child
    session: ClientSession
    connection: str
    jobs: str
    record: Path
    log: list[str] = field(default_factory=list)

    @property
    def root(self) -> str:
        """Where it listens."""
        return str(self.child.ready["functions"])

    @property
    def key(self) -> dict[str, str]:
        """The headers of a caller that may."""
        return {"x-functions-key": self.child.ready["key"]}

    async def call(self, method: str, path: str, *, headers: dict[str, str] | None = None, data: Any = None) -> Reply:
        """Any call below the host's root, without a key unless ``headers`` has one."""
        async with self.session.request(
            method, self.root + path, headers=headers, data=data, allow_redirects=False
        ) as answer:
            return Reply(answer.status, answer.headers.copy(), await answer.text())

    async def put(self, text: str) -> str:
        """Send a message to the app's queue; its id."""
        async with self.queue() as queue:
            with contextlib.suppress(ResourceExistsError):
                await queue.create_queue()
            return str((await queue.send_message(text)).id)

    def queue(self, suffix: str = "") -> QueueClient:
        """The app's queue, or the one beside it."""
        return QueueClient.from_connection_string(self.connection, self.jobs + suffix)

    async def length(self, suffix: str = "") -> int:
        """Messages in the app's queue, hidden ones too; none when there is no such queue."""
        async with self.queue(suffix) as queue:
            try:
                return int((await queue.get_queue_properties()).approximate_message_count or 0)
            except ResourceNotFoundError:
                return 0

    def notes(self, **wanted: Any) -> list[dict[str, Any]]:
        """The lines of the record that have these values."""
        lines = self.record.read_text().splitlines() if self.record.exists() else []
        entries = [json.loads(line) for line in lines]
        return [entry for entry in entries if wanted.items() <= entry.items()]

    async def noted(self, count: int = 1, **wanted: Any) -> list[dict[str, Any]]:
        """Wait for lines of the record."""

        async def look() -> list[dict[str, Any]]:
            return self.notes(**wanted)

        return await until(look, lambda found: len(found) >= count)

    async def emptied(self) -> None:
        """Wait until the app's queue holds nothing, not even hidden."""
        await until(self.length, lambda length: length == 0)


@contextlib.asynccontextmanager
async def sample_host(
    session: ClientSession, connection: str, folder: Path, *, jobs: str, app: Path = SAMPLE, **settings: str
) -> AsyncIterator[SampleHost]:
    """Run the sample app; ended at the end if the test did not."""
    record = folder / f"{jobs}.record"
    log: list[str] = []
    defaults = {"AzureWebJobsStorage": connection, "JOBS": jobs, "TICK": NEVER, "RECORD": str(record)}
    inherited = {name: value for name, value in os.environ.items() if name != "WEBSITE_HOSTNAME"}
    child = await start(
        "host",
        ["host", "--app", str(app), "--port", "0", "--json"],
        environment=inherited | defaults | settings,
        on_line=log.append,
    )
    try:
        yield SampleHost(child=child, session=session, connection=connection, jobs=jobs, record=record, log=log)
    finally:
        await asyncio.shield(child.stop())
