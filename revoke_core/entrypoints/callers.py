"""Who calls over HTTP: a principal that App Service authentication names, or the holder of a function key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from revoke_core.domain import signing
from revoke_core.domain.access import Caller, entra_caller, key_holder
from revoke_core.domain.errors import AccessDenied, CallerUnknown
from revoke_core.domain.principal import read_principal
from revoke_core.domain.results import RequestedBy

if TYPE_CHECKING:
    from revoke_core.entrypoints.http_words import HttpCall
    from revoke_core.ports import Ledger

_PRINCIPAL: Final = "x-ms-client-principal"


class Callers:
    """Tells callers apart; ``entra`` is the setting, ``guarded`` whether the platform takes forged headers away."""

    def __init__(self, *, entra: bool, guarded: bool, ledger: Ledger) -> None:
        self._entra = entra
        self._guarded = guarded
        self._ledger = ledger

    def admitted(self, call: HttpCall) -> Caller:
        """The caller, or ``CallerUnknown``; without Entra authentication no header says anything about a caller."""
        if not self._entra:
            return key_holder()
        if not self._guarded:
            raise CallerUnknown(
                "Nobody is let in: ENTRA_AUTHENTICATION is on, but App Service authentication is not in front of the "
                "app (WEBSITE_AUTH_ENABLED is not true), so anybody could claim to be anybody. Turn it on for this app."
            )
        return entra_caller(read_principal(call.headers.get(_PRINCIPAL)))

    def admitted_to_change(self, call: HttpCall) -> Caller:
        """As ``admitted`` for calls that do something: no web page may act with its visitor's sign-in.

        App Service takes a browser's cookie for a sign-in, and every browser names the page that posts (``Origin``).
        The app has no pages of its own; a page that means to call it sends a token, which a stranger's page lacks.
        """
        caller = self.admitted(call)
        if self._entra and "origin" in call.headers and "authorization" not in call.headers:
            raise AccessDenied(
                "A web page sent this call with a browser's sign-in. "
                "Send a token instead: Authorization: Bearer <token>.",
                status=403,
            )
        return caller

    async def identity(self, caller: Caller, call: HttpCall) -> RequestedBy:
        """The caller for the log. Of a key a keyed fingerprint: the platform does not tell which key was used."""
        if caller.identity is not None:
            return caller.identity
        secret = call.function_key
        if not secret:
            return RequestedBy(kind="local")
        key = await self._ledger.signing_key()
        return RequestedBy(kind="key", id=signing.fingerprint(key, secret))
