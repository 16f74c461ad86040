"""``sentinel-entity``: what Sentinel's entity trigger sends. The user is ``Entity``, if that is an account."""

from __future__ import annotations

from typing import TYPE_CHECKING

from revoke_core.domain.payloads.named import Named
from revoke_core.domain.payloads.sentinel import account_text, is_account

if TYPE_CHECKING:
    from revoke_core.domain.payloads.members import Members


def read(payload: Members) -> Named:
    """The one user; ``Entity`` and its ``kind`` must be there."""
    entity = payload.required_object("Entity")
    if entity is None:
        return Named()
    kind = entity.shown("kind")
    if kind is None:
        entity.faults.add(f"{entity.pointer}/kind", "must be there: the kind of entity, Account for a user")
    if not is_account(kind):
        return Named()
    return Named([account_text(entity.object("properties") or entity, entity.pointer)])
