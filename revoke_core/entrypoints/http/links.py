"""Absolute links, built from the app's own address and never from a call's headers."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from revoke_core import logs
from revoke_core.domain import signing
from revoke_core.domain.errors import Unavailable
from revoke_core.entrypoints.http.call import is_platform_parameter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from revoke_core.ports.shared import Clock, SigningKey


class Links:
    """Links to requests under the app's public address; ``base`` is the API's own."""

    def __init__(self, *, base_url: str, signing_key: SigningKey, clock: Clock) -> None:
        self.base = f"{base_url}/api"
        self._signing_key = signing_key
        self._clock = clock

    def request(self, request_id: str, part: str = "") -> str:
        """The request itself or its ``users``, ``confirm``, ``cancel``, ``retry``; each needs a key."""
        return f"{self.base}/revocations/{quote(request_id)}" + (f"/{part}" if part else "")

    def next_page(self, path: str, query: Mapping[str, str], token: str) -> str:
        """The next page of a list for the same query, without what is the host's in it, such as a function key."""
        repeated = {name: value for name, value in query.items() if not is_platform_parameter(name)}
        return f"{self.base}/{path}?{urlencode(repeated | {'continuationToken': token})}"

    async def operation(self, request_id: str) -> str:
        """The request's status through a signed link that needs no key, for 48 hours."""
        signed = signing.signature(await self._signing_key.get(), request_id, self._clock.now())
        return f"{self.base}/operations/{quote(request_id)}?sig={signed}"

    async def operation_or_request(self, request_id: str) -> str:
        """The signed link or, while the signing key cannot be read, the request itself, which needs a key."""
        try:
            return await self.operation(request_id)
        except Unavailable as problem:
            logs.failure("link_not_signed", problem, requestId=request_id)
            return self.request(request_id)

    async def is_signed(self, request_id: str, signature: str) -> bool:
        """Whether the signature is of an operation link to this request that has not expired."""
        return signing.is_valid(await self._signing_key.get(), request_id, signature, self._clock.now())
