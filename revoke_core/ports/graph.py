"""What the use cases need from Microsoft Graph, as a protocol; ``adapters.graph`` is the real end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from datetime import datetime

    from revoke_core.domain.identifiers import UserRef
    from revoke_core.domain.permissions import TokenFacts
    from revoke_core.domain.responses import Answer


class Graph(Protocol):
    """Microsoft Graph, as far as this app uses it. Nothing here raises for an HTTP status or a broken connection.

    By the time an answer is handed out that asks to wait, its gate is closed.
    """

    async def token(self) -> TokenFacts:
        """Facts of the token in use; ``TokenUnavailable`` when the identity gives none."""

    async def token_missed_roles(self) -> None:
        """Told after a refusal for want of a role: the credential is rebuilt, at most every five minutes."""

    async def read_users(self, users: Sequence[UserRef]) -> list[Answer]:
        """One answer per user, in order: id, UPN, origin and the sign-in cut-off."""

    async def search_users(self, filters: Sequence[str], *, advanced: bool = False) -> list[Answer]:
        """One answer per OData filter, in order: the first page of the users it matches, each as ``read_users`` has it.

        ``users_matching`` reads on from a nextLink. ``advanced`` as there.
        """

    async def revoke(self, users: Sequence[UserRef]) -> list[Answer]:
        """One ``revokeSignInSessions`` call per user (at most 20), answers in order."""

    def group_members(
        self, group_id: str, *, transitive: bool = True, link: str | None = None
    ) -> AsyncGenerator[Answer]:
        """Pages of a group's members of every kind; the last answer may be a refusal.

        ``link`` is the nextLink to go on from. A link to another host, or one that was followed already, ends the list
        with a lost answer. Raises ``TokenUnavailable`` when the identity gives no token.
        """

    def users_matching(self, text: str, *, link: str | None = None, advanced: bool = False) -> AsyncGenerator[Answer]:
        """Pages of the users that an OData filter matches, as ``group_members``.

        ``advanced`` asks for what Graph calls an advanced query, and has to be said again with the ``link``.
        """

    async def probe_filter(self, text: str, *, advanced: bool = False) -> Answer:
        """What Graph says to a filter, for the price of one user; ``TokenUnavailable`` as above."""

    def time(self) -> datetime:
        """Now by Graph's clock, as its ``Date`` headers tell it."""

    @property
    def has_told_the_time(self) -> bool:
        """Whether any answer has told it yet; until then ``time`` is this host's own clock."""


class Reports(Protocol):
    """Microsoft Graph's reporting API: the directory's audit and sign-in logs, whose pace is not that of other calls.

    Nothing here raises for an HTTP status or a broken connection; ``TokenUnavailable`` where the identity gives no
    token. Pages come newest first; the last answer may be a refusal.
    """

    async def token(self) -> TokenFacts:
        """Facts of the token in use."""

    def cut_off_audits(self, since: datetime, until: datetime) -> AsyncGenerator[Answer]:
        """Pages of audit entries by which a sign-in cut-off was moved, whoever moved it, within a span of time."""

    def sign_ins(self, users: Sequence[UserRef], since: datetime) -> AsyncGenerator[Answer]:
        """Pages of the interactive sign-ins of some users since a moment."""
