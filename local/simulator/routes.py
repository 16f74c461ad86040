"""Which resource a path below ``/v1.0`` names, with Graph's own quirks about user names in paths."""

import re
from typing import Final
from urllib.parse import parse_qsl, unquote

from local.simulator.errors import bad_request, method_not_allowed, no_segment
from local.simulator.exchange import Call, Route

_ACTIONS: Final = ("revokesigninsessions", "microsoft.graph.revokesigninsessions")
_KEYED: Final = re.compile(r"(users|groups)\('((?:[^']|'')*)'\)", re.IGNORECASE)
_USERS_IS_COLLECTION: Final = (
    "The request URI is not valid. Since the segment 'users' refers to a collection, this must be the last segment in "
    "the request URI or it must be followed by an function or action that can be bound to it otherwise all "
    "intermediate segments must refer to a single resource."
)


def resolve(call: Call, *, dollar_upn: str) -> Route:
    """The route of a call, its parameters read into it; GraphError for a path without a resource."""
    path, _, query = call.target.partition("?")
    call.params = dict(parse_qsl(query, keep_blank_values=True))
    segments = [segment for segment in path.split("#")[0].strip("/").split("/") if segment]
    if not segments:
        raise no_segment("")
    if keyed := _KEYED.fullmatch(unquote(segments[0])):
        segments = [keyed[1], *segments[1:]]
        key: str | None = keyed[2].replace("''", "'")
        rest = segments[1:]
    else:
        key = unquote(segments[1]) if len(segments) > 1 else None
        rest = segments[2:]
        encoded = len(segments) > 1 and segments[1].startswith("%24")
        is_user_name = segments[0].lower() == "users" and key is not None and key.startswith("$")
        if is_user_name and key != "$count" and not (encoded and dollar_upn == "allowEncoded"):
            raise bad_request(_USERS_IS_COLLECTION)
    return _route(call, segments[0].lower(), key, [unquote(segment) for segment in rest])


def _route(  # noqa: C901, PLR0911 -- a flat list of the paths Graph has reads best
    call: Call, collection: str, key: str | None, rest: list[str]
) -> Route:
    lowered = [segment.lower() for segment in rest]
    if collection == "users":
        if key is None:
            return _read(call, Route(name="users", template="/users"))
        if not rest:
            return _read(call, Route(name="user", template="/users/{id}", key=key))
        if len(rest) == 1 and lowered[0] in _ACTIONS:
            if call.method != "POST":
                raise method_not_allowed()
            return Route(name="revoke", template="/users/{id}/revokeSignInSessions", key=key)
    if collection == "groups":
        if key is None:
            return _read(call, Route(name="groups", template="/groups"))
        if not rest:
            return _read(call, Route(name="group", template="/groups/{id}", key=key))
        if lowered[0] in ("members", "transitivemembers") and lowered[1:] in ([], ["microsoft.graph.user"]):
            name = "members" if lowered[0] == "members" else "transitiveMembers"
            return _read(call, Route(name=name, template=f"/groups/{{id}}/{name}", key=key, cast=len(rest) > 1))
    if collection == "auditlogs" and key is not None and key.lower() == "directoryaudits" and not rest:
        return _read(call, Route(name="audits", template="/auditLogs/directoryAudits"))
    if collection == "auditlogs" and key is not None and key.lower() == "signins" and not rest:
        return _read(call, Route(name="signIns", template="/auditLogs/signIns"))
    if collection == "me":
        raise bad_request("/me request is only valid with delegated authentication flow.")
    raise no_segment(rest[0] if rest else collection)


def _read(call: Call, route: Route) -> Route:
    if call.method != "GET":
        raise method_not_allowed()
    return route
