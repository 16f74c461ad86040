"""What a request's ``warnings`` say: why ``revoked`` is not proven, and whom planning could not tell for certain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from revoke_core.domain.identifiers import listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from revoke_core.domain.identifiers import UserRef
    from revoke_core.domain.request import RevocationRequest

UNPROVEN_BY_CHOICE: Final = "verify is false: the effect was not read back, revoked is Graph's word alone."
UNPROVEN_BY_PERMISSION: Final = (
    "The app may not read users (User.Read.All is missing): ids and UPNs went to Graph as they are, "
    "and revoked is Graph's word alone."
)
MAY_BE_EXTERNAL: Final = (
    "Some of these users were invited at one time (creationType Invitation, or a pending invitation), but nothing says "
    "that they sign in elsewhere: they are revoked like any other. If one does, its home tenant keeps its sessions."
)


def warnings_for(request: RevocationRequest, *, readable: bool, others: Iterable[str] = ()) -> tuple[str, ...]:
    """Why ``revoked`` is not proven, if it is not, and once each of the ``others``."""
    rest = dict.fromkeys(other for other in others if other not in (UNPROVEN_BY_CHOICE, UNPROVEN_BY_PERMISSION))
    if not readable:
        return (UNPROVEN_BY_PERMISSION, *rest)
    return tuple(rest) if request.verify else (UNPROVEN_BY_CHOICE, *rest)


def exclusion_warnings(*, unmatched: Sequence[UserRef], unknown: Sequence[UserRef]) -> tuple[str, ...]:
    """Entries of ``exclude`` that match no user, and those that Graph could not look up."""
    found = []
    if unmatched:
        found.append(
            f"exclude: {_named(unmatched)} matches no user, or more than one by mail address, and excludes nobody. "
            "An object id is best."
        )
    if unknown:
        found.append(
            f"exclude: {_named(unknown)} could not be looked up, and excludes only a user of exactly this name."
        )
    return tuple(found)


def _named(users: Sequence[UserRef]) -> str:
    return listed([user.given.strip() for user in users])
