"""Queue output bindings: what a function sets on ``func.Out`` or returns becomes messages after it has succeeded."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import TYPE_CHECKING, Any

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError

from local.host.options import HostOptions, filled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from azure.storage.queue.aio import QueueClient

    from local.host.connections import Connections
    from local.host.runtime import Function, Outcome


class QueueOutputs:
    """Sends output messages; a missing queue is created."""

    def __init__(self, *, connections: Connections, options: HostOptions, environment: Mapping[str, str]) -> None:
        self._connections = connections
        self._options = options
        self._environment = environment

    async def send(self, function: Function, outcome: Outcome) -> None:
        """Send every message of an outcome; storage errors are the caller's."""
        values = {output.name: output.data for output in outcome.outputs} | {"$return": outcome.returned}
        for binding in function.outputs:
            if binding["type"] == "queue" and (value := values.get(binding["name"])):
                name = filled(binding["queueName"], self._environment)
                queue = self._connections.queue(binding.get("connection"), name)
                for body in _bodies(value):
                    await send(queue, self._encoded(body))

    def _encoded(self, body: bytes) -> str:
        return base64.b64encode(body).decode() if self._options.base64 else body.decode()


async def send(queue: QueueClient, content: str, **options: Any) -> None:
    """Put a message, making the queue when it is missing."""
    try:
        await queue.send_message(content, **options)
    except ResourceNotFoundError:
        with contextlib.suppress(ResourceExistsError):
            await queue.create_queue()
        await queue.send_message(content, **options)


def _bodies(value: Any) -> list[bytes]:
    """The bodies in a value of the runtime: text, bytes, one message or a list as JSON."""
    kind = value.WhichOneof("data")
    content = getattr(value, kind)
    if kind == "bytes":
        return [bytes(content)]
    if kind == "string":
        return [str(content).encode()]
    entries = json.loads(content)
    return [_body(entry) for entry in (entries if isinstance(entries, list) else [entries])]


def _body(entry: Any) -> bytes:
    if isinstance(entry, dict) and set(entry) == {"id", "body"}:
        entry = entry["body"]  # a func.QueueMessage
    return (entry if isinstance(entry, str) else json.dumps(entry)).encode()
