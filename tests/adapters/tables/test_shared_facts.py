"""The history of tokens and the signing key, as several instances share them."""

from __future__ import annotations

import asyncio
from secrets import token_hex
from typing import TYPE_CHECKING

from revoke_core.adapters.clock import SystemClock
from revoke_core.adapters.tables.shared_facts import TableSigningKey, TableTokenHistory

if TYPE_CHECKING:
    from revoke_core.adapters.storage import Storage


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
