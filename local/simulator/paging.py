"""Pages of a list: 100 by default, 999 at most, empty ones with a nextLink where so configured."""

import base64
import json
from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from local.simulator.clock import Clock
from local.simulator.errors import bad_request
from local.simulator.exchange import METADATA, Answer, Call
from local.simulator.settings import Settings

_DEFAULT: Final = 100
_LARGEST: Final = 999
# Of the audit and the sign-in log, unless a call asks for less.
REPORT_PAGE: Final = 999


def page[T](
    call: Call,
    items: Sequence[T],
    show: Callable[[T], dict[str, Any]],
    *,
    settings: Settings,
    clock: Clock,
    context: str,
    usual_size: int = _DEFAULT,
) -> Answer:
    """One page of the items with the absolute link to the next; the link's token carries offset and age.

    Only what is on the page is shown: a list may be long.
    """
    size = min(_size(call.params.get("$top"), usual_size), settings.largest_page)
    start, empties, made_at = 0, settings.empty_pages, clock.now()
    token = call.params.get("$skiptoken")
    if token:
        start, empties, made_at = _place(token)
        life = settings.page_token_life_seconds
        if life is not None and clock.now() - made_at > life:
            raise bad_request(
                "The specified page token value has expired and can no longer be included in your request.",
                code="Directory_ExpiredPageToken",
            )
    body: dict[str, Any] = {"@odata.context": f"{METADATA}#{context}"}
    if call.advanced and not token:
        body["@odata.count"] = len(items)
    shown = [] if empties > 0 else items[start : start + size]
    following = start if empties > 0 else start + size
    if following < len(items):
        content = json.dumps([following, max(0, empties - 1), clock.now()])
        query = {name: value for name, value in call.params.items() if name != "$skiptoken"}
        query["$skiptoken"] = base64.urlsafe_b64encode(content.encode()).decode()
        path = call.target.partition("?")[0]
        body["@odata.nextLink"] = f"{call.origin}/v1.0{path}?{urlencode(query)}"
    return Answer(status=200, body=body | {"value": [show(item) for item in shown]})


def _size(text: str | None, usual: int) -> int:
    if text is None:
        return usual
    if not text.isdigit() or not 1 <= int(text) <= _LARGEST:
        raise bad_request(f"Invalid page size specified: '{text}'. Must be between 1 and 999 inclusive.")
    return int(text)


def _place(token: str) -> tuple[int, int, float]:
    try:
        start, empties, made_at = json.loads(base64.urlsafe_b64decode(token))
    except ValueError:
        raise bad_request("The specified page token value is not valid.") from None
    return int(start), int(empties), float(made_at)
