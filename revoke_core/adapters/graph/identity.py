"""The managed identity: access tokens for Microsoft Graph through ``azure-identity``, and their claims.

``ManagedIdentityCredential`` speaks the platform's own protocol (``IDENTITY_ENDPOINT``, ``IDENTITY_HEADER``); see
https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference.
"""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Self

from azure.core.exceptions import AzureError

from revoke_core import logs
from revoke_core.domain.errors import TokenUnavailable
from revoke_core.domain.permissions import TokenFacts

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken
    from azure.identity.aio import ManagedIdentityCredential

    from revoke_core.ports.shared import Clock

# A missing token is a reason to try later, not to wait in the SDK's own retries. The endpoint's secret must not reach
# a proxy that the environment names.
_OPTIONS: Final[dict[str, Any]] = {
    "use_env_settings": False,
    "retry_total": 1,
    "retry_backoff_factor": 0.2,
    "connection_timeout": 5,
}
_LEAST_TIME_BETWEEN_REBUILDS: Final = timedelta(minutes=5)
_LEAST_TIME_AFTER_REFUSAL: Final = timedelta(seconds=1)


class GraphIdentity:
    """Gives Graph tokens as an ``AsyncTokenCredential`` and remembers the claims of the newest one.

    A token without the needed roles stays cached inside the credential for up to a day, so the credential itself is
    rebuilt when a call was refused for want of a role: at most every five minutes, as the platform has a cache too.
    """

    def __init__(self, *, client_id: str | None, resource: str, clock: Clock) -> None:
        self._client_id = client_id
        self._scope = f"{resource.rstrip('/')}/.default"
        self._clock = clock
        self._credential: ManagedIdentityCredential | None = None
        self._built_at: datetime | None = None
        self._facts: tuple[str, TokenFacts] | None = None

    async def get_token(self, *_scopes: str, claims: str | None = None, **_options: Any) -> AccessToken:
        """A token for Graph; ``claims`` is Graph's challenge and asks for a fresh one."""
        credential = self._current()
        try:
            token: AccessToken = await credential.get_token(self._scope, **({"claims": claims} if claims else {}))
        except (AzureError, ValueError) as problem:
            logs.failure("graph_token_unavailable", problem)
            raise TokenUnavailable("The managed identity endpoint gave no token for Microsoft Graph.") from problem
        return token

    async def facts(self) -> TokenFacts:
        """The claims of the token in use."""
        token = (await self.get_token()).token
        if self._facts is None or self._facts[0] != token:
            self._facts = (token, token_facts(token))
        return self._facts[1]

    async def rebuild(self, *, at_once: bool = False) -> bool:
        """Discard the credential and its cached token, unless that happened less than five minutes ago.

        ``at_once`` is for a token that Graph refuses as such: then one second is enough.
        """
        least = _LEAST_TIME_AFTER_REFUSAL if at_once else _LEAST_TIME_BETWEEN_REBUILDS
        if self._credential is None or (self._built_at and self._clock.now() - self._built_at < least):
            return False
        await self.discard_credential()
        logs.event("graph_credential_rebuilt", at_once=at_once)
        return True

    async def discard_credential(self) -> None:
        """Drop the credential with its cached token and connections."""
        old, self._credential, self._facts = self._credential, None, None
        if old is not None:
            await old.close()

    async def close(self) -> None:
        """Nothing to do: the SDK closes its credential after each token, but this one is shared by every call."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _current(self) -> ManagedIdentityCredential:
        if self._credential is None:
            from azure.identity.aio import ManagedIdentityCredential  # noqa: PLC0415 -- a heavy import, needed late

            named: dict[str, Any] = {"client_id": self._client_id} if self._client_id else {}
            self._credential = ManagedIdentityCredential(**named, **_OPTIONS)
            self._built_at = self._clock.now()
        return self._credential


def token_facts(token: str) -> TokenFacts:
    """Read the claims of an access token; one that is not a JWT yields facts with unknown roles."""
    fingerprint = hashlib.sha256(token.encode()).hexdigest()[:32]
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        roles = claims.get("roles", [])
        return TokenFacts(
            fingerprint=fingerprint,
            roles=frozenset(str(role) for role in roles),
            principal_id=claims.get("oid"),
            issued_at=_moment(claims.get("iat")),
            expires_at=_moment(claims.get("exp")),
        )
    except (IndexError, ValueError, AttributeError, TypeError):
        return TokenFacts(fingerprint=fingerprint, roles=None)


def _moment(seconds: Any) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if isinstance(seconds, int | float) else None
