"""An emulated Logic Apps engine: it carries out a shipped definition from its trigger to its end, over real sockets.

It knows the actions that the definitions in ``integrations/`` use, and refuses any other action or member. The rules:

- an action runs when all actions in its ``runAfter`` have one of the statuses named there, otherwise it is skipped;
- an HTTP action is repeated after 408, 429, 5xx and lost connections, and follows a 202 through ``Location``;
- a scope, a loop and the whole run fail where a branch ends in a failed action, or in one skipped because of one.

https://learn.microsoft.com/azure/logic-apps/error-exception-handling
https://learn.microsoft.com/azure/logic-apps/logic-apps-workflow-actions-triggers
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from aiohttp import ClientError
from workflow_language import LAZY, LanguageError, as_text, evaluated

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aiohttp import ClientResponse, ClientSession
    from workflow_language import Functions

SUCCEEDED, FAILED, SKIPPED, TIMED_OUT = "Succeeded", "Failed", "Skipped", "TimedOut"
COMMON = {"type", "inputs", "runAfter", "description"}
ACTIONS = {
    "Http": {"limit", "runtimeConfiguration"},
    "ApiConnection": set[str](),
    "ApiConnectionWebhook": {"limit"},
    "If": {"expression", "actions", "else"},
    "Foreach": {"foreach", "actions", "runtimeConfiguration"},
    # Known to the engines that extend this one.
    "OpenApiConnection": {"operationOptions", "runtimeConfiguration"},
    "Response": {"kind"},
    "Until": {"expression", "limit", "actions"},
    "Wait": set[str](),
    "Compose": set[str](),
    "Select": set[str](),
    "Query": set[str](),
    "Table": set[str](),
    "InitializeVariable": set[str](),
    "AppendToArrayVariable": set[str](),
    "Terminate": set[str](),
}
SCOPES = ("If", "Foreach")
HTTP_INPUTS = {"method", "uri", "headers", "body", "authentication", "retryPolicy"}
# Real pauses are this much shorter than the ones that the answers ask for; limits count the latter.
HURRY = 0.02


class NotEmulatedError(Exception):
    """The definition uses something that this engine does not know."""


class _TerminatedError(Exception):
    def __init__(self, status: str, error: Any) -> None:
        super().__init__(status)
        self.status = status
        self.error = error


@dataclass
class Connector:
    """The connections of a run: records each call; answers with what a test has prepared, else with 200 ``{}``."""

    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    calls: list[dict[str, Any]] = field(default_factory=list)

    def call(self, inputs: dict[str, Any]) -> tuple[int, Any]:
        """One call; ``answers`` knows ``method path`` up to the path's first parameter."""
        self.calls.append(inputs)
        name = f"{inputs.get('method', 'post')} {inputs['path']}"
        return next((self.answers[known] for known in self.answers if name.startswith(known)), (200, {}))

    def bodies(self, method: str, path: str) -> list[Any]:
        """What was sent to one route."""
        return [call["body"] for call in self.calls if (call.get("method"), call["path"]) == (method, path)]


