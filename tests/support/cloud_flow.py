"""An emulated Power Automate client: a cloud flow whose actions call the operations of the custom connector.

The connector puts the connection's key on every call it makes itself. A 202 that it follows is polled through
``Location`` alone: without the key, without any header of the call. With ``DisableAsyncPattern`` nothing is followed.
"""

from __future__ import annotations

import asyncio
import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from workflow_engine import FAILED, HURRY, SUCCEEDED, NotEmulatedError, Run
from workflow_language import as_text, evaluated

if TYPE_CHECKING:
    from aiohttp import ClientSession
    from workflow_language import Functions

FOLDER = Path(__file__).resolve().parents[2] / "integrations" / "power-automate"
OPTIONS = {"operationOptions": "DisableAsyncPattern"}
SECONDS = {"Second": 1, "Minute": 60, "Hour": 3600}


def definition() -> dict[str, Any]:
    """The shipped flow; a copy, which a test may change."""
    flow: dict[str, Any] = json.loads((FOLDER / "flow" / "definition.json").read_text())
    return copy.deepcopy(flow["properties"]["definition"])


def operations() -> dict[str, dict[str, Any]]:
    """The connector's operations by their id, each with its ``method`` and ``path``."""
    swagger = json.loads((FOLDER / "apiDefinition.swagger.json").read_text())
    return {
        operation["operationId"]: operation | {"method": method.upper(), "path": swagger["basePath"].rstrip("/") + path}
        for path, methods in swagger["paths"].items()
        for method, operation in methods.items()
    }


class CloudFlow(Run):
    """One run of a cloud flow whose connection leads to ``root`` with ``key``."""

    def __init__(self, flow: dict[str, Any], session: ClientSession, *, root: str, key: str) -> None:
        super().__init__(flow, {"$authentication": None, "$connections": {}}, session)
        self._root = root
        self._key = {"x-functions-key": key}
        self._operations = operations()

    async def _do_openapiconnection(self, action: dict[str, Any], functions: Functions) -> dict[str, Any]:
        if action.get("operationOptions", OPTIONS["operationOptions"]) != OPTIONS["operationOptions"]:
            raise NotEmulatedError(f"operationOptions {action['operationOptions']}")
        inputs = evaluated(action["inputs"], functions)
        operation = self._operations[inputs["host"]["operationId"]]
        uri, headers, data = self._call(operation, inputs["parameters"])
        answer = await self._sent(operation["method"], uri, headers | self._key, data, {})
        while answer and answer["statusCode"] == 202 and "operationOptions" not in action:
            await asyncio.sleep(float(answer["headers"]["Retry-After"]) * HURRY)
            answer = await self._sent("GET", answer["headers"]["Location"], {}, None, {})
        if answer is None or answer["statusCode"] >= 400:
            return {"status": FAILED, "outputs": answer}
        if "paginationPolicy" in action.get("runtimeConfiguration", {}):
            await self._add_pages(answer["body"], operation["x-ms-pageable"]["nextLinkName"])
        return {"status": SUCCEEDED, "outputs": answer}

    def _call(self, operation: dict[str, Any], given: dict[str, Any]) -> tuple[str, dict[str, str], str | None]:
        """Address, headers and body of an operation's call; a parameter that it does not have is an error."""
        path, query, headers, body = operation["path"], {}, {}, {}
        places = {one["name"]: one["in"] for one in operation["parameters"]}
        for name, value in given.items():
            place = "body" if name.startswith("body/") else places[name]
            if place == "path":
                path = path.replace(f"{{{name}}}", quote(as_text(value), safe=""))
            elif place == "query":
                query[name] = as_text(value)
            elif place == "header":
                headers[name] = as_text(value)
            else:
                body[name.removeprefix("body/")] = value
        headers |= {"Content-Type": "application/json"} if body else {}
        uri = f"{self._root}{path}" + (f"?{urlencode(query)}" if query else "")
        return uri, headers, json.dumps(body) if body else None

    async def _add_pages(self, body: dict[str, Any], link: str) -> None:
        """Append the entries of all further pages, as the platform's pagination does."""
        page = body
        while link in page:
            answer = await self._sent("GET", page[link], self._key, None, {})
            page = answer["body"] if answer else {}
            body["value"] += page["value"]
        body.pop(link, None)

    async def _do_until(self, action: dict[str, Any], functions: Functions) -> dict[str, Any]:
        for _ in range(action["limit"]["count"]):
            if await self._actions(action["actions"], functions) == FAILED:
                return {"status": FAILED}
            if evaluated(action["expression"], functions) is True:
                return {"status": SUCCEEDED}
        return {"status": FAILED, "error": {"code": "LoopLimitReached"}}

    async def _do_wait(self, action: dict[str, Any], functions: Functions) -> dict[str, Any]:
        interval = evaluated(action["inputs"]["interval"], functions)
        await asyncio.sleep(interval["count"] * SECONDS[interval["unit"]] * HURRY)
        return {"status": SUCCEEDED}
