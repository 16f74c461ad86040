"""The composition root: the only module that knows every room."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from revoke_core import logs
from revoke_core.adapters.callback_receivers import HttpCallbackReceivers
from revoke_core.adapters.clock import SystemClock
from revoke_core.adapters.graph.client import MicrosoftGraph
from revoke_core.adapters.graph.identity import GraphIdentity
from revoke_core.adapters.graph.transport import GraphTransport
from revoke_core.adapters.pacing.budget import StoredBudget
from revoke_core.adapters.pacing.gates import StoredGates
from revoke_core.adapters.pacing.row import SharedPaceRow
from revoke_core.adapters.queue import StorageWorkQueue
from revoke_core.adapters.storage import Storage
from revoke_core.adapters.tables.callback_markers import TableCallbackMarkers
from revoke_core.adapters.tables.evidence_store import TableEvidenceStore
from revoke_core.adapters.tables.open_requests import TableOpenRequests
from revoke_core.adapters.tables.protected_list import TableProtectedList
from revoke_core.adapters.tables.retention_store import TableRetentionStore
from revoke_core.adapters.tables.shared_facts import TableSigningKey, TableTokenHistory
from revoke_core.adapters.tables.status_log import TableStatusLog
from revoke_core.adapters.tables.user_index import TableUserIndex
from revoke_core.domain.request import RequestLimits
from revoke_core.entrypoints.http.auth import Callers
from revoke_core.entrypoints.http.context import RouteContext
from revoke_core.entrypoints.http.control import ControlRoutes
from revoke_core.entrypoints.http.links import Links
from revoke_core.entrypoints.http.read import ReadRoutes
from revoke_core.entrypoints.http.response import StatusResponses
from revoke_core.entrypoints.http.submit import SubmitRoutes
from revoke_core.entrypoints.queue import QueueHandlers
from revoke_core.service.engine.finalizer import Finalizer
from revoke_core.service.engine.gated_graph import GatedGraph
from revoke_core.service.engine.late_lookups import LateLookups
from revoke_core.service.engine.lookup import UserLookup
from revoke_core.service.engine.loop import Stages
from revoke_core.service.engine.planner import Planner
from revoke_core.service.engine.protection import ProtectedUsers
from revoke_core.service.engine.sender import Sender
from revoke_core.service.engine.sources import Sources
from revoke_core.service.engine.verifier import Verifier
from revoke_core.service.engine.worker import OperatorLimits, Worker
from revoke_core.service.intake.admission import Admission
from revoke_core.service.intake.control import Controls
from revoke_core.service.intake.submit import Submitter
from revoke_core.service.reading.readiness import ReadinessCheck
from revoke_core.service.reading.status import StatusReader
from revoke_core.service.upkeep.callbacks import Callbacks
from revoke_core.service.upkeep.retention import Retention
from revoke_core.service.upkeep.sweeper import Sweeper
from revoke_core.settings import Settings, read_settings

if TYPE_CHECKING:
    from revoke_core.ports.shared import Clock
    from revoke_core.service.upkeep.evidence import EvidenceReader


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """Everything a trigger may call, and the connections behind it; without ``EVIDENCE`` there is no ``evidence``."""

    submit: SubmitRoutes
    read: ReadRoutes
    control: ControlRoutes
    queue: QueueHandlers
    sweeper: Sweeper
    evidence: EvidenceReader | None
    retention: Retention
    protected: ProtectedUsers
    storage: Storage
    transport: GraphTransport
    identity: GraphIdentity
    receivers: HttpCallbackReceivers
    entra_authentication: bool

    async def read_evidence(self) -> None:
        """Read the evidence that is due, where it is asked for."""
        if self.evidence:
            await self.evidence.read_due()

    async def close(self) -> None:
        """Close every connection; a process that ends needs none of this, a test does."""
        await self.transport.close()
        await self.receivers.close()
        await self.identity.discard_credential()
        await self.storage.close()


class _Parts:
    """The adapters and use cases of one app, each made once; nothing connects before the first use."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.storage = Storage(settings=settings.storage)
        self.log = TableStatusLog(storage=self.storage)
        self.index = TableUserIndex(storage=self.storage)
        # An app that stood still for long ends what it left open.
        self.keep = timedelta(days=settings.retention_days + 2)
        self.open_requests = TableOpenRequests(storage=self.storage, keep=self.keep)
        self.signing_key = TableSigningKey(storage=self.storage)
        self.work_queue = StorageWorkQueue(storage=self.storage)
        pace = SharedPaceRow(storage=self.storage, clock=clock)
        self.gates = StoredGates(row=pace, clock=clock)
        self.budget = StoredBudget(row=pace, clock=clock, quota=settings.graph_writes_per_150s)
        self.identity = GraphIdentity(client_id=settings.client_id, resource=settings.graph_resource, clock=clock)
        self.transport = GraphTransport(endpoint=settings.graph_endpoint, identity=self.identity, clock=clock)
        self.client = MicrosoftGraph(transport=self.transport, identity=self.identity)
        self.graph = GatedGraph(graph=self.client, gates=self.gates, budget=self.budget, clock=clock)
        self.protected = ProtectedUsers(
            users=settings.protected_users,
            group=settings.protected_group,
            graph=self.graph,
            store=TableProtectedList(storage=self.storage),
            clock=clock,
            strict=settings.protection_strict,
        )
        self.receivers = HttpCallbackReceivers()
        self.sources = Sources(log=self.log, graph=self.graph)
        self.lookup = UserLookup(graph=self.graph, protected=self.protected)
        self.worker = self._worker()
        self.submitter = Submitter(
            log=self.log,
            queue=self.work_queue,
            admission=Admission(
                protected=self.protected,
                open_requests=self.open_requests,
                clock=clock,
                most_open=settings.max_open_requests_per_caller,
                refuses_new=settings.requests_refused,
            ),
            worker=self.worker,
            clock=clock,
        )

    def _worker(self) -> Worker:
        """The engine."""
        settings = self.settings
        stages = Stages(
            planner=Planner(
                sources=self.sources,
                lookup=self.lookup,
                log=self.log,
                index=self.index,
                max_users=settings.max_users,
            ),
            late_lookups=LateLookups(lookup=self.lookup, log=self.log, index=self.index, clock=self.clock),
            sender=Sender(
                graph=self.graph,
                gates=self.gates,
                budget=self.budget,
                tokens=TableTokenHistory(storage=self.storage, clock=self.clock),
                protected=self.protected,
                clock=self.clock,
                paused=settings.revoking_paused,
            ),
            verifier=Verifier(graph=self.graph, clock=self.clock),
            finalizer=Finalizer(
                log=self.log,
                open_requests=self.open_requests,
                queue=self.work_queue,
                clock=self.clock,
                evidence=settings.evidence,
            ),
        )
        return Worker(
            log=self.log,
            open_requests=self.open_requests,
            gates=self.gates,
            stages=stages,
            clock=self.clock,
            limits=OperatorLimits(paused=settings.revoking_paused, max_unconfirmed=settings.max_unconfirmed_users),
        )

    def controls(self) -> Controls:
        return Controls(
            log=self.log,
            open_requests=self.open_requests,
            queue=self.work_queue,
            submitter=self.submitter,
            clock=self.clock,
            max_unconfirmed=self.settings.max_unconfirmed_users,
        )

    def readiness(self) -> ReadinessCheck:
        needs_groups = self.settings.protected_group is not None
        return ReadinessCheck(
            graph=self.graph,
            log=self.log,
            queue=self.work_queue,
            protected=self.protected,
            ready=self.storage.ready,
            needs_groups=needs_groups,
            needs_logs=self.settings.evidence,
        )

    def evidence(self) -> EvidenceReader | None:
        if not self.settings.evidence:
            return None
        from revoke_core.adapters.pacing.reports import StoredReportsPace  # noqa: PLC0415 -- most apps read no evidence
        from revoke_core.service.upkeep.evidence import EvidenceReader  # noqa: PLC0415 -- as above

        return EvidenceReader(
            reports=self.client,
            store=TableEvidenceStore(storage=self.storage, keep=self.keep),
            log=self.log,
            pace=StoredReportsPace(storage=self.storage, clock=self.clock),
            clock=self.clock,
        )

    def callbacks(self, context: RouteContext) -> Callbacks:
        return Callbacks(
            log=self.log,
            markers=TableCallbackMarkers(storage=self.storage),
            receivers=self.receivers,
            document=context.document,
            queue=self.work_queue,
            clock=self.clock,
            rules=self.settings.callbacks,
        )

    def retention(self) -> Retention:
        store = TableRetentionStore(storage=self.storage, log=self.log, index=self.index)
        return Retention(store=store, clock=self.clock, keep=timedelta(days=self.settings.retention_days))


