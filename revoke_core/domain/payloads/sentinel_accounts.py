"""``sentinel-accounts``: what the Sentinel connector's action *Entities - Get Accounts* returns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from revoke_core.domain.payloads.named import Named
from revoke_core.domain.payloads.sentinel import account_text

if TYPE_CHECKING:
    from revoke_core.domain.payloads.members import Members


def read(payload: Members) -> Named:
    """The users in ``Accounts``, which must be there."""
    return Named([account_text(account, account.pointer) for account in payload.required_objects("Accounts")])