@dataclass
class Run:
    """One run of a definition.

    ``tokens`` gives the headers that a managed identity's token for an audience becomes; ``keeps_headers`` says whether
    the headers of a call are sent when its ``Location`` is polled (Logic Apps does, Power Automate does not).
    ``json_types`` are the content types that are read as JSON; others reach expressions in an envelope of base64.
    ``is_lazy`` says whether an ``if`` leaves the value unread that it does not take.
    """

    definition: dict[str, Any]
    parameters: Mapping[str, Any]
    session: ClientSession
    connector: Connector = field(default_factory=Connector)
    tokens: Callable[[str], dict[str, str]] | None = None
    keeps_headers: bool = False
    json_types: tuple[str, ...] = ("application/json",)
    is_lazy: bool = False
    name_of_run: str = field(default_factory=lambda: f"0858{uuid4().hex}")
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    variables: dict[str, Any] = field(default_factory=dict)
    status: str = ""
    error: Any = None

    async def start(self, trigger_body: Any) -> Run:
        """Carry out the whole run; ``status`` and ``error`` say how it ended."""
        functions: dict[str, Any] = {
            "triggerBody": lambda: trigger_body,
            "parameters": lambda name: self.parameters[name],
            "workflow": lambda: {"name": "the-workflow", "run": {"name": self.name_of_run}},
            "variables": lambda name: self.variables[name],
            "actions": self._result,
            "outputs": lambda name: self._result(name).get("outputs"),
            "body": lambda name: (self._result(name).get("outputs") or {}).get("body"),
            "listCallbackUrl": lambda: "https://callback.invalid/run",
        }
        if self.is_lazy:
            functions[LAZY] = None
        try:
            self.status = await self._actions(self.definition["actions"], functions)
        except _TerminatedError as terminated:
            self.status, self.error = terminated.status, terminated.error
        return self

    def _result(self, name: str) -> dict[str, Any]:
        if name not in self.results:
            raise KeyError(f"{name} has not run")
        return self.results[name]

    async def _actions(self, actions: dict[str, Any], functions: Functions) -> str:
        """Carry out the actions of one scope in their order; the scope's status."""
        waiting = dict(actions)
        while waiting:
            ready = [name for name, action in waiting.items() if not set(action.get("runAfter", {})) & set(waiting)]
            if not ready:
                raise NotEmulatedError(f"{list(waiting)} wait for each other")
            for name in ready:
                await self._action(name, waiting.pop(name), functions)
        followed = {before for action in actions.values() for before in action.get("runAfter", {})}
        ends = [self._end(name, actions) for name in actions if name not in followed]
        return FAILED if FAILED in ends else SUCCEEDED

    def _end(self, name: str, actions: dict[str, Any]) -> str:
        status = self.results[name]["status"]
        if status in (FAILED, TIMED_OUT):
            return FAILED
        if status == SUCCEEDED:
            return SUCCEEDED
        ends = [self._end(before, actions) for before in actions[name].get("runAfter", {})]
        return FAILED if FAILED in ends else SUCCEEDED

    async def _action(self, name: str, action: dict[str, Any], functions: Functions) -> None:
        kind = action["type"]
        if kind not in ACTIONS or (unknown := set(action) - COMMON - ACTIONS[kind]):
            raise NotEmulatedError(f"{name}: {kind} {sorted(unknown) if kind in ACTIONS else ''}")
        before = action.get("runAfter", {})
        if not all(self.results[one]["status"] in allowed for one, allowed in before.items()):
            self._skip(name, action)
            return
        carry_out: Callable[..., Awaitable[dict[str, Any]]] | None = getattr(self, f"_do_{kind.lower()}", None)
        if carry_out is None:
            raise NotEmulatedError(f"{name}: {kind}")
        try:
            self.results[name] = await carry_out(action, functions)
        except LanguageError:
            # As the real engine does; but only where the definition provides for it, lest a mistake goes unnoticed.
            provided = [one for _, one in named_actions(self.definition["actions"]) if name in one.get("runAfter", {})]
            if kind in SCOPES or not any(FAILED in one["runAfter"][name] for one in provided):
                raise
            self.results[name] = {"status": FAILED, "error": {"code": "ExpressionEvaluationFailed"}}

    def _skip(self, name: str, action: dict[str, Any]) -> None:
        self.results[name] = {"status": SKIPPED}
        for nested in (action.get("actions", {}), action.get("else", {}).get("actions", {})):
            for inner, inner_action in nested.items():
                self._skip(inner, inner_action)

    # ---- Calls

    async def _do_http(self, action: dict[str, Any], functions: Functions) -> dict[str, Any]:
        if unknown := set(action["inputs"]) - HTTP_INPUTS:
            raise NotEmulatedError(f"Http {sorted(unknown)}")
        inputs = evaluated(action["inputs"], functions)
        headers = {name: as_text(value) for name, value in inputs.get("headers", {}).items()}
        if authentication := inputs.get("authentication"):
            if authentication["type"] != "ManagedServiceIdentity" or not self.tokens:
                raise NotEmulatedError(f"authentication {authentication}")
            headers |= self.tokens(authentication["audience"])
        sent = headers | {"x-ms-workflow-run-id": self.name_of_run, "x-ms-workflow-name": "the-workflow"}
        data = None
        if "body" in inputs:
            is_text = isinstance(inputs["body"], str)
            data = inputs["body"] if is_text else json.dumps(inputs["body"])
            sent.setdefault("Content-Type", "text/plain" if is_text else "application/json")
        answer = await self._sent(inputs["method"], inputs["uri"], sent, data, inputs.get("retryPolicy", {}))
        left = _seconds(action["limit"]["timeout"]) if "limit" in action else 90 * 86400
        while answer and answer["statusCode"] == 202 and "Location" in answer["headers"]:
            pause = float(answer["headers"].get("Retry-After", "20"))
            left -= pause
            if left < 0:
                return {"status": TIMED_OUT, "error": {"code": "ActionTimedOut"}}
            await asyncio.sleep(pause * HURRY)
            kept = headers if self.keeps_headers else {}
            answer = await self._sent("GET", answer["headers"]["Location"], kept, None, inputs.get("retryPolicy", {}))
        if answer is None:
            return {"status": FAILED, "error": {"code": "NoResponse", "message": "The server did not answer."}}
        return {"status": SUCCEEDED if answer["statusCode"] < 400 else FAILED, "outputs": answer}

    async def _sent(
        self, method: str, uri: str, headers: dict[str, str], data: str | None, policy: dict[str, Any]
    ) -> dict[str, Any] | None:
        """The answer to one call, repeated as its retry policy says; ``None`` when there is none."""
        tries = 1 + (policy.get("count", 4) if policy.get("type") != "none" else 0)
        pause = _seconds(policy.get("interval", "PT7S"))
        answer: dict[str, Any] | None = None
        for _ in range(tries):
            self.requests.append((method, uri, headers))
            try:
                async with self.session.request(
                    method, uri, headers=headers, data=data, allow_redirects=False
                ) as response:
                    answer = {
                        "statusCode": response.status,
                        "headers": dict(response.headers),
                        "body": await self._read(response),
                    }
            except ClientError:
                answer = None
            if answer and answer["statusCode"] not in (408, 429) and answer["statusCode"] < 500:
                return answer
            await asyncio.sleep(pause * HURRY)
        return answer

    async def _read(self, response: ClientResponse) -> Any:
        content = await response.read()
        if not content:
            return None
        if response.content_type in self.json_types:
            return json.loads(content)
        if response.content_type.startswith("text/"):
            return content.decode()
        return {"$content-type": response.content_type, "$content": base64.b64encode(content).decode()}

    async def _do_apiconnection(self, action: dict[str, Any], functions: Functions) -> dict[str, Any]:
        status, body = self.connector.call(evaluated(action["inputs"], functions))
        outputs = {"statusCode": status, "headers": {}, "body": body}
        return {"status": SUCCEEDED if status < 400 else FAILED, "outputs": outputs}

    async def _do_apiconnectionwebhook(self, action: dict[str, Any], functions: Functions) -> dict[str, Any]:
        """Subscribe; what the test has prepared is what arrives at the callback, and 408 that nothing does."""
        status, body = self.connector.call(evaluated(action["inputs"], functions))
        if status == 408:
            return {"status": TIMED_OUT}
        return {"status": SUCCEEDED, "outputs": {"statusCode": status, "headers": {}, "body": body}}

    # ---- Control

    async def _do_if(self, action: dict[str, Any], functions: Functions) -> dict[str, Any]:
        holds = _holds(action["expression"], functions)
        branches = (action["actions"], action.get("else", {}).get("actions", {}))
        taken, left = branches if holds else branches[::-1]
        for name, inner in left.items():
            self._skip(name, inner)
        return {"status": await self._actions(taken, functions)}

    async def _do_foreach(self, action: dict[str, Any], functions: Functions) -> dict[str, Any]:
        items = evaluated(action["foreach"], functions)
        if not isinstance(items, list):
            return {"status": FAILED, "error": {"code": "ExpressionEvaluationFailed"}}
        (loop,) = [name for name, known in named_actions(self.definition["actions"]) if known is action]
        statuses = []
        for item in items:

            def current(name: str, item: Any = item) -> Any:
                if name != loop:
                    raise KeyError(f"{name} is not the loop {loop}")
                return item

            statuses.append(await self._actions(action["actions"], dict(functions) | {"items": current}))
        return {"status": FAILED if FAILED in statuses else SUCCEEDED}

    async def _do_terminate(self, action: dict[str, Any], functions: Functions) -> dict[str, Any]:
        inputs = evaluated(action["inputs"], functions)
        raise _TerminatedError(inputs["runStatus"], inputs.get("runError"))

    # ---- Data

    async def _do_compose(self, action: dict[str, Any], functions: Functions) -> dict[str, Any]:
        return {"status": SUCCEEDED, "outputs": evaluated(action["inputs"], functions)}

    async def _do_select(self, action: dict[str, Any], functions: Functions) -> dict[str, Any]:
        values = evaluated(action["inputs"]["from"], functions)
        rows = [evaluated(action["inputs"]["select"], _with_item(functions, value)) for value in _array(values)]
        return {"status": SUCCEEDED, "outputs": {"body": rows}}

    async def _do_query(self, action: dict[str, Any], functions: Functions) -> dict[str, Any]:
        values = _array(evaluated(action["inputs"]["from"], functions))
        where = action["inputs"]["where"]
        kept = [value for value in values if evaluated(where, _with_item(functions, value)) is True]
        return {"status": SUCCEEDED, "outputs": {"body": kept}}

    async def _do_table(self, action: dict[str, Any], functions: Functions) -> dict[str, Any]:
        inputs = evaluated(action["inputs"], functions)
        if set(inputs) != {"from", "format"} or inputs["format"] != "HTML":
            raise NotEmulatedError(f"Table {inputs}")
        rows = _array(inputs["from"])
        lines = ["".join(f"<td>{escape(as_text(cell))}</td>" for cell in row.values()) for row in rows]
        head = "".join(f"<th>{escape(name)}</th>" for name in (rows[0] if rows else {}))
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(f'<tr>{line}</tr>' for line in lines)}</tbody>"
        return {"status": SUCCEEDED, "outputs": {"body": f"{table}</table>"}}

    async def _do_initializevariable(self, action: dict[str, Any], functions: Functions) -> dict[str, Any]:
        for variable in action["inputs"]["variables"]:
            self.variables[variable["name"]] = evaluated(variable["value"], functions)
        return {"status": SUCCEEDED}

    async def _do_appendtoarrayvariable(self, action: dict[str, Any], functions: Functions) -> dict[str, Any]:
        inputs = evaluated(action["inputs"], functions)
        self.variables[inputs["name"]].append(inputs["value"])
        return {"status": SUCCEEDED}


