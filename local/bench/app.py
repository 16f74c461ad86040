"""Calls the app as a client does: submit, poll until the final status, read what the tenant served."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local.testbed.environment import Environment, HostProcess

_POLL_SECONDS: Final = 0.5
_SUCCESS: Final = range(200, 300)


class BenchFailedError(RuntimeError):
    """The app did not do what was to be measured."""


@dataclass(frozen=True, kw_only=True)
class Writes:
    """The revoke calls of a run, from the tenant's log; moments in Unix seconds, in order."""

    accepted: tuple[float, ...]
    refused: int

    @property
    def seconds(self) -> float:
        """From the first accepted write to the last."""
        return self.accepted[-1] - self.accepted[0] if self.accepted else 0.0

    @property
    def throttled_share(self) -> float:
        """The part of all revoke calls that was answered 429."""
        whole = len(self.accepted) + self.refused
        return self.refused / whole if whole else 0.0


async def bulk_user_ids(environment: Environment, count: int, *, start: int = 0) -> list[str]:
    """Object ids of bulk users."""
    known = await environment.sim("users")
    found = [user["id"] for user in known if user["userPrincipalName"].startswith("user")]
    if len(found) < start + count:
        raise BenchFailedError(f"the tenant has {len(found)} bulk users and {start + count} are needed")
    return found[start : start + count]


async def submit(environment: Environment, users: Sequence[str], *, host: HostProcess | None = None) -> dict[str, Any]:
    """Submit named users; the resource."""
    content = {"users": list(users), "expectedUsers": len(users), "reason": "bench"}
    status, resource = await environment.api("POST", "revocations", content, host=host)
    if status not in (HTTPStatus.OK, HTTPStatus.ACCEPTED):
        raise BenchFailedError(f"the request was answered {status}: {resource}")
    found: dict[str, Any] = resource
    return found


async def wait_finished(
    environment: Environment, request_id: str, *, seconds: float, every: float = _POLL_SECONDS
) -> dict[str, Any]:
    """Poll until the final status; ``BenchFailedError`` when a user was not verified or the time is up."""
    try:
        async with asyncio.timeout(seconds):
            while True:
                status, resource = await environment.api("GET", f"revocations/{request_id}")
                if status == HTTPStatus.OK:
                    break
                await asyncio.sleep(every)
    except TimeoutError:
        raise BenchFailedError(f"request {request_id} has no final status after {seconds:.0f} s") from None
    counts = resource["counts"]
    if counts["verified"] != counts["total"]:
        raise BenchFailedError(f"request {request_id} ended with {counts}")
    found: dict[str, Any] = resource
    return found


async def writes(environment: Environment) -> Writes:
    """The tenant's log since its last reset."""
    log = await environment.sim("revocations")
    accepted = sorted(datetime.fromisoformat(one["at"]).timestamp() for one in log if one["status"] in _SUCCESS)
    refused = sum(one["status"] == HTTPStatus.TOO_MANY_REQUESTS for one in log)
    return Writes(accepted=tuple(accepted), refused=refused)


async def reset_tenant(environment: Environment, **config: Any) -> None:
    """An empty log, full quotas, and this configuration on top of the environment's own."""
    await environment.sim("reset", {"log": True})
    await environment.sim("config", config)
