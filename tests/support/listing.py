"""What tests of lists read with: a tenant to change, and sources that are read to their end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from local.simulator.directory import object_id
from revoke_core.domain.identifiers import new_request_id
from revoke_core.domain.request import RevocationRequest
from revoke_core.domain.request_record import RequestedBy, RequestRecord, RequestStatus

if TYPE_CHECKING:
    from aiohttp import ClientSession

    from revoke_core.adapters.tables.status_log import TableStatusLog
    from revoke_core.domain.problems import Problem
    from revoke_core.service.engine.sources import SourcePage, Sources

# Far more calls than any of these tests needs: a list that never ends fails instead of hanging.
MOST_CALLS = 400
HP_TEAM = object_id("group:HP team")
NOBODYS = "00000000-0000-4000-8000-0000000000ff"


class Directory:
    """The tenant's control routes."""

    def __init__(self, session: ClientSession, root: str) -> None:
        self._session = session
        self.root = root

    async def post(self, route: str, content: Any) -> Any:
        """Change something."""
        async with self._session.post(f"{self.root}/_sim/{route}", json=content) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.json() if answer.status != 204 else None

    async def people(self, count: int, prefix: str, **properties: Any) -> list[str]:
        """New users; their object ids."""
        entries = [{"userPrincipalName": f"{prefix}{number}@contoso.com"} | properties for number in range(count)]
        return [user["id"] for user in await self.post("users", entries)]

    async def group(self, name: str, members: list[Any], **more: Any) -> str:
        """A new group; its object id."""
        return str((await self.post("groups", {"displayName": name, "members": members} | more))["id"])

    async def configure(self, **values: Any) -> None:
        """Change the tenant's behaviour."""
        await self.post("config", values)

    async def fault(self, path: str, *, times: int | None = 1, after: int = 0, **action: Any) -> None:
        """Script an answer for a path."""
        content = {"match": {"path": path, "method": "GET"}, "times": times, "after": after, "action": action}
        await self.post("faults", content)

    async def search_fault(self, text: str, *, times: int | None = 1, **action: Any) -> None:
        """Script an answer for searches whose filter holds a text."""
        await self.post("faults", {"match": {"filter": text}, "times": times, "action": action})

    async def well_again(self) -> None:
        """No faults any more."""
        async with self._session.delete(f"{self.root}/_sim/faults") as answer:
            assert answer.status == 200

    async def calls(self) -> dict[str, int]:
        """How often each route was called."""
        async with self._session.get(f"{self.root}/_sim/calls") as answer:
            return dict((await answer.json())["routes"])

    async def books(self) -> dict[str, Any]:
        """All that the tenant counts."""
        async with self._session.get(f"{self.root}/_sim/calls") as answer:
            return dict(await answer.json())

    async def tokens(self) -> int:
        """How many tokens the identity endpoint has given."""
        async with self._session.get(f"{self.root}/_sim/calls") as answer:
            return int((await answer.json())["tokens"])

    async def move_cut_off(self, user: str) -> None:
        """As if the user's sessions had been revoked now, by somebody else."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        async with self._session.patch(
            f"{self.root}/_sim/users/{user}", json={"signInSessionsValidFromDateTime": now}
        ) as answer:
            assert answer.status == 200, await answer.text()

    async def served(self) -> list[str]:
        """Whom the tenant was told to revoke, in order, refusals included."""
        return [entry["userId"] for entry in await self.revocations()]

    async def revocations(self) -> list[dict[str, Any]]:
        """The tenant's own log of revokes."""
        async with self._session.get(f"{self.root}/_sim/revocations") as answer:
            return list(await answer.json())


@dataclass(frozen=True)
class Reading:
    """Sources with the status log they read from."""

    sources: Sources
    log: TableStatusLog

    async def stored(self, request: RevocationRequest) -> tuple[str, RevocationRequest]:
        """The request as it comes back from storage."""
        request_id = new_request_id(datetime.now(UTC))
        record = RequestRecord(
            id=request_id,
            status=RequestStatus.ACCEPTED,
            source="http",
            requested_by=RequestedBy(kind="local"),
            requested_at=datetime.now(UTC),
        )
        await self.log.create_request(record, request, redrive_at=None)
        read = await self.log.get_inputs(request_id)
        assert read == request or (read is not None and not read.users)
        return request_id, read

    async def pages(
        self, request: RevocationRequest, checkpoint: str | None = None, *, request_id: str = "none"
    ) -> list[SourcePage]:
        """All pages from a checkpoint on, up to the last, an obstacle or a refusal."""
        found: list[SourcePage] = []
        while len(found) < MOST_CALLS:
            found.append(await self.sources.page(request_id, request, checkpoint))
            checkpoint = found[-1].checkpoint
            if checkpoint is None or found[-1].obstacle or found[-1].refusal:
                return found
        raise AssertionError("the pages never end")

    async def only(self, request: RevocationRequest, checkpoint: str | None = None) -> SourcePage:
        """One page."""
        return await self.sources.page("none", request, checkpoint)


def ids(pages: list[SourcePage]) -> list[str]:
    """Who is meant, in order."""
    assert not [page for page in pages if page.obstacle or page.refusal]
    return [user.text for page in pages for user in page.users]


def people(*names: str) -> list[str]:
    """Their object ids."""
    return [object_id(f"{name}@contoso.com") for name in names]


def of_group(*groups: str, **more: Any) -> RevocationRequest:
    """A request for the members of groups."""
    return RevocationRequest(groups=groups, **more)


def code(problem: Problem | None) -> str | None:
    """What a problem is called, where there is one."""
    return problem.code if problem else None
