"""Callbacks by the real host: from the queue, and after a kill between the end of a request and its word."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

from clients import Api, until

from local.processes import start
from local.receiver import new_secret
from local.up import host_environment, kit

if TYPE_CHECKING:
    from aiohttp import ClientSession


async def test_a_host_killed_between_the_end_and_the_callback_still_delivers_one(session: ClientSession) -> None:
    """The receiver of the kit, which answers late: whatever the kill left is posted, rightly signed, under one id."""
    arrivals: list[dict[str, Any]] = []
    secret = new_secret()
    receiver = await start(
        "receiver",
        ["receiver", "--port", "0", "--slow", "20", "--json"],
        environment=os.environ | {"CALLBACK_SECRET": secret},
        on_line=lambda line: arrivals.append(json.loads(line)) if line.startswith("{") else None,
    )
    assert receiver.ready["secret"] == secret
    callbacks = {"CALLBACK_HOSTS": "127.0.0.1", "CALLBACK_SECRET": secret}
    try:
        async with kit(environment=callbacks) as parts:
            host = next(child for child in parts.children if child.name == "host")
            api = Api(session, parts.address["functions"], parts.address["key"])
            content = {"user": "adele@contoso.com", "callbackUrl": f"{receiver.ready['receiver']}/done?sig=c2VjcmV0"}
            done = (await api.submit(content)).json
            assert done["status"] == "succeeded"
            # Ended, and perhaps on its way: nobody has answered yet, so nothing was noted as delivered.
            os.kill(host.pid, signal.SIGKILL)
            await host.process.wait()
            environment = host_environment(parts.address, parts.address) | callbacks
            environment |= {"IDENTITY_ENDPOINT": parts.address["identityEndpoint"]}
            environment["LOCAL_FUNCTION_KEY"] = parts.address["key"]
            arrivals_before = len(arrivals)
            await receiver.stop()
            quick = await start(
                "receiver",
                ["receiver", "--port", receiver.ready["receiver"].rsplit(":", 1)[1], "--json"],
                environment=os.environ | {"CALLBACK_SECRET": secret},
                on_line=lambda line: arrivals.append(json.loads(line)) if line.startswith("{") else None,
            )
            port = parts.address["functions"].rsplit(":", 1)[1]
            again = await start("host", ["host", "--port", port, "--json"], environment=environment)
            try:

                async def callback() -> dict[str, Any]:
                    shown: dict[str, Any] = (await api.get(f"revocations/{done['id']}")).json["callback"]
                    return shown

                await until(callback, lambda shown: shown["status"] == "delivered", seconds=120)
            finally:
                await again.stop()
                await quick.stop()
    finally:
        await receiver.stop()
    after = arrivals[arrivals_before:]
    assert len(after) == 1
    for arrival in arrivals:
        assert (arrival["fault"], arrival["webhook_id"]) == (None, f"{done['id']}-ended")
        assert (arrival["body"]["id"], arrival["body"]["status"]) == (done["id"], "succeeded")
