"""Tables that are down while the queue is up."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from clients import send_message, until

from local.testbed.environment import running_environment

if TYPE_CHECKING:
    from local.testbed.environment import Environment

# Longer than the five tries of the host, ten seconds apart.
OUTAGE_SECONDS = 60


async def test_every_message_is_carried_out_after_the_tables_were_down_for_a_minute() -> None:
    """All forms of message that came during the outage end verified, each once, and none leaves a failed row."""
    async with running_environment(users=40) as parts:
        names = [f"user{number:05d}@contoso.com" for number in range(1, 31)]
        by_name = {user["userPrincipalName"]: user["id"] for user in await parts.sim("users")}
        status, _ = await parts.api("GET", "revocations")
        assert status == 200
        parts.host.interceptor.outage = lambda exchange: exchange.side == "table"
        for number, name in enumerate(names):
            forms: list[Any] = [name, {"user": name}, {"user": name, "idempotencyKey": f"key-{number}"}]
            form = forms[number % 3]
            await send_message(parts.connection, form if isinstance(form, str) else json.dumps(form))
        await asyncio.sleep(OUTAGE_SECONDS)
        assert await parts.sim("revocations") == []
        parts.host.interceptor.outage = None
        served = await until(lambda: revoked(parts), lambda found: len(found) >= len(names), 150)
        assert served == Counter(by_name[name] for name in names)
        _, failed = await parts.api("GET", "revocations?status=failed")
        assert failed["value"] == []


async def revoked(parts: Environment) -> Counter[str]:
    """How often the tenant revoked whom."""
    return Counter(entry["userId"] for entry in await parts.sim("revocations"))
