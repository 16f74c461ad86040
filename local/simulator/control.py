"""The ``/_sim`` routes: read the truth, change the configuration, script faults."""

from typing import Any

from aiohttp import web

from local.simulator.settings import SettingsError
from local.simulator.tenant import Tenant


def control_routes(  # noqa: C901, PLR0915 -- a flat list of small handlers around one tenant
    tenant: Tenant,
) -> list[web.RouteDef]:
    """The routes, each documented in ``docs/simulator.md``."""

    async def users(_: web.Request) -> web.Response:
        now = tenant.clock.now()
        shown = [user.shown(now, 0) | {"isAdmin": user.is_admin} for user in tenant.directory.users.values()]
        return web.json_response(shown)

    async def add_user(request: web.Request) -> web.Response:
        content = await _object(request)
        is_admin = bool(content.pop("isAdmin", False))
        try:
            user = tenant.directory.add(content, is_admin=is_admin)
        except ValueError as problem:
            raise _bad(str(problem)) from None
        return web.json_response(user.shown(tenant.clock.now(), 0) | {"isAdmin": user.is_admin}, status=201)

    async def change_user(request: web.Request) -> web.Response:
        user = tenant.directory.find(request.match_info["id"])
        if user is None:
            raise web.HTTPNotFound
        content = await _object(request)
        user.is_admin = bool(content.pop("isAdmin", user.is_admin))
        tenant.directory.change(user, content)
        return web.json_response(user.shown(tenant.clock.now(), 0) | {"isAdmin": user.is_admin})

    async def remove_user(request: web.Request) -> web.Response:
        if not tenant.directory.remove(request.match_info["id"]):
            raise web.HTTPNotFound
        return web.Response(status=204)

    async def groups(_: web.Request) -> web.Response:
        shown = [
            {
                "id": group.id,
                "displayName": group.display_name,
                "visibility": group.visibility,
                "members": [{"type": kind, "id": identity} for kind, identity in group.members],
            }
            for group in tenant.directory.groups.values()
        ]
        return web.json_response(shown)

    async def revocations(_: web.Request) -> web.Response:
        return web.json_response([served.as_json() for served in tenant.operations.served])

    async def calls(_: web.Request) -> web.Response:
        books = tenant.gateway.gatekeeper.books
        content = {
            "routes": tenant.gateway.counts,
            "tokens": tenant.identity.requests,
            "gateViolations": books.violations,
            "largestLatenessSeconds": round(books.largest_seconds, 3),
        }
        return web.json_response(content)

    async def config(request: web.Request) -> web.Response:
        if request.method == "POST":
            try:
                tenant.configure(await _object(request))
            except SettingsError as problem:
                raise _bad(str(problem)) from None
        return web.json_response(tenant.settings.as_json())

    async def faults(request: web.Request) -> web.Response:
        if request.method == "DELETE":
            tenant.faults.listed.clear()
        if request.method == "POST":
            try:
                tenant.faults.add(await request.json())
            except ValueError as problem:
                raise _bad(str(problem)) from None
        return web.json_response([fault.as_json() for fault in tenant.faults.listed])

    async def throttle(request: web.Request) -> web.Response:
        content = await _object(request)
        kind, seconds = content.get("kind", "write"), content.get("seconds", 150)
        if kind not in ("read", "write", "all") or not isinstance(seconds, int | float):
            raise _bad("throttle takes {seconds, kind: read|write|all}")
        tenant.gateway.throttled[kind] = tenant.clock.real_seconds() + seconds
        return web.json_response({"kind": kind, "seconds": seconds})

    async def forget(_: web.Request) -> web.Response:
        tenant.identity.forget()
        return web.Response(status=204)

    async def reset(request: web.Request) -> web.Response:
        content = await _object(request) if request.can_read_body else {}
        tenant.reset(with_log=bool(content.get("log")))
        return web.Response(status=204)

    return [
        web.get("/_sim/users", users),
        web.post("/_sim/users", add_user),
        web.patch("/_sim/users/{id}", change_user),
        web.delete("/_sim/users/{id}", remove_user),
        web.get("/_sim/groups", groups),
        web.get("/_sim/revocations", revocations),
        web.get("/_sim/calls", calls),
        web.get("/_sim/config", config),
        web.post("/_sim/config", config),
        web.get("/_sim/faults", faults),
        web.post("/_sim/faults", faults),
        web.delete("/_sim/faults", faults),
        web.post("/_sim/throttle", throttle),
        web.post("/_sim/tokens/forget", forget),
        web.post("/_sim/reset", reset),
    ]


async def _object(request: web.Request) -> dict[str, Any]:
    try:
        content = await request.json()
    except ValueError:
        raise _bad("the body is not JSON") from None
    if not isinstance(content, dict):
        raise _bad("the body must be a JSON object")
    return content


def _bad(text: str) -> web.HTTPBadRequest:
    return web.HTTPBadRequest(text=text)
