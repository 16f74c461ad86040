"""How tables are written and read for very many users: in pieces that keep a worker's memory flat."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from table_hooks import hook_tables

from revoke_core.adapters.tables.status_log import TableStatusLog
from revoke_core.adapters.tables.user_index import TableUserIndex
from revoke_core.domain.identifiers import new_request_id, parse_user
from revoke_core.domain.run import Run
from revoke_core.domain.user_state import Counts, UserRow

if TYPE_CHECKING:
    from revoke_core.adapters.storage import Storage

PAGE = 693


def found_users(count: int) -> list[UserRow]:
    return [
        UserRow(
            position=place,
            given=f"user{place}@contoso.com",
            user_id=str(uuid.uuid4()),
            user_principal_name=f"user{place}@contoso.com",
        )
        for place in range(1, count + 1)
    ]


async def test_a_page_is_entered_by_user_with_one_transaction_at_once(azurite: str, storage: Storage) -> None:
    """One after the other: each is large while it is built, and a page has sixteen and more."""
    under_way, most, sent = 0, 0, 0

    def leaves(_: Any) -> None:
        nonlocal under_way, most, sent
        under_way, sent = under_way + 1, sent + 1
        most = max(most, under_way)

    def is_answered(_: Any) -> None:
        nonlocal under_way
        under_way -= 1

    await hook_tables(storage, azurite, raw_request_hook=leaves, raw_response_hook=is_answered)
    index = TableUserIndex(storage=storage)
    request_id, rows = new_request_id(datetime.now(UTC)), found_users(PAGE)
    await index.add(request_id, rows)
    assert 16 <= sent <= 32
    assert most == 1
    for row in (rows[0], rows[PAGE // 2], rows[-1]):
        for name in (row.user_id, row.user_principal_name):
            user = parse_user(name or "")
            assert user
            page = await index.find(user, size=10, token=None)
            assert (request_id, row.position) in page.items


async def test_who_was_named_is_read_in_few_columns(storage: Storage, requests_sent: list[str]) -> None:
    """By object id, or by the text of a user without one, and no further than asked."""
    log = TableStatusLog(storage=storage)
    request_id = new_request_id(datetime.now(UTC))
    rows = [*found_users(3), UserRow(position=4, given="Bob@contoso.com"), *found_users(6)[4:]]
    await log.save_run(Run(request_id=request_id, owner="made-up", epoch=1, counts=Counts()), rows)
    requests_sent.clear()
    identities = [identity async for identity in log.iter_identities(request_id, to=5)]
    assert identities == [row.identity for row in rows[:5]]
    (sent,) = requests_sent
    assert re.search(r"[$]select=UserId,Input,Entity,ErrorCode,Attempts(&|$)", sent), sent
