"""``risky-users``: risky users or risk detections of Entra ID Protection, one or a list in ``value``.

The two differ in where the user's id stands: a riskyUser's is ``id``; a riskDetection's is ``userId``, its ``id`` being
its own.

Source: https://learn.microsoft.com/graph/api/resources/riskyuser and …/riskdetection
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from revoke_core.domain.payloads.account import Account
from revoke_core.domain.payloads.named import Named

if TYPE_CHECKING:
    from revoke_core.domain.payloads.members import Members

_NAMING: Final = ("id", "userId", "userPrincipalName")
# What only a detection has: one whose userId is missing must not be taken for a user.
_OF_DETECTIONS: Final = (
    *("userId", "riskEventType", "riskType", "requestId", "correlationId", "detectionTimingType"),
    *("detectedDateTime", "activityDateTime", "activity", "tokenIssuerType"),
)


def read(payload: Members) -> Named:
    """The users; ``value`` or, in one object, ``id``, ``userId`` or ``userPrincipalName`` must be there."""
    entries = payload.required_objects("value") if "value" in payload else [payload]
    return Named([_text(entry) for entry in entries])


def _text(entry: Members) -> str:
    if not any(name in entry for name in _NAMING):
        entry.faults.add(entry.pointer, f"has none of {', '.join(_NAMING)}: no riskyUser and no riskDetection")
    is_detection = any(name in entry for name in _OF_DETECTIONS)
    return Account(
        object_id=entry.value("userId" if is_detection else "id"),
        upn=entry.value("userPrincipalName"),
        shown=(entry.shown("userDisplayName"),),
        place=entry.pointer or "the user",
        wanted=f"{'userId' if is_detection else 'id'} and no userPrincipalName",
    ).text()
