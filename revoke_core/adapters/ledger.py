"""Small shared facts in the table ``RevocationState``: one partition per kind of fact."""

from __future__ import annotations

import hashlib
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from revoke_core.adapters.storage import STATE_TABLE, Storage, answering
from revoke_core.domain.moments import parsed, written
from revoke_core.ports import Claim

if TYPE_CHECKING:
    from datetime import datetime

    from revoke_core.ports import Clock

OPEN: Final = "open"
CLAIM: Final = "claim"
TOKEN: Final = "token"  # noqa: S105 -- the name of a partition
SIGNING_KEY: Final = "signing-key"


class TableLedger:
    """The ``Ledger`` port over one table."""

    def __init__(self, *, storage: Storage, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock
        self._signing_key: bytes | None = None
        self._tokens: set[str] = set()

    async def open(self, request_id: str) -> None:
        """Mark a request as unfinished."""
        await self._put(OPEN, request_id, DrivenAt=written(self._clock.now()))

    async def close(self, request_id: str) -> None:
        """Take the mark away."""
        with answering():
            await self._table.delete_entity(OPEN, request_id)

    async def forget(self, request_id: str, driven_at: datetime) -> None:
        """Take away the mark of this moment; one that was made since stays."""
        from azure.core import MatchConditions  # noqa: PLC0415 -- kept out of the app's import
        from azure.core.exceptions import ResourceModifiedError  # noqa: PLC0415 -- as above

        mark = await self._get(OPEN, request_id)
        if mark is not None and parsed(mark["DrivenAt"]) == driven_at:
            with answering(), suppress(ResourceModifiedError):
                await self._table.delete_entity(
                    mark, etag=mark.metadata["etag"], match_condition=MatchConditions.IfNotModified
                )

    async def open_requests(self) -> list[tuple[str, datetime]]:
        """Unfinished requests with the moment each was last driven."""
        with answering():
            found = self._table.query_entities("PartitionKey eq @open", parameters={"open": OPEN})
            return [(entity["RowKey"], parsed(entity["DrivenAt"])) async for entity in found]

    async def driven(self, request_id: str) -> None:
        """Note that a request has just been driven again."""
        await self.open(request_id)

    async def claim(self, scope: str, key: str, claim: Claim) -> Claim | None:
        """Insert first, read only when the insert is refused: the common path costs one call."""
        from azure.core.exceptions import ResourceExistsError  # noqa: PLC0415 -- kept out of the app's import

        row = hashlib.sha256(f"{scope}\n{key}".encode()).hexdigest()
        entity = {
            "PartitionKey": CLAIM,
            "RowKey": row,
            "RequestId": claim.request_id,
            "Digest": claim.digest,
            "ClaimedAt": written(self._clock.now()),
        }
        with answering():
            try:
                await self._table.create_entity(entity)
            except ResourceExistsError:
                holder = await self._get(CLAIM, row)
                if holder is None or holder["RequestId"] == claim.request_id:
                    return None
                return Claim(request_id=holder["RequestId"], digest=holder["Digest"])
        return None

    async def token_has_revoked(self, fingerprint: str) -> bool:
        """Whether this or another instance has noted it."""
        if fingerprint not in self._tokens and await self._get(TOKEN, fingerprint):
            self._tokens.add(fingerprint)
        return fingerprint in self._tokens

    async def note_token_revoked(self, fingerprint: str) -> None:
        """Written once per token and process: a token lives for hours."""
        if fingerprint not in self._tokens:
            await self._put(TOKEN, fingerprint, NotedAt=written(self._clock.now()))
            self._tokens.add(fingerprint)

    async def signing_key(self) -> bytes:
        """The app's own key: whoever inserts it first makes it, everybody reads the same."""
        from azure.core.exceptions import ResourceExistsError  # noqa: PLC0415 -- kept out of the app's import

        if self._signing_key is None:
            entity = await self._get(SIGNING_KEY, "1")
            if entity is None:
                made = {"PartitionKey": SIGNING_KEY, "RowKey": "1", "Secret": secrets.token_bytes(32)}
                with answering(), suppress(ResourceExistsError):
                    await self._table.create_entity(made)
                entity = await self._get(SIGNING_KEY, "1")
            self._signing_key = bytes(entity["Secret"])
        return self._signing_key

    @property
    def _table(self) -> Any:
        return self._storage.table(STATE_TABLE)

    async def _put(self, partition: str, row: str, **columns: str) -> None:
        with answering():
            await self._table.upsert_entity({"PartitionKey": partition, "RowKey": row} | columns)

    async def _get(self, partition: str, row: str) -> Any:
        from azure.core.exceptions import ResourceNotFoundError  # noqa: PLC0415 -- kept out of the app's import

        with answering():
            try:
                return await self._table.get_entity(partition, row)
            except ResourceNotFoundError:
                return None
