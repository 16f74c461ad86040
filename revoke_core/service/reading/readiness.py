"""Whether the app could do its job right now, and what to do if it could not."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from revoke_core.domain.errors import TokenUnavailable, Unavailable
from revoke_core.domain.permissions import REVOKE, TokenFacts, grant_command, missing

if TYPE_CHECKING:
    from revoke_core.ports.graph import Graph
    from revoke_core.ports.shared import WorkQueue
    from revoke_core.ports.status_log import StatusLog


# An id that no request can have: reading it costs one point read however large the status log is.
_NO_REQUEST: Final = "0" * 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """The findings; ``queue_depth`` is ``None`` when the queue does not answer."""

    token: bool
    permissions: tuple[str, ...]
    missing: tuple[str, ...]
    grant_command: str | None
    table: bool
    queue_depth: int | None
    may_revoke: bool

    @property
    def is_ready(self) -> bool:
        """Ready means: a token, a permission that lets it revoke, and storage."""
        return self.token and self.may_revoke and self.table and self.queue_depth is not None


class ReadinessCheck:
    """Asks the identity and the storage, all at once."""

    def __init__(self, *, graph: Graph, log: StatusLog, queue: WorkQueue, needs_groups: bool) -> None:
        self._graph = graph
        self._log = log
        self._queue = queue
        self._needs_groups = needs_groups

    async def check(self) -> Readiness:
        """The state of everything the app needs."""
        token, table, depth = await asyncio.gather(self._token(), self._table(), self._depth())
        lacking = missing(token, needs_groups=self._needs_groups) if token else []
        return Readiness(
            token=token is not None,
            permissions=tuple(sorted(token.roles or ())) if token else (),
            missing=tuple(lacking),
            grant_command=grant_command(lacking, token.principal_id if token else None),
            table=table,
            queue_depth=depth,
            may_revoke=token is not None and token.may(REVOKE),
        )

    async def _token(self) -> TokenFacts | None:
        try:
            token = await self._graph.token()
            if missing(token, needs_groups=self._needs_groups):
                await self._graph.token_missed_roles()
                token = await self._graph.token()
        except TokenUnavailable:
            return None
        return token

    async def _table(self) -> bool:
        try:
            await self._log.get_request(_NO_REQUEST)
        except Unavailable:
            return False
        return True

    async def _depth(self) -> int | None:
        try:
            return await self._queue.depth()
        except Unavailable:
            return None
