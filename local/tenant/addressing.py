"""Turns a path and query below the version into a route and its parameters, as Graph's URI parser does."""

import re
from http import HTTPStatus
from urllib.parse import unquote, unquote_plus

from local.tenant.errors import GraphError, bad_request, method_not_allowed, no_segment, not_found
from local.tenant.exchange import Call, Route
from local.tenant.settings import Settings

DOLLAR_SEGMENT = (
    "The request URI is not valid. Since the segment 'users' refers to a collection, this must be the last segment in "
    "the request URI or it must be followed by an function or action that can be bound to it otherwise all "
    "intermediate segments must refer to a single resource."
)
_KEYED = re.compile(r"(\w+)\('((?:[^']|'')*)'\)")
_GUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
_REVOKE = {"revokeSignInSessions", "microsoft.graph.revokeSignInSessions"}
_MEMBERS = {"members", "transitiveMembers"}
_METHODS = {"revoke": "POST", "batch": "POST"}
_GROUP_DEPTH = 2


def is_guid(text: str) -> bool:
    """Whether a key has the form of an object id."""
    return bool(_GUID.fullmatch(text))


def resolve_dots(path: str) -> str:
    """A path without dot segments, as every front end normalises it before anything else looks at it."""
    kept: list[str] = []
    for segment in path.split("/")[1:]:
        if segment.lower().replace("%2e", ".") == "..":
            kept = kept[:-1]
        elif segment.lower().replace("%2e", ".") != ".":
            kept.append(segment)
    return "/" + "/".join(kept)


def parse_query(query: str) -> dict[str, str]:
    """Query options, decoded; of a repeated one the first counts."""
    options: dict[str, str] = {}
    for pair in query.split("&"):
        if pair:
            name, _, value = pair.partition("=")
            options.setdefault(unquote_plus(name), unquote_plus(value))
    return options


def locate(call: Call, *, settings: Settings) -> Route:
    """The route of a call, which is filled into it with the query options; GraphError for a path without resource."""
    path, _, query = call.target.partition("?")
    call.params = parse_query(query) if query else {}
    raw = resolve_dots(path).split("/")[1:] if "." in path or "%2" in path else path.split("/")[1:]
    if len(raw) > 1 and not raw[-1]:
        raw = raw[:-1]
    route = call.route = _route(raw, settings)
    if call.method != _METHODS.get(route.name, "GET"):
        raise method_not_allowed()
    return route


def _route(raw: list[str], settings: Settings) -> Route:
    segments = [unquote(segment) for segment in raw]
    head = segments[0]
    if keyed := _KEYED.fullmatch(head):
        head = keyed[1]
        segments = [head, keyed[2].replace("''", "'"), *segments[1:]]
    if head == "users":
        return _user_route(segments, plain=None if keyed else raw, settings=settings)
    if head == "groups":
        return _group_route(segments)
    if segments == ["$batch"]:
        return Route(name="batch", template="/$batch")
    if segments == ["auditLogs", "directoryAudits"]:
        return Route(name="audits", template="/auditLogs/directoryAudits")
    if head == "me":
        raise bad_request("/me request is only valid with delegated authentication flow.")
    raise no_segment(segments[1] if head == "auditLogs" and len(segments) > 1 else head)


def _user_route(segments: list[str], *, plain: list[str] | None, settings: Settings) -> Route:
    match segments[1:]:
        case []:
            return Route(name="users", template="/users")
        case ["$count"] if plain:
            return Route(name="users", template="/users/$count", count=True)
        case [key, *rest]:
            _check_user_key(key, raw=plain[1] if plain else None, settings=settings)
            if not rest:
                return Route(name="user", template="/users/{id}", key=key)
            if len(rest) == 1 and rest[0] in _REVOKE:
                return Route(name="revoke", template="/users/{id}/revokeSignInSessions", key=key)
            raise no_segment(rest[0])
    raise no_segment("users")


def _check_user_key(key: str, *, raw: str | None, settings: Settings) -> None:
    if raw is not None and (
        raw.startswith("$") or (key.startswith("$") and settings.dollar_upn != "allowEncoded")
    ):
        raise bad_request(DOLLAR_SEGMENT)
    if not key:
        raise bad_request("Resource not found for the segment ''.")
    if key.lower() == "me":
        raise bad_request("/me request is only valid with delegated authentication flow.")
    if key in _REVOKE:
        raise no_segment(key)
    if settings.upn_keys == "refuse" and not is_guid(key):
        raise bad_request(
            "Get By Key only supports UserId and the key has to be a valid Guid", code="Request_BadRequest"
        )


def _group_route(segments: list[str]) -> Route:
    if len(segments) == 1:
        return Route(name="groups", template="/groups")
    if segments[1:] == ["$count"]:
        return Route(name="groups", template="/groups/$count", count=True)
    key, rest = segments[1], segments[_GROUP_DEPTH:]
    if not is_guid(key):
        raise GraphError(
            status=HTTPStatus.BAD_REQUEST, code="Request_BadRequest", message=f"Invalid object identifier '{key}'."
        )
    if not rest:
        return Route(name="group", template="/groups/{id}", key=key)
    if rest[0] not in _MEMBERS:
        raise no_segment(rest[0])
    template = f"/groups/{{id}}/{rest[0]}"
    match rest[1:]:
        case []:
            return Route(name=rest[0], template=template, key=key)
        case ["$count"]:
            return Route(name=rest[0], template=f"{template}/$count", key=key, count=True)
        case ["microsoft.graph.user"]:
            return Route(name=rest[0], template=f"{template}/microsoft.graph.user", key=key, cast=True)
        case ["microsoft.graph.user", "$count"]:
            return Route(
                name=rest[0], template=f"{template}/microsoft.graph.user/$count", key=key, cast=True, count=True
            )
    raise not_found(rest[1])
