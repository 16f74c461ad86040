"""What delivering callbacks needs from the outside: the receivers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


class CallbackReceivers(Protocol):
    """The servers behind the callback URLs."""

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int | None:
        """Post once and return the answer's status; ``None`` where none came within 15 s.

        A redirect is an answer like any other. Nothing of the answer's body is kept.
        """
