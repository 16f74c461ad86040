"""A fresh tenant for every test, in this process, spoken to over real sockets."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import ClientSession
from batch_items import revoke_item
from yarl import URL

from local.simulator.directory import object_id
from local.simulator.server import running
from local.simulator.tenant import Tenant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

HEADER = "made-up-header"
GRAPH = "https://graph.microsoft.com"
EVERY_READ = ["User.ReadWrite.All", "GroupMember.Read.All", "AuditLog.Read.All", "Member.Read.Hidden"]


@dataclass(frozen=True)
class Reply:
    """An HTTP answer, read."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        """The body's value."""
        return json.loads(self.text)

    @property
    def code(self) -> str:
        """Graph's error code."""
        return str(self.json["error"]["code"])

    @property
    def message(self) -> str:
        """Graph's error text."""
        return str(self.json["error"]["message"])


class Simulator:
    """Calls one tenant as a client does; paths go out exactly as written."""

    def __init__(self, session: ClientSession, root: str) -> None:
        self._session = session
        self.root = root
        self._token: str | None = None

    async def call(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, body: Any = None
    ) -> Reply:
        """Any request; `path` is raw and a body is sent as JSON."""
        url = URL(path if path.startswith("http") else self.root + path, encoded=True)
        async with self._session.request(method, url, headers=headers, json=body, allow_redirects=False) as answer:
            return Reply(answer.status, answer.headers, await answer.text())

    async def graph(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, body: Any = None
    ) -> Reply:
        """A Graph request with the identity's token; `path` is below `/v1.0`, or a whole nextLink."""
        if self._token is None:
            self._token = (await self.token()).json["access_token"]
        whole = path if path.startswith("http") else f"/v1.0{path}"
        return await self.call(
            method, whole, headers={"Authorization": f"Bearer {self._token}", **(headers or {})}, body=body
        )

    async def revoke(self, user: str) -> Reply:
        """One revoke; `user` as it stands in the path."""
        return await self.graph("POST", f"/users/{user}/revokeSignInSessions")

    async def cut_off(self, user: str) -> str:
        """The cut-off a reader sees."""
        reply = await self.graph("GET", f"/users/{user}?$select=signInSessionsValidFromDateTime")
        return str(reply.json["signInSessionsValidFromDateTime"])

    async def batch(self, *requests: Any) -> Reply:
        """A batch of whole items, or of user names to revoke."""
        items = [item if isinstance(item, dict) else revoke_item(str(item)) for item in requests]
        return await self.graph("POST", "/$batch", body={"requests": items})

    async def token(self, *, header: str = HEADER, **query: str) -> Reply:
        """What the identity endpoint answers."""
        options = {"api-version": "2019-08-01", "resource": GRAPH} | query
        text = "&".join(f"{name}={value}" for name, value in options.items())
        return await self.call("GET", f"/msi/token?{text}", headers={"X-IDENTITY-HEADER": header})

    async def configure(self, **values: Any) -> Reply:
        """Change the configuration; granted roles come with a fresh identity."""
        reply = await self.call("POST", "/_sim/config", body=values)
        if "grantedRoles" in values:
            await self.call("POST", "/_sim/tokens/forget")
            self._token = None
        return reply

    async def fault(self, *, times: int | None = 1, after: int = 0, match: Any = None, **action: Any) -> None:
        """Script a fault."""
        content = {"match": match or {}, "times": times, "after": after, "action": action}
        reply = await self.call("POST", "/_sim/faults", body=content)
        assert reply.status == 200, reply.text

    async def truth(self, name: str) -> Any:
        """The answer of a control route."""
        return (await self.call("GET", f"/_sim/{name}")).json


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    """A tenant with 200 bulk users and every permission that is read with."""
    tenant = Tenant(bulk_users=200, identity_header=HEADER, config={"grantedRoles": EVERY_READ})
    async with running(tenant) as root, ClientSession() as session:
        yield Simulator(session, root)


@pytest.fixture(scope="session")
def id_of() -> Any:
    """The object id of a seed, by UPN or `group:<name>`."""
    return object_id
