"""``python -m local demo``: the main job end to end on one machine, with the status log as a table at the end."""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from aiohttp import ClientSession
from azure.core.exceptions import ResourceExistsError
from azure.storage.queue.aio import QueueClient

from local.processes import ChildFailedError
from local.up import kit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

# More than MAX_UNCONFIRMED_USERS, so that the request is held until its number of users is confirmed.
LEAVERS: Final = [f"user{number:05d}@contoso.com" for number in range(1, 121)]
_WAIT_SECONDS: Final = 60.0
_BETWEEN_RUNS: Final = 4.0
# What evidence needs: the app has to be told to read the logs, and the identity to be allowed to.
_EVIDENCE: Final = {"EVIDENCE": "true"}
_GRANTED: Final = {"grantedRoles": ["User.ReadWrite.All", "GroupMember.Read.All", "AuditLog.Read.All"]}


class DemoFailedError(RuntimeError):
    """A step of the demonstration did not end as it should."""


class Api:
    """Calls the app's HTTP API as an admin with curl would."""

    def __init__(self, session: ClientSession, root: str, key: str) -> None:
        self._session = session
        self._root = f"{root}/api"
        self._headers = {"x-functions-key": key}

    async def submit(self, content: dict[str, Any]) -> dict[str, Any]:
        """Submit a request and read the resource that comes back."""
        return await self._post("revocations", content)

    async def confirm(self, request_id: str, users: int) -> dict[str, Any]:
        """Release a held request."""
        return await self._post(f"revocations/{request_id}/confirm", {"users": users})

    async def _post(self, path: str, content: dict[str, Any]) -> dict[str, Any]:
        async with self._session.post(f"{self._root}/{path}", json=content, headers=self._headers) as answer:
            resource: dict[str, Any] = await answer.json()
            if answer.status not in (200, 202):
                raise DemoFailedError(f"POST /{path} was answered {answer.status}: {resource}")
            return resource

    async def get(self, path: str) -> dict[str, Any]:
        """Read something."""
        async with self._session.get(f"{self._root}/{path}", headers=self._headers) as answer:
            content: dict[str, Any] = await answer.json()
            return content

    async def wait_finished(self, request_id: str) -> dict[str, Any]:
        """Poll a request until its final status."""
        return await _until(lambda: self.get(f"revocations/{request_id}"), lambda found: bool(found["completedAt"]))


def main(argv: list[str]) -> int:
    """Run the demonstration; 0 when every step ended as it should."""
    parser = argparse.ArgumentParser(prog="python -m local demo", description=__doc__)
    parser.parse_args(argv)
    try:
        return asyncio.run(_run())
    except (ChildFailedError, DemoFailedError) as problem:
        print(f"\nThe demonstration failed: {problem}", file=sys.stderr)
        return 1


async def _run() -> int:
    begun = time.monotonic()
    _print("Starting the tenant simulator, Azurite and the Functions host ...")
    master = secrets.token_urlsafe(24)
    evident = kit(
        tenant_options=("--config", json.dumps(_GRANTED)), environment=_EVIDENCE | {"LOCAL_MASTER_KEY": master}
    )
    async with evident as running, ClientSession() as session:
        address = running.address
        api = Api(session, address["functions"], address["key"])
        ready = await api.get("readiness")
        _print(f"Ready: token {ready['token']}, permissions {', '.join(ready['permissions'])}")

        _print('\n1. One user over HTTP: POST /api/revocations {"user": "adele@contoso.com"}')
        one = await api.submit({"user": "adele@contoso.com", "reason": "INC-1042 stolen token"})
        _show_result(await api.wait_finished(one["id"]))
        sign_in = {"user": "adele@contoso.com", "app": "Office 365", "address": "203.0.113.77"}
        async with session.post(f"{address['graph']}/_sim/signIns", json=sign_in) as answer:
            answer.raise_for_status()

        _print("\n2. One user by queue message: bob@contoso.com, as a bare name")
        await _send(address["connectionString"], "bob@contoso.com")
        entry = await _until(lambda: api.get("revocations?user=bob@contoso.com"), lambda found: bool(found["value"]))
        _show_result(await api.wait_finished(entry["value"][0]["id"]))

        _print(f"\n3. The members of a group, {len(LEAVERS)} users: held until their number is confirmed")
        group = {"displayName": "Leavers", "members": LEAVERS}
        async with session.post(f"{address['graph']}/_sim/groups", json=group) as answer:
            many = await api.submit({"groups": [(await answer.json())["id"]], "reason": "INC-1043 phishing"})
        many = await _until(lambda: api.get(f"revocations/{many['id']}"), lambda found: found["status"] == "held")
        _print(f"   held with {many['counts']['total']} users; confirmed")
        await api.confirm(many["id"], many["counts"]["total"])
        _show_result(await _show_progress(api, many["id"]))

        _print("\n4. Evidence from the directory's own logs, a few seconds after the first request has ended")
        _show_evidence(await _evidence(api, session, address["functions"], master, one["id"]))

        log = await api.get("revocations")
        _print("\nThe status log:\n")
        _print_table(log["value"])
        async with session.get(f"{address['graph']}/_sim/revocations") as answer:
            served = await answer.json()
        verified = sum(entry["counts"]["verified"] for entry in log["value"])
        effective = sum(entry["effective"] for entry in served)
        _print(f"\nThe tenant's own log: {effective} revocations took effect; the status log has {verified} verified.")
        if verified != effective or any(entry["status"] != "succeeded" for entry in log["value"]):
            raise DemoFailedError("the status log and the tenant disagree")
    _print(f"Done in {time.monotonic() - begun:.1f} s.")
    return 0


