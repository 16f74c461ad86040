"""Loads ``function_app.py`` into Microsoft's Python runtime and calls its functions."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import azure_functions_runtime as worker

from local.host.messages import Message, ParameterBinding, Protocol, StatusResult, TypedData

if TYPE_CHECKING:
    from pathlib import Path


class AppFailedError(RuntimeError):
    """The app could not be loaded or served; the message has the reason, and the app's own stack if any."""


@dataclass(frozen=True, kw_only=True)
class Function:
    """One function of the app with its bindings, as the runtime describes them."""

    id: str
    name: str
    trigger: dict[str, Any]
    outputs: tuple[dict[str, Any], ...] = ()

    @property
    def kind(self) -> str:
        """The trigger: ``httpTrigger``, ``queueTrigger`` or ``timerTrigger``."""
        return str(self.trigger["type"])


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What an invocation came to; ``error`` and ``stack`` are the exception's, never shown to a caller."""

    ok: bool
    returned: TypedData | None = None
    outputs: tuple[ParameterBinding, ...] = ()
    error: str = ""
    stack: str = ""


class Runtime:
    """One app in this process: the runtime's function table is global, so there can be no second."""

    def __init__(self, functions: list[Function]) -> None:
        self.functions = functions

    @classmethod
    async def load(cls, folder: Path) -> Runtime:
        """Import and index the app; ``AppFailedError`` when it cannot be."""
        if not (folder / "function_app.py").is_file():
            raise AppFailedError(f"There is no function_app.py in {folder}; --app names another folder.")
        sys.path.insert(0, str(folder))
        worker.start_threadpool_executor()
        start = Message(capabilities={}, function_app_directory=str(folder))
        request = Message(
            request=Message(worker_init_request=start), properties={"host": "127.0.0.1", "protos": Protocol()}
        )
        answer = await worker.worker_init_request(request)
        if answer.result.status != StatusResult.Success:
            problem = answer.result.exception
            raise AppFailedError(f"{problem.message}\n{problem.stack_trace}")
        found = (await worker.functions_metadata_request(None)).function_metadata_results or []
        return cls([_function(entry) for entry in found])

    async def call(
        self,
        function: Function,
        data: TypedData,
        *,
        invocation_id: str,
        metadata: dict[str, TypedData] | None = None,
        traceparent: str = "",
    ) -> Outcome:
        """Invoke a function; exceptions of the app are an outcome, not raised."""
        invocation = Message(
            invocation_id=invocation_id,
            function_id=function.id,
            input_data=[ParameterBinding(name=function.trigger["name"], data=data)],
            trigger_metadata=metadata or {},
            trace_context=Message(trace_parent=traceparent, trace_state="", attributes={}),
            retry_context=Message(retry_count=0, max_retry_count=0, exception=None),
        )
        # What the worker's own dispatcher does, so that log lines of async functions carry the id too.
        token = worker.invocation_id_cv.set(invocation_id)
        try:
            request = Message(request=Message(invocation_request=invocation), properties={})
            answer = await worker.invocation_request(request)
        finally:
            worker.invocation_id_cv.reset(token)
        if answer.result.status != StatusResult.Success:
            problem = answer.result.exception
            return Outcome(ok=False, error=str(problem.message), stack=str(problem.stack_trace))
        return Outcome(ok=True, returned=answer.return_value, outputs=tuple(answer.output_data))

    @staticmethod
    def close() -> None:
        """End the runtime's threads; waits for the functions that run in them."""
        worker.stop_threadpool_executor()


def _function(entry: Any) -> Function:
    bindings = [json.loads(binding) for binding in entry.raw_bindings]
    trigger = next(binding for binding in bindings if str(binding["type"]).endswith("Trigger"))
    outputs = tuple(binding for binding in bindings if str(binding.get("direction", "")).upper() == "OUT")
    return Function(id=entry.function_id, name=entry.name, trigger=trigger, outputs=outputs)
