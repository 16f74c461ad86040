"""The simulator as a web server: Graph under ``/v1.0``, the identity endpoint, and the control routes."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from aiohttp import web

from local.simulator.batch import answered, parsed_batch
from local.simulator.control import control_routes
from local.simulator.errors import GraphError, bad_request, method_not_allowed, unauthorized
from local.simulator.exchange import JSON_TYPE, Answer, Call, Mishap
from local.simulator.gateway import mishap_of
from local.simulator.operations import new_request_id
from local.simulator.tenant import Tenant

_LARGEST_BODY: Final = 16 * 1024 * 1024
# A filter of 4,000 characters takes up to three times as many in a URL.
_LONGEST_LINE: Final = 32 * 1024
_DIAGNOSTIC: Final = (
    '{"ServerInfo":{"DataCenter":"Simulated","Slice":"E","Ring":"5","ScaleUnit":"000","RoleInstance":"SIM00000000"}}'
)


class Server:
    """Turns HTTP into calls of the gateway and back."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant

    def application(self) -> web.Application:
        """The web application."""
        application = web.Application(client_max_size=_LARGEST_BODY)
        application.add_routes(control_routes(self._tenant))
        application.router.add_get("/msi/token", self._token)
        application.router.add_route("*", "/{path:.*}", self._graph)
        return application

    async def _token(self, request: web.Request) -> web.StreamResponse:
        action = self._tenant.faults.action_for(scope="token", method="GET", path="/msi/token")
        if action:
            mishap = mishap_of(action)
            await asyncio.sleep(mishap.delay + mishap.hang)
            if mishap.drop:
                return _dropped(request)
            if "status" in action:
                body = action.get("body") or {"statusCode": action["status"], "message": "Scripted."}
                return web.json_response(body, status=int(action["status"]), headers=action.get("headers"))
        header = request.headers.get("X-IDENTITY-HEADER")
        status, content = self._tenant.identity.answer(dict(request.query), header)
        return web.json_response(content, status=status)

    async def _graph(self, request: web.Request) -> web.StreamResponse:
        if self._tenant.settings.latency_ms:
            await asyncio.sleep(self._tenant.settings.latency_ms / 1000)
        request_id = new_request_id()
        # The raw path: a decoded one has lost the difference between %23 and #.
        target = request.raw_path
        call = Call(
            method=request.method,
            target=target.removeprefix("/v1.0"),
            headers={name.lower(): value for name, value in request.headers.items()},
            origin=f"{request.scheme}://{request.host}",
            request_id=request_id,
            client_request_id=request.headers.get("client-request-id", request_id),
            via="single",
            body=await request.read(),
        )
        try:
            self._admit(call, target)
            is_batch = call.target.partition("?")[0] == "/$batch"
            answer = self._batch(call) if is_batch else self._single(call)
        except GraphError as refusal:
            self._tenant.gateway.note_refused_token(call, refusal)
            answer = self._tenant.gateway._refused(call, refusal)  # noqa: SLF001 -- the gateway writes all error bodies
        return await self._sent(request, call, answer)

    def _admit(self, call: Call, target: str) -> None:
        if not target.startswith("/v1.0/"):
            raise bad_request("Invalid version.")
        scheme, _, token = call.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise unauthorized("Access token is empty.")
        call.grant = self._tenant.identity.grant(token)
        if call.grant is None:
            raise unauthorized("Access token has expired or is not yet valid.")

    def _single(self, call: Call) -> Answer:
        self._tenant.gateway.gatekeeper.arrived(call.kind)
        return self._tenant.gateway.answer(call)

    def _batch(self, call: Call) -> Answer:
        if call.method != "POST":
            raise method_not_allowed()
        items = parsed_batch(call.body or b"")
        gateway = self._tenant.gateway
        gateway.counts["/$batch"] = gateway.counts.get("/$batch", 0) + 1
        action = self._tenant.faults.action_for(scope="envelope", method="POST", path="/$batch")
        writes = any(item["method"].upper() != "GET" for item in items)
        gateway.gatekeeper.arrived("write" if writes else "read")
        if action and (action.get("drop") == "before" or {"status", "raw", "redirect"} & set(action)):
            if action.get("done"):
                answered(items, call, gateway.answer, seed=self._tenant.settings.shuffle_seed)
            scripted = gateway._scripted(call, action)  # noqa: SLF001 -- as above
            scripted.mishap = mishap_of(action)
            gateway.note_sent_away("write" if writes else "read", scripted)
            return scripted
        responses, mishap = answered(items, call, gateway.answer, seed=self._tenant.settings.shuffle_seed)
        if action:
            mishap.merge(mishap_of(action))
            responses = responses[int(action.get("missingItems", 0)) :]
            responses += responses[: int(action.get("duplicateItems", 0))]
        failed = any(response["status"] >= 400 for response in responses)  # noqa: PLR2004 -- HTTP's own range
        status = self._tenant.settings.batch_failed_status if failed else 200
        return Answer(status=status, body={"responses": responses}, mishap=mishap)

    async def _sent(self, request: web.Request, call: Call, answer: Answer) -> web.StreamResponse:
        mishap = answer.mishap or Mishap()
        await asyncio.sleep(mishap.delay + mishap.hang)
        if mishap.drop:
            return _dropped(request)
        body = _bytes(answer.body)
        headers = {
            "Cache-Control": "no-cache",
            "Strict-Transport-Security": "max-age=31536000",
            "Vary": "Accept-Encoding",
            "OData-Version": "4.0",
            "request-id": call.request_id,
            "client-request-id": call.client_request_id,
            "x-ms-ags-diagnostic": _DIAGNOSTIC,
            "Date": self._tenant.clock.date_header(),
        } | answer.headers
        if body is not None and "Content-Type" not in headers:
            headers["Content-Type"] = JSON_TYPE
        if mishap.truncate and body:
            response = web.StreamResponse(status=answer.status, headers=headers | {"Content-Length": str(len(body))})
            await response.prepare(request)
            await response.write(body[: len(body) // 2])
            return _dropped(request)
        return web.Response(status=answer.status, headers=headers, body=body)


def _bytes(body: Any) -> bytes | None:
    if body is None or isinstance(body, bytes):
        return body
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _dropped(request: web.Request) -> web.StreamResponse:
    """Close the connection without an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


@asynccontextmanager
async def running(tenant: Tenant, *, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve a tenant while the context lasts; yields its root, e.g. ``http://127.0.0.1:7081``."""
    runner = web.AppRunner(
        Server(tenant).application(), access_log=None, shutdown_timeout=1.0, max_line_size=_LONGEST_LINE
    )
    await runner.setup()
    site = web.TCPSite(runner, host, port)
    try:
        await site.start()
        bound = runner.addresses[0][1]
        yield f"http://{host}:{bound}"
    finally:
        await runner.cleanup()
