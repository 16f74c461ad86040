"""Evidence by timer: the directory's audit entry and the first sign-in beside each user of a small, ended request."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from engine import Engine
from steps import NAMES, JumpingClock, submission, submitter

from revoke_core.adapters.pacing.reports import StoredReportsPace
from revoke_core.adapters.storage import REQUESTS_TABLE, STATE_TABLE, USERS_TABLE
from revoke_core.adapters.tables.evidence_store import TableEvidenceStore
from revoke_core.adapters.tables.retention_store import TableRetentionStore
from revoke_core.domain.errors import Unavailable
from revoke_core.domain.named_users import NamedUsers
from revoke_core.domain.request import RevocationRequest
from revoke_core.domain.user_state import UserStatus
from revoke_core.service.engine.finalizer import Finalizer
from revoke_core.service.upkeep.evidence import EvidenceReader
from revoke_core.service.upkeep.retention import Retention

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from listing import Directory

    from revoke_core.adapters.storage import Storage
    from revoke_core.domain.evidence import Evidence
    from revoke_core.domain.request_record import RequestRecord
    from revoke_core.domain.user_state import UserRow

ROLES = ["User.ReadWrite.All", "GroupMember.Read.All", "AuditLog.Read.All"]
AUDITS, SIGN_INS = "/auditLogs/directoryAudits", "/auditLogs/signIns"
DAY = timedelta(days=1)
PATIENT = timedelta(seconds=90)


class HastyClock(JumpingClock):
    """Jumps over every wait; the tenant then has to take calls as fast as they come."""

    async def sleep_until(self, moment: datetime) -> None:
        """Time goes by at once."""
        self.ahead += max(timedelta(0), moment - self.now())


class EvidencedEngine(Engine):
    """The engine of an app with ``EVIDENCE``, and the timer's reader."""

    def finalizer(self) -> Finalizer:
        """As the app builds it with the setting on."""
        return Finalizer(
            log=self.log, open_requests=self.open_requests, queue=self.queue, clock=self.clock, evidence=True
        )

    @property
    def store(self) -> TableEvidenceStore:
        """Markers and evidence."""
        return TableEvidenceStore(storage=self.storage, keep=timedelta(days=400))

    def reader(self) -> EvidenceReader:
        """A reader of its own, as on another instance."""
        pace = StoredReportsPace(storage=self.storage, clock=self.clock)
        return EvidenceReader(reports=self.graph, store=self.store, log=self.log, pace=pace, clock=self.clock)


@dataclass
class Desk:
    """An app with evidence, its tenant, and a clock that a test moves."""

    engine: EvidencedEngine
    clock: HastyClock
    directory: Directory

    async def revoke(self, *names: str, **more: Any) -> RequestRecord:
        """A request that is carried out in its call."""
        request = RevocationRequest(users=NamedUsers(names), **more)
        return (await submitter(self.engine).submit(replace(submission(), request=request), within=PATIENT)).record

    async def later(self, **span: float) -> None:
        """Time goes by, and the timer runs."""
        self.clock.jump(**span)
        await self.engine.reader().read_due()

    async def rows(self, record: RequestRecord) -> list[UserRow]:
        """All users."""
        return await self.engine.log.all_rows(record.id)

    async def evidence(self, record: RequestRecord) -> Evidence | None:
        """Of the only user."""
        (row,) = await self.rows(record)
        return row.evidence

    async def is_marked(self, record: RequestRecord) -> bool:
        """Whether any evidence is still to be read."""
        due = await self.engine.store.due(self.clock.now() + timedelta(days=30))
        return record.id in [marker.request_id for marker in due]

    async def warnings(self, record: RequestRecord) -> Sequence[str]:
        """What the request warns of now."""
        found = await self.engine.log.get_request(record.id)
        assert found is not None
        assert found.status is record.status
        return found.warnings

    async def calls(self) -> dict[str, int]:
        """Calls to the two logs so far."""
        calls = await self.directory.calls()
        return {route: calls.get(route, 0) for route in (AUDITS, SIGN_INS)}

    async def roles(self, *roles: str) -> None:
        """A fresh identity with these permissions."""
        await self.directory.configure(grantedRoles=list(roles))
        await self.directory.post("tokens/forget", {})


