"""The doors' refusal of targets that the engine does not expand yet. Goes, with its two calls, as soon as it does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from revoke_core.domain.errors import Fault, InvalidRequest

if TYPE_CHECKING:
    from revoke_core.domain.request import RevocationRequest


def refuse_unexpanded(request: RevocationRequest) -> None:
    """Turn away what would be accepted and then ignored; nothing that widens or narrows who is hit may be ignored."""
    given = {"groups": request.groups, "filter": request.filter}
    if any(given.values()):
        detail = "is not available in this version; name the users in users"
        raise InvalidRequest([Fault(f"/{name}", detail) for name, value in given.items() if value])
