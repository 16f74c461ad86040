"""What tests talk to the running app with, so that they read as sentences."""

from __future__ import annotations

import asyncio
import io
import json
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from azure.core.exceptions import ResourceExistsError
from azure.storage.queue.aio import QueueClient

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from aiohttp import ClientSession

WAIT_SECONDS = 60.0
THROTTLED = 429


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
    def user(self) -> dict[str, Any]:
        """The only user of a resource."""
        (user,) = self.json["users"]
        return user


async def until[T](look: Callable[[], Awaitable[T]], is_there: Callable[[T], bool], seconds: float = WAIT_SECONDS) -> T:
    """Look again and again until what is looked for is there."""
    deadline = time.monotonic() + seconds
    while True:
        found = await look()
        if is_there(found):
            return found
        assert time.monotonic() < deadline, f"not there within {seconds} s: {found}"
        await asyncio.sleep(0.1)


class Api:
    """The app's API."""

    def __init__(self, session: ClientSession, root: str, key: str) -> None:
        self._session = session
        self.root = f"{root}/api"
        self.key = {"x-functions-key": key}

    async def call(self, method: str, path: str, *, headers: dict[str, str] | None = None, data: Any = None) -> Reply:
        """Any call, without a key unless ``headers`` has one; ``path`` may be absolute."""
        url = path if path.startswith("http") else f"{self.root}/{path}"
        async with self._session.request(method, url, headers=headers, data=data, allow_redirects=False) as answer:
            return Reply(answer.status, answer.headers, await answer.text())

    async def submit(self, content: Any, **headers: str) -> Reply:
        """``POST /revocations``."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        # A stream: the client warns of a large body that is given as a text.
        data = io.BytesIO(json.dumps(content).encode())
        return await self.call("POST", "revocations", headers=self.key | named, data=data)

    async def get(self, path: str) -> Reply:
        """A ``GET`` with the key."""
        return await self.call("GET", path, headers=self.key)

    async def say(self, request_id: str, word: str, content: Any = None, **headers: str) -> Reply:
        """``POST /revocations/{id}/confirm``, ``/cancel`` or ``/retry``."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        data = json.dumps(content) if content is not None else None
        return await self.call("POST", f"revocations/{request_id}/{word}", headers=self.key | named, data=data)

    async def users(self, request_id: str, query: str = "pageSize=1000") -> list[dict[str, Any]]:
        """All users of a request, page after page."""
        found: list[dict[str, Any]] = []
        link = f"revocations/{request_id}/users?{query}"
        while link:
            page = (await self.get(link)).json
            found += page["value"]
            link = page.get("nextLink", "")
        return found

    async def reaches(self, request_id: str, status: str, seconds: float = WAIT_SECONDS) -> Reply:
        """The request once it has a status."""
        return await until(
            lambda: self.get(f"revocations/{request_id}"), lambda reply: reply.json["status"] == status, seconds
        )

    async def finished(self, request_id: str, seconds: float = WAIT_SECONDS) -> Reply:
        """The request's last word."""
        return await until(lambda: self.get(f"revocations/{request_id}"), lambda reply: reply.status == 200, seconds)

    async def of_user(self, user: str, seconds: float = WAIT_SECONDS) -> Reply:
        """The newest finished request that touched a user."""

        async def look() -> Reply:
            return await self.get("revocations?user=" + user.replace("#", "%23"))

        found = await until(look, lambda reply: bool(reply.json["value"]), seconds)
        return await self.finished(found.json["value"][0]["id"], seconds)


class Tenant:
    """The simulator's control routes."""

    def __init__(self, session: ClientSession, root: str) -> None:
        self._session = session
        self.root = root

    async def post(self, route: str, content: Any = None) -> Any:
        """Change something."""
        async with self._session.post(
            f"{self.root}/_sim/{route}", json=content if content is not None else {}
        ) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.json() if answer.status != 204 else None

    async def get(self, route: str) -> Any:
        """Read something."""
        async with self._session.get(f"{self.root}/_sim/{route}") as answer:
            return await answer.json()

    async def served(self, *user_ids: str) -> list[dict[str, Any]]:
        """Revokes that Graph carried out, whatever it answered, of some users or of all."""
        entries = await self.get("revocations")
        done = [entry for entry in entries if entry["effective"] or 200 <= entry["status"] < 300]
        return [entry for entry in done if not user_ids or entry["userId"] in user_ids]

    async def grant(self, *roles: str) -> None:
        """Give the app's identity other permissions, as a fresh identity would have them."""
        await self.post("config", {"grantedRoles": list(roles)})
        await self.post("tokens/forget")

    async def new_user(self, upn: str, **properties: Any) -> dict[str, Any]:
        """A user that no other test touches."""
        user: dict[str, Any] = await self.post("users", {"userPrincipalName": upn} | properties)
        return user

    async def people(self, count: int, prefix: str, **properties: Any) -> list[str]:
        """Many users that no other test touches; their object ids."""
        entries = [{"userPrincipalName": f"{prefix}{number:05d}@contoso.com"} | properties for number in range(count)]
        return [user["id"] for user in await self.post("users", entries)]

    async def group(self, members: Sequence[Any], **more: Any) -> str:
        """A new group; its object id."""
        name = f"Group {uuid4()}"
        return str((await self.post("groups", {"displayName": name, "members": list(members)} | more))["id"])

    async def violations(self) -> int:
        """How many calls came before a ``Retry-After`` had passed, since the tenant started."""
        return int((await self.get("calls"))["gateViolations"])


@dataclass(frozen=True)
class App:
    """A running app, its tenant, and where its parts are."""

    api: Api
    tenant: Tenant
    address: dict[str, Any]


def left_early(entries: list[dict[str, Any]], pause: float) -> list[dict[str, Any]]:
    """Revokes that reached the tenant in a pause that it had asked for; what was on its way then has a second."""
    moments = [datetime.fromisoformat(entry["at"]).timestamp() for entry in entries]
    asked = [moment for moment, entry in zip(moments, entries, strict=True) if entry["status"] == THROTTLED]
    return [
        entry
        for moment, entry in zip(moments, entries, strict=True)
        if any(since + 1 < moment < since + pause for since in asked)
    ]


async def regrant(api: Api, tenant: Tenant) -> None:
    """Give the permissions back; the app learns of it when Graph refuses the token it still holds."""
    await tenant.grant("User.ReadWrite.All", "GroupMember.Read.All")
    await until(lambda: api.submit({"user": "carol@contoso.com"}), lambda reply: reply.user["status"] == "verified")


def summed(counts: dict[str, int]) -> int:
    """The disjoint counts of a request, added up."""
    return sum(number for name, number in counts.items() if name not in ("total", "duplicates"))


async def send_message(connection: str, text: str, queue: str = "revocation-requests") -> None:
    """Put a message as another system would: plain text.

    The host makes its queues when it first looks into them, which may be after it answers HTTP calls: whoever is first
    makes the queue.
    """
    async with QueueClient.from_connection_string(connection, queue) as client:
        with suppress(ResourceExistsError):
            await client.create_queue()
        await client.send_message(text)
