"""An account entity as Microsoft Sentinel writes it, in incidents, alerts and playbooks alike.

Source: https://learn.microsoft.com/azure/sentinel/entities-reference#user-account
``ObjectGuid`` is the object's in Active Directory and ``AadTenantId`` the tenant's: neither names an Entra user.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from revoke_core.domain.identifiers import BLANKS
from revoke_core.domain.payloads.account import Account, windows_name

if TYPE_CHECKING:
    from revoke_core.domain.payloads.members import Members

_WANTED: Final = "AadUserId, UserPrincipalName, Name with UPNSuffix, Sid or Mail"


def is_account(kind: str | None) -> bool:
    """Whether an entity of this kind is a user."""
    return (kind or "").lower() == "account"


def account_text(entity: Members, place: str) -> str:
    """The text that names an account entity's user; ``entity`` holds its properties."""
    name, suffix = entity.value("name", "accountName"), entity.value("upnSuffix")
    return Account(
        object_id=entity.value("aadUserId"),
        upn=entity.value("userPrincipalName", "upn") or _joined(name, suffix),
        sid=entity.value("sid"),
        mail=entity.value("mail", "email"),
        shown=(
            windows_name(entity.shown("ntDomain"), entity.shown("name", "accountName")),
            entity.shown("displayName"),
            entity.shown("friendlyName"),
            entity.shown("name", "accountName"),
        ),
        place=place,
        wanted=_WANTED,
    ).text()


def _joined(name: Any, suffix: Any) -> Any:
    """``Name@UPNSuffix``, or the name alone where it is a whole user principal name already."""
    if not isinstance(name, str):
        # A name of another type is as malformed as it stands, but without a suffix it would not have been used.
        return None if suffix is None else name
    if "@" in name:
        return name
    return f"{name.strip(BLANKS)}@{suffix.strip(BLANKS)}" if isinstance(suffix, str) else None
