"""What really happened: the tables, read past the app, and the tenant's own log."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from azure.core.exceptions import ResourceNotFoundError

from local.chaos.checks import Findings, RowHistory, RunRecord, check_run
from local.testbed import exchanges

if TYPE_CHECKING:
    from local.testbed.environment import Environment

PROTECTED: Final = "breakglass@contoso.com"
_POLL_SECONDS: Final = 0.4


class GroundTruth:
    """Reads both for one run.

    Args:
        environment: the test environment of the run.
        reason: the run's own reason; every request it produces carries it.
        asked: object ids that are to be revoked.
        protected: object ids that are named as well and must not be.
    """

    def __init__(
        self, *, environment: Environment, reason: str, asked: frozenset[str], protected: frozenset[str]
    ) -> None:
        self._environment = environment
        self._reason = reason
        self._asked = asked
        self._protected = protected
        self.history = RowHistory()

    async def requests(self) -> list[dict[str, Any]]:
        """The rows of ``Revocations`` with the run's reason; open markers have no reason."""
        found = await self._query(exchanges.REQUESTS, "Reason eq @reason", {"reason": self._reason})
        return [row for row in found if not exchanges.is_open_marker(row)]

    async def rows(self, request_id: str) -> list[dict[str, Any]]:
        """The users of a request."""
        found = await self._query(exchanges.USERS, "PartitionKey eq @id", {"id": request_id})
        return [row for row in found if row["RowKey"] != exchanges.RUN_ROW]

    async def served(self) -> list[dict[str, Any]]:
        """Every revoke call answered for the run's users."""
        mine = self._asked | self._protected
        log: list[dict[str, Any]] = await self._environment.sim("revocations")
        return [entry for entry in log if entry["userId"] in mine]

    async def wait_final(self, seconds: float) -> bool:
        """Poll the rows until the request has its final status; ``False`` when it has none after ``seconds``."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    if await self._poll():
                        return True
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            return False

    async def check(self, *, kills: int, lag: float) -> Findings:
        """Compare tables and tenant as they are now."""
        requests = await self.requests()
        rows = [row for request in requests[:1] for row in await self.rows(request["RowKey"])]
        self.history.observe(rows)
        record = RunRecord(
            asked=self._asked,
            protected=self._protected,
            requests=requests,
            rows=rows,
            served=await self.served(),
            kills=kills,
            lag=lag,
            changes=self.history.changes,
        )
        return check_run(record)

    async def _poll(self) -> bool:
        requests = await self.requests()
        for request in requests:
            self.history.observe(await self.rows(request["RowKey"]))
        return bool(requests) and all(request["Status"] in exchanges.FINAL_REQUEST for request in requests)

    async def _query(self, table: str, query: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        client = self._environment.tables.get_table_client(table)
        try:
            return [dict(row) async for row in client.query_entities(query, parameters=parameters)]
        except ResourceNotFoundError:
            return []  # the app creates its tables when it first needs them


async def not_processed(environment: Environment) -> int:
    """Requests that ended because their message went to a poison queue."""
    client = environment.tables.get_table_client(exchanges.REQUESTS)
    found = client.query_entities("ErrorCode eq @code", parameters={"code": exchanges.NOT_PROCESSED}, select=["RowKey"])
    return len([row async for row in found])
