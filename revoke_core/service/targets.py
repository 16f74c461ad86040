"""How a user of the status log is named to Graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

from revoke_core.domain.identifiers import UserRef, parse_user

if TYPE_CHECKING:
    from revoke_core.domain.results import UserRow


def target(row: UserRow) -> UserRef:
    """By object id wherever it is known."""
    named = parse_user(row.user_id or row.given)
    if named is None:
        raise ValueError("a row of the status log names no user")
    return named
