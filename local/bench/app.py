"""Driving the app as a caller does: submit, wait for the last word, read what the tenant saw."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local.rig.stage import Seat, Stage

_LOOK_SECONDS: Final = 0.5
_SUCCESS: Final = range(200, 300)


class BenchFailedError(RuntimeError):
    """The app did not do what was to be measured."""


@dataclass(frozen=True, kw_only=True)
class Writes:
    """What the tenant's log says of a run's revoke calls; moments in Unix seconds, in order."""

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


async def people(stage: Stage, count: int, *, start: int = 0) -> list[str]:
    """Object ids of bulk users."""
    known = await stage.sim("users")
    found = [user["id"] for user in known if user["userPrincipalName"].startswith("user")]
    if len(found) < start + count:
        raise BenchFailedError(f"the tenant has {len(found)} bulk users and {start + count} are needed")
    return found[start : start + count]


async def submitted(stage: Stage, users: Sequence[str], *, seat: Seat | None = None) -> dict[str, Any]:
    """Submit named users; the resource."""
    content = {"users": list(users), "expectedUsers": len(users), "reason": "bench"}
    status, resource = await stage.api("POST", "revocations", content, seat=seat)
    if status not in (HTTPStatus.OK, HTTPStatus.ACCEPTED):
        raise BenchFailedError(f"the request was answered {status}: {resource}")
    found: dict[str, Any] = resource
    return found


async def finished(stage: Stage, request_id: str, *, seconds: float, every: float = _LOOK_SECONDS) -> dict[str, Any]:
    """Poll until the last word; ``BenchFailedError`` when somebody was not verified or the time is up."""
    try:
        async with asyncio.timeout(seconds):
            while True:
                status, resource = await stage.api("GET", f"revocations/{request_id}")
                if status == HTTPStatus.OK:
                    break
                await asyncio.sleep(every)
    except TimeoutError:
        raise BenchFailedError(f"request {request_id} has no last word after {seconds:.0f} s") from None
    counts = resource["counts"]
    if counts["verified"] != counts["total"]:
        raise BenchFailedError(f"request {request_id} ended with {counts}")
    found: dict[str, Any] = resource
    return found


async def writes(stage: Stage) -> Writes:
    """The tenant's log since its last reset."""
    log = await stage.sim("revocations")
    accepted = sorted(datetime.fromisoformat(one["at"]).timestamp() for one in log if one["status"] in _SUCCESS)
    refused = sum(one["status"] == HTTPStatus.TOO_MANY_REQUESTS for one in log)
    return Writes(accepted=tuple(accepted), refused=refused)


async def fresh(stage: Stage, **config: Any) -> None:
    """An empty log, full quotas, and this configuration on top of the stage's own."""
    await stage.sim("reset", {"log": True})
    await stage.sim("config", config)