@pytest.fixture
async def desk(storage: Storage, directory: Directory) -> AsyncIterator[Desk]:
    """A tenant that takes calls to its logs as they come."""
    clock = HastyClock()
    await storage.table(STATE_TABLE).delete_entity("pace", "reports")
    await storage.table(STATE_TABLE).delete_entity("pace", "1")
    engine = EvidencedEngine(storage=storage, root=directory.root, clock=clock)
    await directory.configure(grantedRoles=ROLES, reportsPer10s=1000)
    yield Desk(engine, clock, directory)
    await engine.close()
    await storage.table(STATE_TABLE).delete_entity("pace", "reports")
    await storage.table(STATE_TABLE).delete_entity("pace", "1")
    for marker in await engine.store.due(clock.now() + timedelta(days=30)):
        await engine.store.remove(marker.request_id)


async def test_who_moved_the_cut_off_and_who_signed_in_after_it(desk: Desk) -> None:
    """The app's own audit entry, and of the sign-ins the first at or after the cut-off, failed or not."""
    before, after = "2026-01-01T00:00:00Z", datetime.now().astimezone() + timedelta(minutes=5)
    record = await desk.revoke("adele@contoso.com")
    for at, app, error in (
        (before, "Too early", 0),
        ((after + timedelta(minutes=1)).isoformat(), "Second", 0),
        (after.isoformat(), "First", 50126),
    ):
        entry = {"user": "adele@contoso.com", "at": at, "app": app, "errorCode": error, "failureReason": "Wrong."}
        await desk.directory.post("signIns", entry)
    await desk.directory.post("signIns", {"user": "bob@contoso.com", "app": "Somebody else"})
    await desk.later(seconds=60)
    evidence = await desk.evidence(record)
    assert evidence
    assert evidence.initiated_by
    assert (evidence.initiated_by.kind, evidence.initiated_by.name) == ("app", "session-revoker")
    assert evidence.correlation_id
    (row,) = await desk.rows(record)
    assert row.status is UserStatus.VERIFIED
    assert row.revoked_at
    assert evidence.audited_at
    assert abs(evidence.audited_at - row.revoked_at) < timedelta(seconds=3)
    assert evidence.first_sign_in
    assert (evidence.first_sign_in.app, evidence.first_sign_in.result) == ("First", "50126: Wrong.")
    assert not await desk.is_marked(record)


async def test_each_of_two_requests_gets_its_own_entry(desk: Desk) -> None:
    """The same user, the same app, three seconds apart, an administrator's revocation between: none is mixed up."""
    first = await desk.revoke("adele@contoso.com")
    await desk.directory.post("cutOffs", {"user": "adele@contoso.com", "by": "root.admin@contoso.com"})
    second = await desk.revoke("adele@contoso.com")
    await desk.directory.post("cutOffs", {"user": "adele@contoso.com", "password": True})
    await desk.later(seconds=60)
    found = [await desk.evidence(first), await desk.evidence(second)]
    rows = [*await desk.rows(first), *await desk.rows(second)]
    assert all(evidence and evidence.initiated_by and evidence.initiated_by.kind == "app" for evidence in found)
    assert len({evidence.correlation_id for evidence in found if evidence}) == 2
    for evidence, row in zip(found, rows, strict=True):
        assert evidence
        assert evidence.audited_at
        assert row.revoked_at
        assert timedelta(0) <= evidence.audited_at - row.revoked_at < timedelta(seconds=1)


async def test_somebody_elses_revocation_is_never_taken_for_the_apps_own(desk: Desk) -> None:
    """The app's call was lost on its way and an administrator moved the cut-off: it is named, once that is certain."""
    await desk.directory.post(
        "faults",
        {"match": {"path": "revokeSignInSessions", "method": "POST"}, "times": 1, "action": {"drop": "before"}},
    )
    moved = desk.directory.post("cutOffs", {"user": "adele@contoso.com", "by": "root.admin@contoso.com"})
    sent: list[Any] = []
    revoke = desk.engine.graph.revoke

    async def then_moved(users: Any) -> Any:
        answers = await revoke(users)
        if not sent:
            sent.append(users)
            await moved
        return answers

    desk.engine.graph.revoke = then_moved  # type: ignore[method-assign] -- the real one, and what happens meanwhile
    record = await desk.revoke("adele@contoso.com")
    (row,) = await desk.rows(record)
    assert (row.status, row.attempts) == (UserStatus.VERIFIED, 1)
    await desk.later(seconds=60)
    evidence = await desk.evidence(record)
    assert evidence
    assert evidence.initiated_by is None
    await desk.later(hours=2)
    evidence = await desk.evidence(record)
    assert evidence
    assert evidence.initiated_by
    assert (evidence.initiated_by.kind, evidence.initiated_by.name) == ("user", "root.admin@contoso.com")


