"""The app against what people write with the Graph SDK: a loop, and many calls at once with the SDK's own retries."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from azure.core.credentials import AccessToken

from local.bench.app import bulk_user_ids, reset_tenant, submit, wait_finished, writes
from local.bench.bounds import MODELS
from local.bench.figures import Figure
from local.testbed.environment import running_environment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from local.testbed.environment import Environment

LATENCY_MS: Final = 150
SAMPLE: Final = 60
TIMES_FASTER: Final = 20
WIDTHS: Final = (8, 32)
_RESOURCE: Final = "https://graph.microsoft.com"
_MAX_WAIT: Final = 400.0


class _Token:
    """A credential that holds one token, so that only Graph calls are measured."""

    def __init__(self, token: str) -> None:
        self._token = token

    def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
        """The token."""
        return AccessToken(self._token, int(time.time()) + 3600)


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """How many calls at once fared."""

    seconds: float
    failed: int
    throttled: float


async def sequential(users: int) -> list[Figure]:
    """A ``for`` loop over the SDK as it comes, against the app, at 150 ms latency.

    The loop is measured with a sample and extrapolated: each of its calls takes as long as the one before.
    """
    async with running_environment(users=users + SAMPLE) as running:
        named = await bulk_user_ids(running, users + SAMPLE)
        await reset_tenant(running, latencyMs=LATENCY_MS)
        client = await sdk_client(running)
        await _revoke(client, named[0])
        begun = time.perf_counter()
        for user in named[1:SAMPLE]:
            await _revoke(client, user)
        each = (time.perf_counter() - begun) / (SAMPLE - 1)
        await reset_tenant(running, latencyMs=LATENCY_MS)
        begun = time.perf_counter()
        request = await submit(running, named[SAMPLE:])
        await wait_finished(running, request["id"], seconds=_MAX_WAIT)
        whole = time.perf_counter() - begun
        revoking = (await writes(running)).seconds
    loop = each * users
    return [
        Figure(
            part="sdk loop",
            name=f"{users:,} users, one after the other",
            value=f"{loop:.1f} s",
            note=f"extrapolated linearly from {SAMPLE} users",
        ),
        Figure(
            part="sdk loop", name="the app, from submit to proof", value=f"{whole:.1f} s", note=f"{loop / whole:.1f} x"
        ),
        Figure(
            part="sdk loop",
            name="the app, from the first revoke to the last",
            value=f"{revoking:.1f} s",
            note=f"{loop / revoking:.1f} x",
            budget=f">= {TIMES_FASTER} x",
            kept=loop / revoking >= TIMES_FASTER,
        ),
    ]


async def gathered(users: int, settings: Mapping[str, str]) -> list[Figure]:
    """``asyncio.gather`` over the SDK, against the app, under the bucket quota in real time."""
    lines: list[Figure] = []
    async with running_environment(users=users, settings=settings) as running:
        named = await bulk_user_ids(running, users)
        for width in WIDTHS:
            await reset_tenant(running, quota={"model": "bucket"}, latencyMs=LATENCY_MS)
            found = await _gathered(running, named, width)
            lines.append(
                Figure(
                    part="sdk gather",
                    name=f"{users:,} users, {width} at once",
                    value=f"{found.seconds:.1f} s",
                    note=f"{found.failed} gave up, {found.throttled:.2%} answered 429",
                )
            )
        await reset_tenant(running, quota={"model": "bucket"}, latencyMs=LATENCY_MS)
        request = await submit(running, named)
        await wait_finished(running, request["id"], seconds=_MAX_WAIT)
        seen = await writes(running)
    note = f"0 gave up, {seen.throttled_share:.2%} answered 429; bound {MODELS['bucket'].bound(users):.1f} s"
    return [
        *lines,
        Figure(part="sdk gather", name=f"{users:,} users, the app", value=f"{seen.seconds:.1f} s", note=note),
    ]


async def sdk_client(running: Environment) -> Any:
    """The SDK's client with its defaults, at the tenant."""
    from kiota_authentication_azure.azure_identity_authentication_provider import (  # noqa: PLC0415 -- slow to import
        AzureIdentityAuthenticationProvider,
    )
    from msgraph.graph_request_adapter import GraphRequestAdapter  # noqa: PLC0415 -- as above
    from msgraph.graph_service_client import GraphServiceClient  # noqa: PLC0415 -- as above

    endpoint, header = running.identity
    url = f"{endpoint}?api-version=2019-08-01&resource={_RESOURCE}"
    async with running.session.get(url, headers={"X-IDENTITY-HEADER": header}) as answer:
        token = (await answer.json())["access_token"]
    authentication = AzureIdentityAuthenticationProvider(
        _Token(token), scopes=[f"{_RESOURCE}/.default"], allowed_hosts=[urlsplit(running.graph).hostname or ""]
    )
    adapter = GraphRequestAdapter(authentication)
    adapter.base_url = f"{running.graph}/v1.0"
    return GraphServiceClient(request_adapter=adapter)


async def _revoke(client: Any, user: str) -> None:
    await client.users.by_user_id(user).revoke_sign_in_sessions.post()


async def _gathered(running: Environment, named: Sequence[str], width: int) -> Gathered:
    from kiota_abstractions.api_error import APIError  # noqa: PLC0415 -- slow to import

    client = await sdk_client(running)
    room = asyncio.Semaphore(width)

    async def one(user: str) -> bool:
        async with room:
            try:
                await _revoke(client, user)
            except APIError:
                return False
            return True

    begun = time.perf_counter()
    outcomes = await asyncio.gather(*(one(user) for user in named))
    seen = await writes(running)
    return Gathered(seconds=time.perf_counter() - begun, failed=outcomes.count(False), throttled=seen.throttled_share)
