"""Function keys: who may call what."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp import web


class Keys:
    """The host's two keys: one opens every function, the master key opens the ``/admin`` routes too."""

    def __init__(self, *, function: str, master: str) -> None:
        self.function = function
        self._function = function.encode()
        self._master = master.encode()

    def allow(self, level: str, request: web.Request) -> bool:
        """Whether a call may pass at a level: ``ANONYMOUS``, ``FUNCTION`` or ``ADMIN``."""
        if level.upper() == "ANONYMOUS":
            return True
        given = _given(request)
        # Both comparisons are always made, each in constant time: an answer's delay reveals nothing.
        is_function = hmac.compare_digest(given, self._function)
        is_master = hmac.compare_digest(given, self._master)
        return is_master or (is_function and level.upper() != "ADMIN")


def _given(request: web.Request) -> bytes:
    """The key a call brings: the header if there is one, even an empty one, else ``?code=``."""
    header = request.headers.get("x-functions-key")
    if header is not None:
        return header.encode("utf-8", "surrogateescape")
    code = next((value for name, value in request.query.items() if name.lower() == "code"), "")
    return code.encode("utf-8", "surrogateescape")
