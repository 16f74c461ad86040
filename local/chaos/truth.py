"""The two truths: the tables, read past the app, and the tenant's own log."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from azure.core.exceptions import ResourceNotFoundError

from local.chaos.history import Findings, Sampler, Story, judged
from local.rig import wire

if TYPE_CHECKING:
    from local.rig.stage import Stage

PROTECTED: Final = "breakglass@contoso.com"
_LOOK_SECONDS: Final = 0.4


class Truth:
    """One run's view of both.

    Args:
        stage: where the run takes place.
        reason: the run's own reason; every request it produces carries it.
        asked: object ids that are to be revoked.
        protected: object ids that are named as well and must not be.
    """

    def __init__(self, *, stage: Stage, reason: str, asked: frozenset[str], protected: frozenset[str]) -> None:
        self._stage = stage
        self._reason = reason
        self._asked = asked
        self._protected = protected
        self.sampler = Sampler()

    async def requests(self) -> list[dict[str, Any]]:
        """The rows of ``Revocations`` with the run's reason."""
        return await self._query(wire.REQUESTS, "Reason eq @reason", {"reason": self._reason})

    async def rows(self, request_id: str) -> list[dict[str, Any]]:
        """The users of a request."""
        found = await self._query(wire.USERS, "PartitionKey eq @id", {"id": request_id})
        return [row for row in found if row["RowKey"] != wire.RUN_ROW]

    async def served(self) -> list[dict[str, Any]]:
        """Every revoke call answered for the run's users."""
        mine = self._asked | self._protected
        log: list[dict[str, Any]] = await self._stage.sim("revocations")
        return [entry for entry in log if entry["userId"] in mine]

    async def final(self, seconds: float) -> bool:
        """Watch the rows until the request has its last word; ``False`` when it has none after so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    if await self._looked():
                        return True
                    await asyncio.sleep(_LOOK_SECONDS)
        except TimeoutError:
            return False

    async def judge(self, *, kills: int) -> Findings:
        """Hold both truths together, as they stand now."""
        requests = await self.requests()
        rows = [row for request in requests[:1] for row in await self.rows(request["RowKey"])]
        self.sampler.look(rows)
        story = Story(
            asked=self._asked,
            protected=self._protected,
            requests=requests,
            rows=rows,
            served=await self.served(),
            kills=kills,
            changes=self.sampler.changes,
        )
        return judged(story)

    async def _looked(self) -> bool:
        requests = await self.requests()
        for request in requests:
            self.sampler.look(await self.rows(request["RowKey"]))
        return bool(requests) and all(request["Status"] in wire.FINAL_REQUEST for request in requests)

    async def _query(self, table: str, query: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        client = self._stage.tables.get_table_client(table)
        try:
            return [dict(row) async for row in client.query_entities(query, parameters=parameters)]
        except ResourceNotFoundError:
            return []  # the app creates its tables at the first need


async def not_processed(stage: Stage) -> int:
    """Requests that ended because their message was given up."""
    client = stage.tables.get_table_client(wire.REQUESTS)
    found = client.query_entities("ErrorCode eq @code", parameters={"code": wire.NOT_PROCESSED}, select=["RowKey"])
    return len([row async for row in found])