async def test_what_the_logs_show_later_is_found_later(desk: Desk) -> None:
    """An hour of delay: read again in growing pauses, until both are there."""
    await desk.directory.configure(auditLagSeconds=3600, signInLagSeconds=3600)
    record = await desk.revoke("adele@contoso.com")
    await desk.directory.post("signIns", {"user": "adele@contoso.com"})
    moments = []
    for _ in range(120):
        await desk.later(seconds=30)
        evidence = await desk.evidence(record)
        assert evidence
        assert (evidence.initiated_by, evidence.first_sign_in, evidence.sign_ins_read) == (None, None, True)
        moments.append(evidence.read_at)
    assert len(set(moments)) == 6
    assert moments[0] - record.requested_at < timedelta(minutes=2)
    await desk.directory.configure(auditLagSeconds=0)
    await desk.later(hours=1)
    evidence = await desk.evidence(record)
    assert evidence
    assert evidence.initiated_by
    assert evidence.first_sign_in is None
    assert await desk.is_marked(record)
    await desk.directory.configure(signInLagSeconds=0)
    await desk.later(hours=4)
    evidence = await desk.evidence(record)
    assert evidence
    assert evidence.first_sign_in
    assert not await desk.is_marked(record)


async def test_after_a_day_nothing_more_is_read(desk: Desk) -> None:
    """Nobody signed in: the last read says so 24 hours after the end, and was the last."""
    record = await desk.revoke("adele@contoso.com")
    while await desk.is_marked(record):
        await desk.later(minutes=10)
        assert desk.clock.now() < record.requested_at + DAY + timedelta(hours=1)
    evidence = await desk.evidence(record)
    assert evidence
    assert evidence.read_at >= record.requested_at + DAY
    assert evidence.sign_ins_read
    assert evidence.first_sign_in is None
    calls = await desk.calls()
    assert calls == {AUDITS: 1, SIGN_INS: 12}
    await desk.later(days=2)
    assert await desk.calls() == calls


async def test_a_hundred_users_keep_to_the_pace(storage: Storage, directory: Directory) -> None:
    """At most five calls in any ten seconds, none refused, and each user has its own evidence."""
    await storage.table(STATE_TABLE).delete_entity("pace", "reports")
    clock = JumpingClock()
    engine = EvidencedEngine(storage=storage, root=directory.root, clock=clock)
    desk = Desk(engine, HastyClock(), directory)
    await directory.configure(grantedRoles=ROLES)
    people = await directory.people(100, "paced")
    record = await desk.revoke(*people)
    while not (await engine.resume(record.id)).status.is_final:
        pass
    clock.jump(seconds=30)
    await directory.post("signIns", [{"user": user, "app": f"App of {user}"} for user in people])
    assert await engine.reader().read_due() == 1
    for row in await desk.rows(record):
        assert row.evidence
        assert row.evidence.initiated_by
        assert row.evidence.first_sign_in
        assert row.evidence.first_sign_in.app == f"App of {row.user_id}"
    calls = await directory.books()
    assert calls["mostReportsIn10s"] <= 5
    assert calls["gateViolations"] == 0
    assert (calls["routes"][AUDITS], calls["routes"][SIGN_INS]) == (1, 5)
    assert not await desk.is_marked(record)
    await engine.close()


async def test_its_429_closes_no_other_gate(desk: Desk) -> None:
    """The logs are throttled: the reader waits as long as it is told, and users are looked up and revoked meanwhile."""
    record = await desk.revoke("adele@contoso.com")
    headers = {"Retry-After": "300"}
    await desk.directory.fault("auditLogs", times=1, status=429, headers=headers)
    await desk.later(seconds=60)
    calls = await desk.calls()
    await desk.later(seconds=200)
    assert await desk.calls() == calls
    assert await desk.evidence(record) is None
    assert await desk.engine.gates.closed_until("read") is None
    assert await desk.engine.gates.closed_until("write") is None
    assert (await desk.revoke("bob@contoso.com")).counts.verified == 1
    await desk.later(seconds=101)
    assert await desk.evidence(record)