def named_actions(actions: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Every action of a definition with its name, nested ones too."""
    found = list(actions.items())
    for action in actions.values():
        for nested in (action.get("actions", {}), action.get("else", {}).get("actions", {})):
            found += named_actions(nested)
    return found


def _array(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise NotEmulatedError(f"an array is wanted, not {value!r}")
    return value


def _with_item(functions: Functions, value: Any) -> Functions:
    return dict(functions) | {"item": lambda: value}


def _holds(expression: Any, functions: Functions) -> bool:
    """A condition in its object form: ``and``, ``or``, ``not``, ``equals``."""
    ((name, given),) = expression.items()
    if name in ("and", "or"):
        found = [_holds(one, functions) for one in given]
        return all(found) if name == "and" else any(found)
    if name == "not":
        return not _holds(given, functions)
    left, right = evaluated(given, functions)
    if name == "equals":
        return type(left) is type(right) and bool(left == right)
    raise NotEmulatedError(f"condition {name}")


def _seconds(duration: str) -> float:
    """Seconds of an ISO 8601 duration of days, hours, minutes and seconds."""
    found = re.fullmatch(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?", duration)
    if not found:
        raise NotEmulatedError(f"duration {duration}")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return days * 86400 + hours * 3600 + minutes * 60 + seconds
