"""Posts to callback URLs: one try, no redirect, no proxy, and nothing of the answer but its status."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from revoke_core import logs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import ClientSession

_ANSWER_SECONDS: Final = 15.0
_AGENT: Final = "entra-session-revoker"


class HttpCallbackReceivers:
    """The ``CallbackReceivers`` port, over connections of its own: a slow receiver takes none from Graph."""

    def __init__(self) -> None:
        self._session: ClientSession | None = None

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int | None:
        """As the port; of an exception only its class is logged, for its text quotes the URL."""
        import aiohttp  # noqa: PLC0415 -- kept out of the app's import
        from yarl import URL  # noqa: PLC0415 -- as above

        from revoke_core.adapters.graph.connection import client_session  # noqa: PLC0415 -- as above

        if self._session is None:
            self._session = client_session(aiohttp.ClientTimeout(total=_ANSWER_SECONDS), reuse=False)
        sent = {"Content-Type": "application/json", "User-Agent": _AGENT} | dict(headers)
        try:
            # Leaving the block closes the connection of an answer whose body was not read.
            async with self._session.post(
                URL(url, encoded=True), data=body, headers=sent, allow_redirects=False
            ) as answer:
                return answer.status
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as problem:
            logs.failure("callback_not_answered", problem)
            return None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