async def _send(connection: str, text: str) -> None:
    async with QueueClient.from_connection_string(connection, "revocation-requests") as queue:
        with suppress(ResourceExistsError):
            await queue.create_queue()
        await queue.send_message(text)


async def _until(
    read: Callable[[], Awaitable[dict[str, Any]]], is_done: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    deadline = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < deadline:
        found = await read()
        if is_done(found):
            return found
        await asyncio.sleep(0.2)
    raise DemoFailedError(f"still waiting after {_WAIT_SECONDS:.0f} s")


async def _show_progress(api: Api, request_id: str) -> dict[str, Any]:
    """Print a request's progress until its final status; the resource."""
    shown = -1

    async def read() -> dict[str, Any]:
        nonlocal shown
        found = await api.get(f"revocations/{request_id}")
        done = found["counts"]["total"] - found["counts"]["pending"]
        if done != shown:
            shown = done
            _print(f"   {done} of {found['counts']['total']} sent")
        return found

    return await _until(read, lambda found: bool(found["completedAt"]))


async def _evidence(api: Api, session: ClientSession, root: str, master: str, request_id: str) -> dict[str, Any]:
    """The evidence of a request's only user; the timer that reads it is run out of turn, as an admin could."""
    due = time.monotonic()

    async def read() -> dict[str, Any]:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + _BETWEEN_RUNS
            headers = {"x-functions-key": master}
            async with session.post(f"{root}/admin/functions/sweep", json={}, headers=headers) as answer:
                answer.raise_for_status()
        (user,) = (await api.get(f"revocations/{request_id}"))["users"]
        return dict(user.get("evidence") or {})

    return await _until(read, lambda found: bool(found.get("initiatedBy") and found.get("firstSignIn")))


def _show_evidence(evidence: dict[str, Any]) -> None:
    initiator, sign_in = evidence["initiatedBy"], evidence["firstSignIn"]
    _print(f"   cut-off moved {evidence['auditedAt']} by {initiator['kind']} {initiator['name']}")
    _print(
        f"   first sign-in after it {sign_in['time']}: {sign_in['app']} from {sign_in['address']}, {sign_in['result']}"
    )


def _show_result(resource: dict[str, Any]) -> None:
    counts = resource["counts"]
    _print(f"   {resource['status']}: {counts['verified']} of {counts['total']} verified")


def _print_table(entries: list[dict[str, Any]]) -> None:
    columns = ("requestedAt", "source", "status", "total", "verified", "skipped", "failed", "reason")
    lines: list[tuple[str, ...]] = [columns]
    for entry in entries:
        values = entry | entry["counts"]
        lines.append(tuple(str(values.get(column) or ("" if column == "reason" else 0)) for column in columns))
    widths = [max(len(line[column]) for line in lines) for column in range(len(columns))]
    for line in lines:
        _print("  " + "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)))


def _print(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
