"""Where an account signs in: in this tenant, which holds its sessions then, or in another one, which no call here ends.

``identities`` says it (https://learn.microsoft.com/graph/api/resources/objectidentity): a user who was invited from
another Entra tenant has one whose issuer is ``ExternalAzureAD``, and one that signs in here has none but this tenant's
own. ``creationType`` stays ``Invitation`` when such a user is converted to an internal one, an internal account may be
invited and signs in here until it accepts, and ``userType`` says only what a user may see.

A user of whom Graph's answer leaves it in doubt is revoked, with a warning. Where Graph could not be asked, ``#EXT#``
in the UPN that was given decides (``UserRef.is_invited``).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

_EXTERNAL_ISSUER: Final = "externalazuread"
# Other sign-in types (a user principal name, an e-mail address, a user name) are issued by this tenant itself.
_FEDERATED: Final = "federated"


class SignInHome(StrEnum):
    """Which tenant an account signs in to; in doubt it is taken for this one, and a person is told."""

    HERE = "here"
    ELSEWHERE = "elsewhere"
    DOUBTFUL = "doubtful"


def sign_in_home(found: dict[str, Any]) -> SignInHome:
    """What Graph's answer about a user says of it."""
    identities = [one for one in _entries(found.get("identities")) if isinstance(one.get("issuer"), str)]
    if any(one["issuer"].lower() == _EXTERNAL_ISSUER for one in identities):
        return SignInHome.ELSEWHERE
    if identities and all(str(one.get("signInType")).lower() != _FEDERATED for one in identities):
        return SignInHome.HERE
    state = str(found.get("externalUserState") or "").lower()
    if state == "accepted" or "#ext#" in str(found.get("userPrincipalName") or "").lower():
        return SignInHome.ELSEWHERE
    is_doubtful = bool(state) or str(found.get("creationType") or "").lower() == "invitation"
    return SignInHome.DOUBTFUL if is_doubtful else SignInHome.HERE


def _entries(value: Any) -> list[dict[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []
