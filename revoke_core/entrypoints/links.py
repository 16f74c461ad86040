"""Absolute links, built from the app's own address and never from what a caller's headers say."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from revoke_core.domain.signing import signature
from revoke_core.entrypoints.http_words import is_key_parameter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from revoke_core.ports import Clock, Ledger


class Links:
    """Links to requests under the app's public address."""

    def __init__(self, *, base_url: str, ledger: Ledger, clock: Clock) -> None:
        self._base = f"{base_url}/api"
        self._ledger = ledger
        self._clock = clock

    def request(self, request_id: str) -> str:
        """The request itself; needs a key."""
        return f"{self._base}/revocations/{quote(request_id)}"

    def users(self, request_id: str) -> str:
        """The request's users; needs a key."""
        return f"{self.request(request_id)}/users"

    def action(self, request_id: str, name: str) -> str:
        """What may still be said of the request; needs a key."""
        return f"{self.request(request_id)}/{name}"

    def next_page(self, path: str, query: Mapping[str, str], token: str) -> str:
        """The next page of a list under the same question; a key in the query is not repeated."""
        asked = {name: value for name, value in query.items() if not is_key_parameter(name)}
        return f"{self._base}/{path}?{urlencode(asked | {'continuationToken': token})}"

    async def operation(self, request_id: str) -> str:
        """The request's status for whoever holds the link, for 48 hours."""
        signed = signature(await self._ledger.signing_key(), request_id, self._clock.now())
        return f"{self._base}/operations/{quote(request_id)}?sig={signed}"
