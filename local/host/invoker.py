"""The one way to a function: invocation log lines, ``functionTimeout`` and output bindings around the runtime."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
import uuid
from typing import TYPE_CHECKING, Final

from local.host.runtime import Outcome

if TYPE_CHECKING:
    from local.host.messages import TypedData
    from local.host.outputs import QueueOutputs
    from local.host.runtime import Function, Runtime

_LOG: Final = logging.getLogger("host.function")


class Invoker:
    """Calls functions.

    Args:
        runtime: the app.
        outputs: where queue output bindings go.
        timeout: seconds an invocation may take, or ``None``.
    """

    def __init__(self, *, runtime: Runtime, outputs: QueueOutputs, timeout: float | None) -> None:
        self._runtime = runtime
        self._outputs = outputs
        self._timeout = timeout

    async def invoke(
        self,
        function: Function,
        data: TypedData,
        *,
        reason: str,
        metadata: dict[str, TypedData] | None = None,
        traceparent: str = "",
    ) -> Outcome:
        """Invoke a function; what goes wrong in the app is logged and is an outcome, not raised."""
        invocation_id = str(uuid.uuid4())
        _LOG.info("Executing 'Functions.%s' (Reason='%s', Id=%s)", function.name, reason, invocation_id)
        begun = time.monotonic()
        outcome = await self._called(function, data, invocation_id, metadata, traceparent or _new_traceparent())
        took = (time.monotonic() - begun) * 1000
        level = logging.INFO if outcome.ok else logging.ERROR
        result = "Succeeded" if outcome.ok else "Failed"
        _LOG.log(
            level, "Executed 'Functions.%s' (%s, Id=%s, Duration=%.0fms)", function.name, result, invocation_id, took
        )
        if not outcome.ok:
            _LOG.error("%s", outcome.stack or outcome.error)
        return outcome

    async def _called(
        self,
        function: Function,
        data: TypedData,
        invocation_id: str,
        metadata: dict[str, TypedData] | None,
        traceparent: str,
    ) -> Outcome:
        try:
            async with asyncio.timeout(self._timeout):
                outcome = await self._runtime.call(
                    function, data, invocation_id=invocation_id, metadata=metadata, traceparent=traceparent
                )
                if outcome.ok and function.outputs:
                    await self._outputs.send(function, outcome)
        except TimeoutError:
            return Outcome(ok=False, error=f"Timeout value of {self._timeout:.0f} s (functionTimeout) was exceeded.")
        except Exception as problem:  # noqa: BLE001 -- whatever it is, it must not end the poller or the server
            # The real host, too, counts a binding that cannot be written as a failure of the function.
            _LOG.exception("an output binding of Functions.%s failed", function.name)
            return Outcome(ok=False, error=f"{type(problem).__name__}: {problem}")
        return outcome


def _new_traceparent() -> str:
    """A W3C trace context, as the real host begins one for a call that brings none."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00"