def build(settings: Settings, *, clock: Clock | None = None) -> App:
    """Put the app together; nothing connects, and no heavy library is imported, before the first use."""
    parts = _Parts(settings, clock or SystemClock())
    if settings.entra_authentication and not settings.authentication_in_front:
        logs.event("entra_authentication_not_in_front", level=logging.WARNING)
    links = Links(base_url=settings.public_base_url, signing_key=parts.signing_key, clock=parts.clock)
    context = RouteContext(
        callers=Callers(
            entra=settings.entra_authentication,
            in_front=settings.authentication_in_front,
            signing_key=parts.signing_key,
        ),
        reader=StatusReader(log=parts.log, index=parts.index, budget=parts.budget, clock=parts.clock),
        responses=StatusResponses(links=links, clock=parts.clock),
        ready=parts.storage.ready,
    )
    limits = RequestLimits(
        max_users=settings.max_users,
        require_reason=settings.require_reason,
        callback_hosts=settings.callbacks.hosts,
    )
    return App(
        submit=SubmitRoutes(
            context=context,
            submitter=parts.submitter,
            sources=parts.sources,
            clock=parts.clock,
            limits=limits,
            in_call_limit=settings.in_call_limit,
        ),
        read=ReadRoutes(context=context, links=links, readiness=parts.readiness()),
        control=ControlRoutes(context=context, controls=parts.controls()),
        queue=QueueHandlers(
            submitter=parts.submitter,
            worker=parts.worker,
            queue=parts.work_queue,
            clock=parts.clock,
            limits=limits,
            ready=parts.storage.ready,
            callbacks=parts.callbacks(context),
        ),
        sweeper=Sweeper(
            open_requests=parts.open_requests,
            queue=parts.work_queue,
            clock=parts.clock,
            paused=settings.revoking_paused,
        ),
        evidence=parts.evidence(),
        retention=parts.retention(),
        protected=parts.protected,
        storage=parts.storage,
        transport=parts.transport,
        identity=parts.identity,
        receivers=parts.receivers,
        entra_authentication=settings.entra_authentication,
    )


@lru_cache(maxsize=1)
def app() -> App:
    """The app of this process, built from its environment at the first call; ``SettingsError`` if that is wrong."""
    logs.quiet_libraries()
    return build(read_settings(os.environ))
