"""``sentinel-alert``: an alert of Sentinel's alert trigger, or a row of the table ``SecurityAlert``.

Users are the entities of type ``account`` in ``Entities``, an array or, in the table, the text of one. An entity may
stand for another one by ``$ref``, which names that one's ``$id``, wherever in the array it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from revoke_core.domain.errors import InvalidRequest
from revoke_core.domain.payloads.account import plain, unresolved
from revoke_core.domain.payloads.members import Members, objects
from revoke_core.domain.payloads.named import Named
from revoke_core.domain.payloads.sentinel import account_text, is_account
from revoke_core.domain.request_body import read_json

if TYPE_CHECKING:
    from collections.abc import Iterator


def read(payload: Members) -> Named:
    """The alert's users and its name; ``SystemAlertId`` or ``Entities`` must be there."""
    if payload.value("SystemAlertId", "Entities") is None:
        payload.faults.add(
            f"{payload.pointer}/Entities", "must be there, or SystemAlertId in an alert without entities"
        )
        return Named()
    entities = _entities(payload)
    referred = _by_id(entities)
    users = []
    for entity in objects(entities, f"{payload.pointer}/Entities", payload.faults):
        users += _user(entity, referred)
    return Named(users, payload.shown("AlertDisplayName", "DisplayName", "AlertName"))


def _entities(payload: Members) -> list[Any]:
    pointer = f"{payload.pointer}/Entities"
    value = payload.value("Entities")
    if isinstance(value, str):
        try:
            value = read_json(value.encode("utf-8", "replace"))
        except InvalidRequest as invalid:
            for fault in invalid.faults:
                payload.faults.add(f"{pointer}{fault.pointer}", f"is a text that holds no JSON array: {fault.detail}")
            return []
    if value is None or isinstance(value, list):
        return value or []
    payload.faults.add(pointer, "must be an array of entities, or the text of one")
    return []


def _user(entity: Members, referred: dict[str, list[dict[str, Any]]]) -> list[str]:
    """The text of the entity's user; none for another entity."""
    reference = entity.value("$ref")
    if reference is not None:
        found = referred.get(str(reference), [])
        if len(found) != 1:
            return [
                unresolved(
                    plain(f"$ref {reference}"), f"it refers to one entity and the alert holds {len(found)} of that $id"
                )
            ]
        entity = Members(found[0], entity.pointer, entity.faults)
    if not is_account(entity.shown("type", "kind")):
        return []
    return [account_text(entity.object("properties") or entity, entity.pointer)]


def _by_id(entities: list[Any]) -> dict[str, list[dict[str, Any]]]:
    """Every object that has an ``$id``, by it."""
    found: dict[str, list[dict[str, Any]]] = {}
    for value in _nested(entities):
        if isinstance(number := value.get("$id"), str | int):
            found.setdefault(str(number), []).append(value)
    return found


def _nested(entities: list[Any]) -> Iterator[dict[str, Any]]:
    """Every object in an array; not by recursion, which deep nesting would break."""
    waiting: list[Any] = [entities]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield value
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