async def test_without_the_permission_everything_else_is_unchanged(desk: Desk) -> None:
    """A warning with the command that grants it, no evidence, no end of the world; asked three times and no more."""
    await desk.roles("User.ReadWrite.All")
    record = await desk.revoke("adele@contoso.com")
    (before,) = await desk.rows(record)
    for _ in range(5):
        await desk.later(minutes=10)
    assert await desk.rows(record) == [before]
    (warning,) = await desk.warnings(record)
    assert "AuditLog.Read.All" in warning
    assert "b0afded3-3588-46d8-8b3d-9842eff778da" in warning
    assert await desk.calls() == {AUDITS: 3, SIGN_INS: 0}
    assert not await desk.is_marked(record)


async def test_a_permission_that_comes_late_takes_the_warning_back(desk: Desk) -> None:
    """Granted a minute later: evidence is there, and the warning is not."""
    await desk.roles("User.ReadWrite.All")
    record = await desk.revoke("adele@contoso.com")
    await desk.later(minutes=1)
    assert await desk.warnings(record)
    await desk.roles(*ROLES)
    await desk.later(minutes=10)
    assert await desk.evidence(record)
    assert await desk.warnings(record) == ()


async def test_without_a_licence_the_audit_entry_is_there(desk: Desk) -> None:
    """The audit log needs none: who moved the cut-off is told, sign-ins are not claimed to be absent, and a warning."""
    await desk.directory.configure(premiumLicense=False)
    record = await desk.revoke("adele@contoso.com")
    for _ in range(6):
        await desk.later(minutes=10)
    evidence = await desk.evidence(record)
    assert evidence
    assert evidence.initiated_by
    assert not evidence.sign_ins_read
    (warning,) = await desk.warnings(record)
    assert "P1 or P2" in warning
    assert await desk.calls() == {AUDITS: 1, SIGN_INS: 3}
    assert not await desk.is_marked(record)


async def test_a_tenant_that_takes_no_or_is_asked_user_by_user(desk: Desk) -> None:
    """No page says that several users may be asked for at once: a refusal of that costs calls, and no evidence.

    Not all of them fit one run; the next ones go on with those who were not read, so that the round ends.
    """
    await desk.directory.configure(reportsOr="refuse")
    record = await desk.revoke(*NAMES[:20])
    for _ in range(4):
        await desk.later(seconds=15)
    rows = await desk.rows(record)
    assert all(row.evidence and row.evidence.sign_ins_read for row in rows)
    assert len({row.evidence.read_at for row in rows if row.evidence}) == 20
    await desk.directory.post("signIns", [{"user": name} for name in NAMES[:20]])
    for _ in range(8):
        await desk.later(seconds=30)
    assert all(row.evidence and row.evidence.first_sign_in for row in await desk.rows(record))
    assert not await desk.is_marked(record)


async def test_all_pages_of_an_answer_are_read(desk: Desk) -> None:
    """The newest comes first: the first sign-in is on the last page, behind an empty one."""
    await desk.directory.configure(largestPage=1, emptyPages=1)
    record = await desk.revoke("adele@contoso.com", "bob@contoso.com")
    now = datetime.now().astimezone()
    for minute in (3, 2, 1):
        at = (now + timedelta(minutes=minute)).isoformat()
        await desk.directory.post("signIns", {"user": "adele@contoso.com", "at": at, "app": f"After {minute} min"})
    await desk.later(seconds=15)
    adele, bob = [row.evidence for row in await desk.rows(record)]
    assert adele
    assert bob
    assert adele.initiated_by
    assert bob.initiated_by
    assert adele.first_sign_in
    assert adele.first_sign_in.app == "After 1 min"
    assert bob.first_sign_in is None
    assert await desk.calls() == {AUDITS: 3, SIGN_INS: 4}


@pytest.mark.parametrize("log", ["directoryAudits", "signIns"])
async def test_an_answer_that_says_nothing_ends_the_round(desk: Desk, log: str) -> None:
    """A server error is no absence: nothing is claimed, the next round reads again, and no gate closes."""
    record = await desk.revoke("adele@contoso.com")
    await desk.directory.fault(log, times=1, status=503)
    await desk.later(seconds=15)
    assert await desk.evidence(record) is None
    assert await desk.warnings(record) == ()
    assert await desk.engine.gates.closed_until("read") is None
    await desk.later(minutes=2)
    evidence = await desk.evidence(record)
    assert evidence
    assert evidence.initiated_by
    assert evidence.sign_ins_read


