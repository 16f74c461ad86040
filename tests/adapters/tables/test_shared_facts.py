"""Idempotency keys, the history of tokens and the signing key, as several instances share them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from typing import TYPE_CHECKING

from revoke_core.adapters.clock import SystemClock
from revoke_core.adapters.tables.retention_store import TableRetentionStore
from revoke_core.adapters.tables.shared_facts import TableIdempotencyKeys, TableSigningKey, TableTokenHistory
from revoke_core.adapters.tables.status_log import TableStatusLog
from revoke_core.adapters.tables.user_index import TableUserIndex
from revoke_core.ports.shared import Claim

if TYPE_CHECKING:
    from revoke_core.adapters.storage import Storage


async def test_of_several_claims_of_a_key_one_holds_it(storage: Storage) -> None:
    """The others get the claim that holds it, the holder itself gets ``None`` again; another scope is another key."""
    keys, scope = TableIdempotencyKeys(storage=storage, clock=SystemClock()), token_hex(8)
    claims = [Claim(request_id=f"request-{number}", digest=f"digest-{number}") for number in range(4)]
    answers = await asyncio.gather(*(keys.claim(scope, "key", claim) for claim in claims))
    (holder,) = [claim for claim, answer in zip(claims, answers, strict=True) if answer is None]
    assert [answer for answer in answers if answer] == [holder] * 3
    assert await keys.claim(scope, "key", holder) is None
    assert await keys.claim(f"{scope}-other", "key", claims[0]) is None


async def test_retention_frees_the_keys_claimed_before_a_moment(storage: Storage) -> None:
    """A key that was claimed since stays taken."""
    keys, scope = TableIdempotencyKeys(storage=storage, clock=SystemClock()), token_hex(8)
    first, second = (Claim(request_id=name, digest="digest") for name in ("first", "second"))
    assert await keys.claim(scope, "key", first) is None
    log, index = TableStatusLog(storage=storage), TableUserIndex(storage=storage)
    store = TableRetentionStore(storage=storage, log=log, index=index)
    await store.delete_claims(datetime.now(UTC) - timedelta(minutes=1))
    assert await keys.claim(scope, "key", second) == first
    await store.delete_claims(datetime.now(UTC) + timedelta(minutes=1))
    assert await keys.claim(scope, "key", second) is None


async def test_a_token_that_has_revoked_is_known_to_every_instance(storage: Storage, requests_sent: list[str]) -> None:
    """Each process asks storage for it once."""
    here, there = (TableTokenHistory(storage=storage, clock=SystemClock()) for _ in range(2))
    fingerprint = token_hex(16)
    assert not await there.has_revoked(fingerprint)
    await here.note_revoked(fingerprint)
    assert await there.has_revoked(fingerprint)
    requests_sent.clear()
    await there.note_revoked(fingerprint)
    assert [await there.has_revoked(fingerprint), await here.has_revoked(fingerprint)] == [True, True]
    assert requests_sent == []


async def test_all_instances_have_one_signing_key(storage: Storage) -> None:
    """Also those that start at the same moment."""
    keys = [TableSigningKey(storage=storage) for _ in range(4)]
    (secret,) = set(await asyncio.gather(*(key.get() for key in keys)))
    assert len(secret) == 32
