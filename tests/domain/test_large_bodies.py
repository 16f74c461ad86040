"""What one large body may cost: the event loop reads it while all other calls wait."""

import json
import time
import tracemalloc
from typing import Any

import pytest

from revoke_core.domain.errors import GuardRefused, InvalidRequest
from revoke_core.domain.request import RequestLimits
from revoke_core.domain.request_body import parse_queue_request, parse_request, read_json

LIMITS = RequestLimits(max_users=100, require_reason=False)
GROUP = "8f5d1c2e-0000-4000-8000-00000000abcd"
MEBIBYTE = 1024 * 1024


def names(count: int) -> list[str]:
    return [f"u{number}@contoso.com" for number in range(count)]


def test_many_names_are_compared_in_no_time() -> None:
    """Twenty thousand fields, each given twice: one count of the names finds them."""
    fields = ",".join(f'"k{number}":1' for number in range(20_000))
    began = time.process_time()
    with pytest.raises(InvalidRequest) as refused:
        read_json(f"{{{fields},{fields}}}".encode())
    assert time.process_time() - began < 1
    assert len(refused.value.faults) == 20_000
    assert refused.value.listed()[0] == {"pointer": "/k0", "detail": "is given more than once"}
    assert refused.value.listed()[100:] == [{"pointer": "", "detail": "19900 more"}]


@pytest.mark.parametrize(
    "content",
    [
        {f"x{number}": 1 for number in range(100_000)},
        {"users": [1] * 100_000},
        {"user": "adele@contoso.com", "exclude": ["me"] * 100_000},
    ],
    ids=lambda content: next(reversed(content)),
)
@pytest.mark.parametrize("read", [parse_request, parse_queue_request])
def test_a_body_full_of_faults_takes_no_memory_for_each(read: Any, content: dict[str, Any]) -> None:
    """A hundred are listed and the rest counted, so that no caller can fill an instance with them."""
    tracemalloc.start()
    with pytest.raises(InvalidRequest) as refused:
        read(content, RequestLimits(max_users=100_000, require_reason=False))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # The body itself was there before; tables of its fields may be made, of 5 MiB each.
    assert most < (16 if len(content) > 2 else 8) * MEBIBYTE
    assert len(refused.value.listed()) == 101
    assert len(refused.value.faults) >= 100_000


@pytest.mark.parametrize(
    ("content", "pointer", "told"),
    [
        ({"user": "adele@contoso.com", "users": names(100)}, "/users", "names 101 users and at most 100"),
        ({"users": [1] * 101}, "/users", "names 101 users and at most 100"),
        ({"user": "adele@contoso.com", "exclude": names(101)}, "/exclude", "excludes 101 users and at most 100"),
        ({"groups": [GROUP] * 1001}, "/groups", "names 1001 groups and at most 1000"),
    ],
)
def test_more_than_a_request_may_hold_is_refused_unread(content: Any, pointer: str, told: str) -> None:
    """Users, excluded ones and groups have a bound of their own; what is longer is not looked into."""
    with pytest.raises(GuardRefused, match=told) as refused:
        parse_request(read_json(json.dumps(content).encode()), LIMITS)
    assert refused.value.pointer == pointer


def test_as_much_as_a_request_may_hold_is_taken() -> None:
    """The bounds themselves are allowed."""
    content = {"users": names(100), "exclude": names(100), "groups": [GROUP] * 1000}
    request = parse_request(content, LIMITS)
    assert (request.named, len(request.exclude), request.groups) == (100, 100, (GROUP,))