async def test_a_host_that_dies_in_a_round_leaves_it_to_the_next(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The marker is made with the final status and moved after a round: nothing in between loses evidence."""
    record = await desk.revoke("adele@contoso.com")
    save = TableEvidenceStore.save

    async def dies(*_: Any) -> None:
        raise Unavailable("The host was killed by the test.")

    monkeypatch.setattr(TableEvidenceStore, "save", dies)
    with pytest.raises(Unavailable):
        await desk.later(seconds=60)
    monkeypatch.setattr(TableEvidenceStore, "save", save)
    assert await desk.evidence(record) is None
    await desk.later(seconds=30)
    assert await desk.evidence(record)


async def test_a_user_who_is_known_by_name_alone_has_evidence_too(desk: Desk) -> None:
    """The app may revoke and not read users: nothing is proven, and the logs are asked by user principal name."""
    await desk.roles("User.RevokeSessions.All", "AuditLog.Read.All")
    record = await desk.revoke("conor.o'neil@contoso.com", "Adele@Contoso.com")
    await desk.directory.post("signIns", [{"user": "conor.o'neil@contoso.com"}, {"user": "adele@contoso.com"}])
    await desk.later(seconds=60)
    for row in await desk.rows(record):
        assert (row.status, row.user_id, row.valid_from) == (UserStatus.REVOKED, None, None)
        assert row.evidence
        assert row.evidence.initiated_by
        assert row.evidence.first_sign_in
    assert len({row.evidence.correlation_id for row in await desk.rows(record) if row.evidence}) == 2


async def test_only_small_requests_that_revoked_somebody_are_read(desk: Desk) -> None:
    """A dry run, a request that skipped everybody and one of 101 users leave no marker."""
    dry = await desk.revoke("adele@contoso.com", dry_run=True)
    skipped = await desk.revoke("guest_fabrikam.com#EXT#@contoso.com")
    large = await desk.revoke(*await desk.directory.people(101, "many"))
    while not (await desk.engine.resume(large.id)).status.is_final:
        pass
    for record in (dry, skipped, large):
        assert not await desk.is_marked(record)


async def test_without_the_setting_there_is_no_marker_and_no_call(still: tuple[Engine, JumpingClock]) -> None:
    """The default costs a request no storage transaction more: what ends it is one row and one open marker."""
    engine, _ = still
    operations: list[int] = []
    table = engine.storage.table(REQUESTS_TABLE)
    submit = table.submit_transaction

    async def counted(entries: Any, **more: Any) -> Any:
        entries = list(entries)
        operations.append(len(entries))
        return await submit(entries, **more)

    table.submit_transaction = counted  # type: ignore[method-assign] -- the real one, counted
    await submitter(engine).submit(submission(), within=PATIENT)
    table.submit_transaction = submit  # type: ignore[method-assign] -- and back
    assert operations == [2, 2]


async def test_a_row_that_is_gone_stays_gone(desk: Desk) -> None:
    """Somebody has removed a user's row meanwhile: evidence makes no half row of it, and the others get theirs."""
    record = await desk.revoke(*NAMES[:3])
    await desk.engine.storage.table(USERS_TABLE).delete_entity(record.id, "0000002")
    rows = await desk.rows(record)
    await desk.engine.store.save(record.id, [*rows, replace(rows[0], position=2)])
    assert [row.position for row in await desk.rows(record)] == [1, 3]
    await desk.later(seconds=60)
    assert [row.position for row in await desk.rows(record) if row.evidence] == [1, 3]


async def test_retention_removes_markers_that_nobody_reads(desk: Desk) -> None:
    """EVIDENCE was turned off: what it had left goes with the requests, and a young marker stays."""
    old = await desk.revoke("adele@contoso.com")
    desk.clock.jump(days=40)
    young = await desk.revoke("adele@contoso.com")
    engine = desk.engine
    store = TableRetentionStore(storage=engine.storage, log=engine.log, index=engine.index)
    await Retention(store=store, clock=engine.clock, keep=timedelta(days=30)).remove_old()
    assert not await desk.is_marked(old)
    assert await desk.is_marked(young)


async def test_a_damaged_row_keeps_no_other_request_from_its_evidence(desk: Desk) -> None:
    """A user's row that cannot be read: its request waits for its next round, the others are read now."""
    damaged = await desk.revoke("adele@contoso.com")
    sound = await desk.revoke("bob@contoso.com")
    row = {"PartitionKey": damaged.id, "RowKey": "0000001", "Status": "unheardOf"}
    await desk.engine.storage.table(USERS_TABLE).update_entity(row)
    await desk.later(seconds=60)
    assert await desk.evidence(sound)
    assert await desk.is_marked(damaged)
