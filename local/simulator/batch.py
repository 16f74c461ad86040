"""JSON batching: up to 20 calls in one, each counted and answered by itself, in an order of the service's choosing."""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from local.simulator.errors import GraphError, bad_request
from local.simulator.exchange import Answer, Call, Mishap, is_success

LARGEST: Final = 20
_FAILED_DEPENDENCY: Final = {"error": {"code": "FailedDependency", "message": "A dependency of the request failed."}}


def parsed_batch(body: bytes) -> list[dict[str, Any]]:
    """The items of a batch; GraphError when the batch as a whole is refused and nothing runs."""
    try:
        content = json.loads(body)
    except ValueError:
        raise bad_request("Unable to read JSON request payload.") from None
    items = content.get("requests") if isinstance(content, dict) else None
    if not isinstance(items, list) or not items:
        raise bad_request("Invalid batch payload format.")
    if len(items) > LARGEST:
        raise bad_request("Number of requests inside batch exceeds the limit.")
    seen: set[str] = set()
    for item in items:
        if not isinstance(item, dict):
            raise bad_request("Invalid batch payload format.")
        _check(item, seen)
    return items


def _check(item: dict[str, Any], seen: set[str]) -> None:
    identity, url, method = item.get("id"), item.get("url"), item.get("method")
    if not isinstance(identity, str) or not isinstance(url, str) or not isinstance(method, str):
        raise bad_request("Each request of a batch needs id, method and url.")
    if identity.lower() in seen:
        raise bad_request("Request Id has to be unique in a batch.")
    seen.add(identity.lower())
    if "://" in url or url.lstrip("/").lower().startswith("$batch"):
        raise bad_request(f"Invalid request url in batch: {identity}.")
    headers = {str(name).lower() for name in (item.get("headers") or {})}
    if method.upper() != "GET" and ("content-type" not in headers or "body" not in item):
        raise bad_request(f"Write request id : {identity} does not contain Content-Type header or body.")


def answered(
    items: list[dict[str, Any]], outer: Call, answer: Callable[[Call], Answer], *, seed: int | None
) -> tuple[list[dict[str, Any]], Mishap]:
    """The items' answers, shuffled, and what befalls the connection that carries them."""
    done: dict[str, int] = {}
    responses: list[dict[str, Any]] = []
    mishap = Mishap()
    for item in items:
        if any(not is_success(done.get(str(name).lower(), 0)) for name in item.get("dependsOn") or []):
            result = Answer(status=424, body=_FAILED_DEPENDENCY)
        else:
            result = answer(_call(item, outer))
        if result.mishap:
            mishap.merge(result.mishap)
        done[item["id"].lower()] = result.status
        responses.append(_response(item["id"], result))
    # The order follows from the batch itself, so that a run can be repeated.
    random.Random(f"{seed}:{[item['url'] for item in items]}").shuffle(responses)  # noqa: S311 -- no secret in an order
    return responses, mishap


def _call(item: dict[str, Any], outer: Call) -> Call:
    return replace(
        outer,
        method=item["method"].upper(),
        target="/" + item["url"].lstrip("/"),
        headers={str(name).lower(): str(value) for name, value in (item.get("headers") or {}).items()},
        via="batch",
        params={},
    )


def _response(identity: str, answer: Answer) -> dict[str, Any]:
    headers = {"Cache-Control": "no-cache"} | answer.headers
    response: dict[str, Any] = {"id": identity, "status": answer.status, "headers": headers}
    if isinstance(answer.body, bytes):
        response["body"] = answer.body.decode(errors="replace")
    elif answer.body is not None:
        headers["Content-Type"] = "application/json"
        response["body"] = answer.body
    return response


__all__ = ["LARGEST", "GraphError", "answered", "parsed_batch"]
