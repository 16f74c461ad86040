"""Intake while the operator has new requests refused (``REVOKING_PAUSED=refuse``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from revoke_core.domain.errors import RevokingPaused
from revoke_core.service.intake.submit import Submitted, Submitter

if TYPE_CHECKING:
    from datetime import timedelta

    from revoke_core.service.intake.submit import Submission

_RETRY_SECONDS: Final = 60


class PausedSubmitter(Submitter):
    """Accepts dry runs, which change nothing, and answers for what was accepted before; all else is refused."""

    async def submit(self, submission: Submission, *, within: timedelta | None) -> Submitted:
        """As ``Submitter``; ``RevokingPaused`` for a new request that would revoke somebody."""
        if submission.request.dry_run:
            return await super().submit(submission, within=within)
        if known := await self.holder(submission):
            return Submitted(record=known)
        raise RevokingPaused(
            "New requests are refused while revoking is paused (REVOKING_PAUSED=refuse), and nothing of this one was "
            "kept. An operator of this app has to set REVOKING_PAUSED to false; send the request again after that, "
            "with the same Idempotency-Key. Dry runs and questions are answered meanwhile.",
            retry_after=_RETRY_SECONDS,
        )
