"""Whether the app could do its job right now, and what to do if it could not."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from revoke_core.domain.errors import TokenUnavailable, Unavailable
from revoke_core.domain.identifiers import UserRef
from revoke_core.domain.permissions import REVOKE, TokenFacts, grant_command, missing
from revoke_core.domain.responses import Answer, Delivery, graph_error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from revoke_core.ports.graph import Graph
    from revoke_core.ports.shared import WorkQueue
    from revoke_core.ports.status_log import StatusLog
    from revoke_core.service.engine.protection import ProtectedUsers, Protection

# An answer comes within ten seconds, whatever hangs: a probe that waits longer is taken for dead.
PATIENCE: Final = 8.0
# An id that no request can have: reading it costs one point read however large the status log is.
_NO_REQUEST: Final = "0" * 12
# A user that no tenant has. Graph says so, or that the app may not read users: either way it knows the token.
_NO_USER: Final = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphAnswer:
    """What Graph answered to one call with the token: its status and its own error code."""

    status: int | None = None
    code: str | None = None

    @property
    def knows_token(self) -> bool:
        """Whether Graph dealt with the call; it was not found, forbidden or throttled, but for none of the token."""
        refused = (None, HTTPStatus.UNAUTHORIZED)
        return self.status not in refused and (self.status or 0) < HTTPStatus.INTERNAL_SERVER_ERROR


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """The findings; ``queue_depth`` is ``None`` when the queue does not answer, ``protection`` when it is unknown."""

    token: bool
    graph: GraphAnswer
    permissions: tuple[str, ...]
    missing: tuple[str, ...]
    grant_command: str | None
    table: bool
    queue_depth: int | None
    may_revoke: bool
    protection: Protection | None

    @property
    def is_ready(self) -> bool:
        """Ready means: a token that Graph knows, a permission that lets it revoke, storage, and a protected list."""
        is_protected = self.protection is not None and not self.protection.unreadable
        has_storage = self.table and self.queue_depth is not None
        return self.token and self.graph.knows_token and self.may_revoke and has_storage and is_protected


class ReadinessCheck:
    """Asks the identity, Graph and the storage, all at once and each for eight seconds at most.

    ``ready`` creates tables and queues that are missing.
    """

    def __init__(
        self,
        *,
        graph: Graph,
        log: StatusLog,
        queue: WorkQueue,
        protected: ProtectedUsers,
        ready: Callable[[], Awaitable[None]],
        needs_groups: bool,
        needs_logs: bool = False,
    ) -> None:
        self._graph = graph
        self._log = log
        self._queue = queue
        self._protected = protected
        self._ready = ready
        self._needs_groups = needs_groups
        self._needs_logs = needs_logs

    async def check(self) -> Readiness:
        """The state of everything the app needs."""
        token, graph, table, depth, protection = await asyncio.gather(
            _or_none(self._token()),
            _or_none(self._asked()),
            _or_none(self._table()),
            _or_none(self._depth()),
            _or_none(self._protected.look()),
        )
        lacking = self._lacking(token) if token else []
        return Readiness(
            token=token is not None,
            graph=graph or GraphAnswer(),
            permissions=tuple(sorted(token.roles or ())) if token else (),
            missing=tuple(lacking),
            grant_command=grant_command(lacking, token.principal_id if token else None),
            table=table is not None,
            queue_depth=depth,
            may_revoke=token is not None and token.may(REVOKE),
            protection=protection,
        )

    def _lacking(self, token: TokenFacts) -> list[str]:
        """Evidence alone is no reason to rebuild the credential: that is what tells that the app cannot revoke."""
        return missing(token, needs_groups=self._needs_groups, needs_logs=self._needs_logs)

    async def _token(self) -> TokenFacts:
        token = await self._graph.token()
        if missing(token, needs_groups=self._needs_groups):
            await self._graph.token_missed_roles()
            token = await self._graph.token()
        return token

    async def _asked(self) -> GraphAnswer | None:
        """One read with the token; ``None`` when no answer came."""
        (answer,) = await self._graph.read_users([UserRef(given=_NO_USER, text=_NO_USER, is_id=True)])
        return _told(answer)

    async def _table(self) -> bool:
        await self._ready()
        await self._log.get_request(_NO_REQUEST)
        return True

    async def _depth(self) -> int:
        await self._ready()
        return await self._queue.depth()


async def _or_none[T](part: Awaitable[T]) -> T | None:
    """The finding of one part; ``None`` where it fails or takes too long."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await part
    except (TimeoutError, TokenUnavailable, Unavailable):
        return None


def _told(answer: Answer) -> GraphAnswer | None:
    if answer.delivery is Delivery.LOST or not answer.status:
        return None
    error = graph_error(answer)
    return GraphAnswer(status=answer.status, code=error[0] if error else None)
