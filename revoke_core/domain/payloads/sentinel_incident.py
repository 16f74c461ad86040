"""``sentinel-incident``: what Sentinel's incident trigger sends.

Users are the entities of kind ``Account`` in ``object.properties.relatedEntities``, which may be missing. The owner and
whoever has created or changed the incident are none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from revoke_core.domain.payloads.named import Named, incident_reason
from revoke_core.domain.payloads.sentinel import account_text, is_account

if TYPE_CHECKING:
    from revoke_core.domain.payloads.members import Members


def read(payload: Members) -> Named:
    """The incident's users and its number and title; ``object.properties`` must be there."""
    incident = payload.required_object("object")
    properties = incident.required_object("properties") if incident else None
    if properties is None:
        return Named()
    users = []
    for entity in properties.objects("relatedEntities"):
        if is_account(entity.shown("kind")):
            account = entity.object("properties") or entity
            users.append(account_text(account, entity.pointer))
    return Named(users, incident_reason(properties.shown("incidentNumber"), properties.shown("title")))
