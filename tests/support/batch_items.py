"""Items of a batch, as tests write them."""

from __future__ import annotations

from typing import Any


def revoke_item(user: str, **changes: Any) -> dict[str, Any]:
    item = {
        "id": user,
        "method": "POST",
        "url": f"/users/{user}/revokeSignInSessions",
        "headers": {"Content-Type": "application/json"},
        "body": {},
    }
    return item | changes
