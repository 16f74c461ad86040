"""``defender-alert``: a security alert of Microsoft Graph (alerts_v2), as Defender XDR fills it.

Users stand in ``userEvidence`` and ``mailboxEvidence`` alone, whatever their roles; every other evidence (devices with
their logged-on users, processes, mails with their senders) names none. ``accountName`` and ``domainName`` are of Active
Directory: joined they would be no user principal name.

Source: https://learn.microsoft.com/graph/api/resources/security-useraccount
"""

from __future__ import annotations

from typing import Final

from revoke_core.domain.payloads.account import Account, windows_name
from revoke_core.domain.payloads.members import Members
from revoke_core.domain.payloads.named import Named, incident_reason

_TYPE_PREFIX: Final = "#microsoft.graph.security."
_USER: Final = "userevidence"
_MAILBOX: Final = "mailboxevidence"
_WANTED: Final = "azureAdUserId, userPrincipalName or userSid"


def read(payload: Members) -> Named:
    """The alert's users, its incident and title; ``evidence`` must be there."""
    users = []
    for evidence in payload.required_objects("evidence"):
        kind = (evidence.shown("@odata.type") or "").lower().removeprefix(_TYPE_PREFIX)
        if kind in (_USER, _MAILBOX):
            users.append(_text(evidence, is_mailbox=kind == _MAILBOX))
    return Named(users, incident_reason(payload.shown("incidentId"), payload.shown("title")))


def _text(evidence: Members, *, is_mailbox: bool) -> str:
    account = evidence.object("userAccount") or Members({}, evidence.pointer, evidence.faults)
    upn = account.value("userPrincipalName")
    return Account(
        object_id=account.value("azureAdUserId"),
        upn=upn if upn is not None or not is_mailbox else evidence.value("upn"),
        sid=account.value("userSid"),
        mail=evidence.value("primaryAddress") if is_mailbox else None,
        shown=(
            windows_name(account.shown("domainName"), account.shown("accountName")),
            account.shown("displayName"),
            evidence.shown("displayName") if is_mailbox else None,
            account.shown("accountName"),
        ),
        place=evidence.pointer,
        wanted=f"{_WANTED}, upn or primaryAddress" if is_mailbox else _WANTED,
    ).text()
