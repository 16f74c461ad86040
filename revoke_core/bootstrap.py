"""The composition root: the only place that knows every room."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from revoke_core import logs
from revoke_core.adapters.archive import TableArchive
from revoke_core.adapters.clock import SystemClock
from revoke_core.adapters.gated_graph import GatedGraph
from revoke_core.adapters.graph import MicrosoftGraph
from revoke_core.adapters.graph_wire import GraphWire
from revoke_core.adapters.identity import GraphIdentity
from revoke_core.adapters.ledger import TableLedger
from revoke_core.adapters.pace_board import PaceBoard
from revoke_core.adapters.pace_budget import StoredBudget
from revoke_core.adapters.pace_gates import StoredGates
from revoke_core.adapters.status_log import TableStatusLog
from revoke_core.adapters.storage import Storage
from revoke_core.adapters.user_index import TableUserIndex
from revoke_core.adapters.work_queue import StorageWorkQueue
from revoke_core.domain.request import Limits
from revoke_core.entrypoints.callers import Callers
from revoke_core.entrypoints.control_door import ControlDoor
from revoke_core.entrypoints.http_door import HttpDoor
from revoke_core.entrypoints.links import Links
from revoke_core.entrypoints.queue_door import QueueDoor
from revoke_core.entrypoints.status_answers import StatusAnswers
from revoke_core.service.control import Controls
from revoke_core.service.planning import Planner
from revoke_core.service.protection import ProtectedUsers
from revoke_core.service.proving import Prover
from revoke_core.service.readiness import ReadinessCheck
from revoke_core.service.reading import Reader
from revoke_core.service.retention import Retention
from revoke_core.service.revoking import Revoker
from revoke_core.service.sources import Sources
from revoke_core.service.submitting import Submitter
from revoke_core.service.sweeping import Sweeper
from revoke_core.service.worker import Limits as WorkLimits
from revoke_core.service.worker import Worker
from revoke_core.settings import Settings, read_settings

if TYPE_CHECKING:
    from revoke_core.ports import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """Everything a trigger may call."""

    storage: Storage
    http: HttpDoor
    control: ControlDoor
    queue: QueueDoor
    sweeper: Sweeper
    retention: Retention
    wire: GraphWire
    identity: GraphIdentity
    entra_authentication: bool

    async def close(self) -> None:
        """Close every connection; a process that ends needs none of this, a test does."""
        await self.wire.close()
        await self.identity.forget()
        await self.storage.close()


def build(settings: Settings, *, clock: Clock | None = None) -> App:
    """Put the app together; nothing connects, and no heavy library is imported, before the first use."""
    clock = clock or SystemClock()
    storage = Storage(settings=settings.storage)
    log = TableStatusLog(storage=storage)
    index = TableUserIndex(storage=storage)
    ledger = TableLedger(storage=storage, clock=clock)
    board = PaceBoard(storage=storage, clock=clock)
    gates = StoredGates(board=board, clock=clock)
    queue = StorageWorkQueue(storage=storage)
    identity = GraphIdentity(client_id=settings.client_id, resource=settings.graph_resource, clock=clock)
    wire = GraphWire(endpoint=settings.graph_endpoint, identity=identity, clock=clock)
    graph = GatedGraph(graph=MicrosoftGraph(wire=wire, identity=identity), gates=gates)
    protected = ProtectedUsers(users=settings.protected_users, group=settings.protected_group, graph=graph, clock=clock)
    budget = StoredBudget(board=board, clock=clock, quota=settings.graph_writes_per_150s)
    sources = Sources(log=log, graph=graph)
    planner = Planner(graph=graph, protected=protected)
    worker = Worker(
        log=log,
        index=index,
        ledger=ledger,
        gates=gates,
        budget=budget,
        queue=queue,
        sources=sources,
        planner=planner,
        revoker=Revoker(graph=graph, gates=gates, budget=budget, ledger=ledger, protected=protected, clock=clock),
        prover=Prover(graph=graph),
        clock=clock,
        limits=WorkLimits(
            max_users=settings.max_users,
            max_unconfirmed=settings.max_unconfirmed_users,
            paused=settings.revoking_paused,
        ),
    )
    submitter = Submitter(
        log=log, ledger=ledger, queue=queue, planner=planner, worker=worker, budget=budget, clock=clock
    )
    limits = Limits(max_users=settings.max_users, require_reason=settings.require_reason)
    if settings.entra_authentication and not settings.authentication_in_front:
        logs.event("entra_authentication_not_in_front", level=logging.WARNING)
    needs_groups = settings.protected_group is not None
    reader = Reader(log=log, index=index, budget=budget, clock=clock)
    links = Links(base_url=settings.public_base_url, ledger=ledger, clock=clock)
    answers = StatusAnswers(links=links, clock=clock)
    callers = Callers(entra=settings.entra_authentication, guarded=settings.authentication_in_front, ledger=ledger)
    return App(
        storage=storage,
        http=HttpDoor(
            submitter=submitter,
            answers=answers,
            reader=reader,
            sources=sources,
            readiness=ReadinessCheck(graph=graph, ledger=ledger, queue=queue, needs_groups=needs_groups),
            links=links,
            ledger=ledger,
            callers=callers,
            clock=clock,
            limits=limits,
            in_call_limit=settings.in_call_limit,
            ready=storage.ready,
        ),
        control=ControlDoor(
            controls=Controls(
                log=log,
                queue=queue,
                submitter=submitter,
                clock=clock,
                max_unconfirmed=settings.max_unconfirmed_users,
            ),
            reader=reader,
            answers=answers,
            callers=callers,
            ready=storage.ready,
        ),
        queue=QueueDoor(
            submitter=submitter, worker=worker, queue=queue, clock=clock, limits=limits, ready=storage.ready
        ),
        sweeper=Sweeper(log=log, ledger=ledger, queue=queue, clock=clock),
        retention=Retention(
            archive=TableArchive(storage=storage, log=log, index=index),
            clock=clock,
            keep=timedelta(days=settings.retention_days),
        ),
        wire=wire,
        identity=identity,
        entra_authentication=settings.entra_authentication,
    )


@lru_cache(maxsize=1)
def app() -> App:
    """The app of this process, built from its environment at the first call; ``SettingsError`` if that is wrong."""
    logs.quiet_libraries()
    return build(read_settings(os.environ))
