"""The ``/_sim`` routes: read the truth, change the configuration, script faults."""

from typing import Any

from aiohttp import web

from local.simulator.directory import Group
from local.simulator.settings import SettingsError
from local.simulator.tenant import Tenant


def control_routes(tenant: Tenant) -> list[web.RouteDef]:
    """The routes, each documented in ``docs/simulator.md``."""
    groups = (_user_routes, _group_routes, _event_routes, _book_routes, _state_routes, _trouble_routes)
    return [route for made in groups for route in made(tenant)]


def _user_routes(tenant: Tenant) -> list[web.RouteDef]:
    async def users(_: web.Request) -> web.Response:
        now = tenant.clock.now()
        shown = [user.shown(now, 0) | {"isAdmin": user.is_admin} for user in tenant.directory.users.values()]
        return web.json_response(shown)

    async def add_users(request: web.Request) -> web.Response:
        content = await _json(request)
        entries = content if isinstance(content, list) else [content]
        if not all(isinstance(entry, dict) for entry in entries):
            raise _bad("the body must be a user, or a list of users")
        try:
            added = [tenant.directory.add(entry, is_admin=bool(entry.pop("isAdmin", False))) for entry in entries]
        except ValueError as problem:
            raise _bad(str(problem)) from None
        now = tenant.clock.now()
        shown = [user.shown(now, 0) | {"isAdmin": user.is_admin} for user in added]
        return web.json_response(shown if isinstance(content, list) else shown[0], status=201)

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

    return [
        web.get("/_sim/users", users),
        web.post("/_sim/users", add_users),
        web.patch("/_sim/users/{id}", change_user),
        web.delete("/_sim/users/{id}", remove_user),
    ]


def _group_routes(tenant: Tenant) -> list[web.RouteDef]:
    async def groups(_: web.Request) -> web.Response:
        return web.json_response([_group(group) for group in tenant.directory.groups.values()])

    async def add_group(request: web.Request) -> web.Response:
        try:
            group = tenant.directory.add_group(await _object(request))
        except ValueError as problem:
            raise _bad(str(problem)) from None
        return web.json_response(_group(group), status=201)

    async def remove_group(request: web.Request) -> web.Response:
        if tenant.directory.groups.pop(request.match_info["id"].lower(), None) is None:
            raise web.HTTPNotFound
        return web.Response(status=204)

    return [
        web.get("/_sim/groups", groups),
        web.post("/_sim/groups", add_group),
        web.delete("/_sim/groups/{id}", remove_group),
    ]


def _event_routes(tenant: Tenant) -> list[web.RouteDef]:
    async def sign_ins(request: web.Request) -> web.Response:
        content = await _json(request)
        entries = content if isinstance(content, list) else [content]
        if not all(isinstance(entry, dict) for entry in entries):
            raise _bad("the body must be a sign-in, or a list of sign-ins")
        try:
            rows = [tenant.operations.sign_ins.add(entry) for entry in entries]
        except ValueError as problem:
            raise _bad(str(problem)) from None
        return web.json_response(rows if isinstance(content, list) else rows[0], status=201)

    async def cut_offs(request: web.Request) -> web.Response:
        content = await _object(request)
        user = tenant.directory.find(str(content.get("user") or ""))
        if user is None:
            raise _bad("user must be the id or the name of a user that exists")
        by = str(content.get("by") or "admin@contoso.com")
        tenant.operations.move_cut_off(user, by, password=bool(content.get("password")))
        return web.json_response(user.shown(tenant.clock.now(), 0), status=201)

    return [web.post("/_sim/signIns", sign_ins), web.post("/_sim/cutOffs", cut_offs)]


def _book_routes(tenant: Tenant) -> list[web.RouteDef]:
    async def revocations(_: web.Request) -> web.Response:
        return web.json_response([served.as_json() for served in tenant.operations.served])

    async def calls(_: web.Request) -> web.Response:
        books = tenant.gateway.gatekeeper.books
        content = {
            "routes": tenant.gateway.counts,
            "tokens": tenant.identity.requests,
            "mostReportsIn10s": tenant.gateway.reports.most,
            "gateViolations": books.violations,
            "largestLatenessSeconds": round(books.largest_seconds, 3),
        }
        return web.json_response(content)

    return [
        web.get("/_sim/revocations", revocations),
        web.get("/_sim/calls", calls),
    ]


def _state_routes(tenant: Tenant) -> list[web.RouteDef]:
    async def config(request: web.Request) -> web.Response:
        if request.method == "POST":
            try:
                tenant.configure(await _object(request))
            except SettingsError as problem:
                raise _bad(str(problem)) from None
        return web.json_response(tenant.settings.as_json())

    async def forget(_: web.Request) -> web.Response:
        tenant.identity.forget()
        return web.Response(status=204)

    async def reset(request: web.Request) -> web.Response:
        content = await _object(request) if request.can_read_body else {}
        tenant.reset(with_log=bool(content.get("log")))
        return web.Response(status=204)

    return [
        web.get("/_sim/config", config),
        web.post("/_sim/config", config),
        web.post("/_sim/tokens/forget", forget),
        web.post("/_sim/reset", reset),
    ]


def _trouble_routes(tenant: Tenant) -> list[web.RouteDef]:
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
        if kind not in ("read", "write", "reports", "all") or not isinstance(seconds, int | float):
            raise _bad("throttle takes {seconds, kind: read|write|reports|all}")
        tenant.gateway.throttled[kind] = tenant.clock.real_seconds() + seconds
        return web.json_response({"kind": kind, "seconds": seconds})

    return [
        web.get("/_sim/faults", faults),
        web.post("/_sim/faults", faults),
        web.delete("/_sim/faults", faults),
        web.post("/_sim/throttle", throttle),
    ]


async def _json(request: web.Request) -> Any:
    try:
        return await request.json()
    except ValueError:
        raise _bad("the body is not JSON") from None


async def _object(request: web.Request) -> dict[str, Any]:
    content = await _json(request)
    if not isinstance(content, dict):
        raise _bad("the body must be a JSON object")
    return content


def _group(group: Group) -> dict[str, Any]:
    return {
        "id": group.id,
        "displayName": group.display_name,
        "visibility": group.visibility,
        "members": [{"type": kind, "id": identity} for kind, identity in group.members],
    }


def _bad(text: str) -> web.HTTPBadRequest:
    return web.HTTPBadRequest(text=text)
