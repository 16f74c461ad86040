"""Users of one request as the texts that named them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

from revoke_core.domain.identifiers import UserRef, parse_stored_user, user_key

if TYPE_CHECKING:
    from collections.abc import Iterable


class NamedUsers(Sequence[UserRef]):
    """Users kept as the texts that named them: a reference is only made for the one that is looked at.

    A request may name 100,000 users, and as references they would take four times the room. Every text must have
    passed ``names_user``, or be an ``EntityName.text`` made by a payload's reader.
    """

    __slots__ = ("_texts",)

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._texts = texts if isinstance(texts, list) else list(texts)

    @property
    def texts(self) -> Sequence[str]:
        """The texts as they were given."""
        return self._texts

    def __len__(self) -> int:
        return len(self._texts)

    @overload
    def __getitem__(self, place: int) -> UserRef: ...

    @overload
    def __getitem__(self, place: slice) -> NamedUsers: ...

    def __getitem__(self, place: int | slice) -> UserRef | NamedUsers:
        if isinstance(place, slice):
            return NamedUsers(self._texts[place])
        user = parse_stored_user(self._texts[place])
        if user is None:
            raise ValueError("a text that names no user was taken for a user")
        return user

    def __eq__(self, other: object) -> bool:
        return self._texts == other._texts if isinstance(other, NamedUsers) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self._texts))

    def __repr__(self) -> str:
        return f"NamedUsers({len(self._texts)} users)"


def keys(users: Sequence[UserRef]) -> Iterable[str]:
    """What to compare users by, made without a reference for each."""
    return map(user_key, users.texts) if isinstance(users, NamedUsers) else (user.key for user in users)
