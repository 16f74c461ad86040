"""``lifecycle-workflow``: what an Entra lifecycle workflow's custom task extension sends, one call for each user.

The user is ``data.subject``; ``data.subject.manager`` is never one.

Source: https://learn.microsoft.com/entra/id-governance/configure-logic-app-lifecycle-workflows
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from revoke_core.domain.payloads.account import Account
from revoke_core.domain.payloads.named import Named

if TYPE_CHECKING:
    from revoke_core.domain.payloads.members import Members


def read(payload: Members) -> Named:
    """The one user and the workflow's name; ``data.subject`` must be there."""
    data = payload.required_object("data")
    subject = data.required_object("subject") if data else None
    if data is None or subject is None:
        return Named()
    user = Account(
        object_id=subject.value("id"),
        upn=subject.value("userPrincipalName"),
        mail=subject.value("email", "mail"),
        shown=(subject.shown("displayName"),),
        place=subject.pointer,
        wanted="id, userPrincipalName or email",
    )
    workflow = data.object("workflow")
    name = workflow.shown("displayName") if workflow else None
    return Named([user.text()], f"Lifecycle workflow {name}" if name else None)
