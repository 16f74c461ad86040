"""The host put together: what listens, polls and waits for an app, and how all of it stops."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from aiohttp import ClientError, ClientSession, ClientTimeout, web

from local.host.connections import Connections
from local.host.invoker import Invoker
from local.host.outputs import QueueOutputs
from local.host.queues import QueueListener
from local.host.routes import Routes
from local.host.timers import Timer
from local.host.web import WebSide, hide_malformed_calls

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

    from local.host.keys import Keys
    from local.host.options import HostOptions
    from local.host.runtime import Runtime

_LOG: Final = logging.getLogger("host")
_KNOWN: Final = ("httpTrigger", "queueTrigger", "timerTrigger")
# The HTTP server would cancel what runs when its own patience ends: that must never come before the process ends.
_LONGER_THAN_ANY_DRAIN: Final = 3600.0
_HEALTH_PAUSE: Final = 0.1
_QUEUES_SECONDS: Final = 10.0


class Service:
    """One running app.

    Args:
        runtime: the loaded app.
        options: ``host.json``.
        keys: who may call.
        environment: the app's settings.
    """

    def __init__(self, *, runtime: Runtime, options: HostOptions, keys: Keys, environment: Mapping[str, str]) -> None:
        self._runtime = runtime
        self._options = options
        self._keys = keys
        self._connections = Connections(environment=environment)
        outputs = QueueOutputs(connections=self._connections, options=options, environment=environment)
        invoker = Invoker(runtime=runtime, outputs=outputs, timeout=options.timeout)
        functions = [function for function in runtime.functions if not _is_disabled(function.name, environment)]
        self.routes = Routes(functions, prefix=options.route_prefix)
        self.timers = [
            Timer(function=function, invoker=invoker, environment=environment)
            for function in functions
            if function.kind == "timerTrigger"
        ]
        self.listeners = [
            QueueListener(
                function=function,
                invoker=invoker,
                options=options,
                connections=self._connections,
                environment=environment,
            )
            for function in functions
            if function.kind == "queueTrigger"
        ]
        side = WebSide(invoker=invoker, routes=self.routes, keys=keys, timers=self.timers)
        self._runner = web.AppRunner(
            side.application(largest_body=options.largest_body),
            access_log=None,
            shutdown_timeout=_LONGER_THAN_ANY_DRAIN,
        )
        self._polls: list[asyncio.Task[None]] = []
        for function in runtime.functions:
            if function.kind not in _KNOWN:
                _LOG.warning("Functions.%s is not run here: %s is not known", function.name, function.kind)

    async def start(self, listener: socket.socket) -> None:
        """Serve calls on a bound socket, poll the queues, wait for the timers."""
        hide_malformed_calls()
        await self._runner.setup()
        await web.SockSite(self._runner, listener).start()
        self._polls = [asyncio.create_task(one.run()) for one in self.listeners]
        for timer in self.timers:
            timer.start()

    async def ready(self, root: str) -> None:
        """Return once the app is healthy and every queue is there for senders; those are waited for 10 s at most."""
        await self._healthy(root)
        try:
            async with asyncio.timeout(_QUEUES_SECONDS):
                for listener in self.listeners:
                    await listener.has_polled.wait()
        except TimeoutError:
            _LOG.warning("the storage does not answer; the queues are polled once it does")

    async def _healthy(self, root: str) -> None:
        """Return once the app's health function answers 200; at once where it has none."""
        path = "/".join(["", *filter(None, [self._options.route_prefix]), "health"])
        if self.routes.match("GET", path) is None:
            return
        headers = {"x-functions-key": self._keys.function}
        async with ClientSession(timeout=ClientTimeout(total=5), headers=headers) as session:
            while True:
                try:
                    async with session.get(root + path) as answer:
                        if answer.status == web.HTTPOk.status_code:
                            return
                except (ClientError, TimeoutError) as problem:
                    _LOG.warning("the health function does not answer (%s)", type(problem).__name__)
                await asyncio.sleep(_HEALTH_PAUSE)

    async def stop(self) -> bool:
        """Take nothing new and let what runs end, for so long as the options say; ``False`` when something still runs.

        Nothing is cancelled: the platform's worker cancels no function either. What still runs ends with the process,
        as when the platform ends an instance, and its messages come back when their locks end.
        """
        parts: list[QueueListener | Timer] = [*self.listeners, *self.timers]
        for part in parts:
            part.stop()
        work = [
            asyncio.create_task(self._runner.cleanup()),
            *(asyncio.create_task(part.finish()) for part in parts),
        ]
        polls = self._polls
        _, late = await asyncio.wait([*work, *polls], timeout=self._options.drain)
        if late:
            return False
        await self._connections.close()
        self._runtime.close()
        return True


def _is_disabled(name: str, environment: Mapping[str, str]) -> bool:
    """Whether a setting turns the function off, as in Azure.

    https://learn.microsoft.com/azure/azure-functions/disable-function
    """
    return environment.get(f"AzureWebJobs.{name}.Disabled", "").lower() in ("true", "1")
