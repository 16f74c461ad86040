"""Who calls over HTTP: a principal that App Service authentication names, or the holder of a function key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from revoke_core.domain import signing
from revoke_core.domain.access import Caller, entra_caller, key_holder
from revoke_core.domain.errors import AccessDenied, CallerUnknown
from revoke_core.domain.principal import read_principal
from revoke_core.domain.request_record import RequestedBy

if TYPE_CHECKING:
    from revoke_core.entrypoints.http.call import HttpCall
    from revoke_core.ports.shared import SigningKey

_PRINCIPAL: Final = "x-ms-client-principal"


class Callers:
    """Authenticates callers.

    ``entra`` is the setting ``ENTRA_AUTHENTICATION``; ``in_front`` says that App Service authentication stands in
    front of the app and removes forged principal headers.
    """

    def __init__(self, *, entra: bool, in_front: bool, signing_key: SigningKey) -> None:
        self._entra = entra
        self._in_front = in_front
        self._signing_key = signing_key

    def authenticate(self, call: HttpCall) -> Caller:
        """The caller, or ``CallerUnknown``; without Entra authentication no header names a caller."""
        if not self._entra:
            return key_holder()
        if not self._in_front:
            raise CallerUnknown(
                "No caller is accepted: ENTRA_AUTHENTICATION is on, but App Service authentication is not in front of "
                "the app (WEBSITE_AUTH_ENABLED is not true), so any caller could claim any identity. Turn App Service "
                "authentication on for this app."
            )
        return entra_caller(read_principal(call.headers.get(_PRINCIPAL)))

    def authenticate_change(self, call: HttpCall) -> Caller:
        """As ``authenticate``, for calls that change something: no web page may act with its visitor's sign-in.

        App Service takes a browser's cookie for a sign-in, and every browser names the page that posts (``Origin``).
        The app has no pages of its own; a page that means to call it sends a token, which a forging page lacks.
        """
        caller = self.authenticate(call)
        if self._entra and "origin" in call.headers and "authorization" not in call.headers:
            raise AccessDenied(
                "A web page sent this call with a browser's sign-in. Send a token instead: "
                "Authorization: Bearer <token>."
            )
        return caller

    async def identity(self, caller: Caller, call: HttpCall) -> RequestedBy:
        """The caller for the log; a function key's keyed fingerprint, as the platform does not tell which was used."""
        if caller.identity is not None:
            return caller.identity
        if not call.function_key:
            return RequestedBy(kind="local")
        key = await self._signing_key.get()
        return RequestedBy(kind="key", id=signing.fingerprint(key, call.function_key))
