"""One HTTP call to Microsoft Graph through the Graph SDK's own request adapter, with raw bytes in and out.

The SDK brings authentication, claims challenges (Continuous Access Evaluation), the base URL and telemetry. Its
generated models are left aside (parsing one user costs 9-17 ms of CPU) and so are its retry, redirect and URL-replacing
handlers: pacing is decided by this app, redirects are never followed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from revoke_core import logs
from revoke_core.domain.errors import TokenUnavailable
from revoke_core.domain.responses import Delivery
from revoke_core.domain.timestamps import http_date

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kiota_abstractions.authentication import AuthenticationProvider
    from msgraph.graph_service_client import GraphServiceClient

    from revoke_core.adapters.graph.connection import AioHttpConnections
    from revoke_core.adapters.graph.identity import GraphIdentity
    from revoke_core.ports.shared import Clock

_LARGEST_ANSWER: Final = 32 * 1024 * 1024
# What a URL may be made of; far below the length at which the HTTP library gives up.
_LINK: Final = re.compile(r"[!-~]{1,30000}")
# Date headers have whole seconds.
_DATE_STEP: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back: how far the call got, and the answer's status, headers (lower-case names) and body."""

    delivery: Delivery
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class _ChallengeUnreadableError(Exception):
    """Graph refuses the token with a claims challenge that cannot be decoded."""


class _Authentication:
    """The SDK's authentication, with a damaged challenge as an error of its own."""

    def __init__(self, sdk: AuthenticationProvider) -> None:
        self._sdk = sdk

    async def authenticate_request(self, *call: Any, **options: Any) -> None:
        """Add the token; ``_ChallengeUnreadableError`` when the challenge to answer is damaged."""
        try:
            await self._sdk.authenticate_request(*call, **options)
        except ValueError as problem:
            raise _ChallengeUnreadableError from problem


class GraphTransport:
    """Sends calls to one configured Graph root; built at the first call, because the SDK is slow to import."""

    def __init__(self, *, endpoint: str, identity: GraphIdentity, clock: Clock) -> None:
        self._endpoint = endpoint
        self._identity = identity
        self._clock = clock
        self._client: GraphServiceClient | None = None
        self._connections: AioHttpConnections | None = None
        self._offset = timedelta(0)
        self.has_told_the_time = False

    def time(self) -> datetime:
        """Now by Graph's clock."""
        return self._clock.now() + self._offset

    async def send(
        self, method: str, path: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Send one call to ``path`` (relative to ``/v1.0``, already encoded); a network failure is a ``Reply``, too.

        A token that Graph refuses is replaced once. ``TokenUnavailable`` when the identity gives none.
        """
        reply = await self._send(method, path, body, headers or {})
        if reply.status == HTTPStatus.UNAUTHORIZED and await self._identity.rebuild(at_once=True):
            reply = await self._send(method, path, body, headers or {})
        return reply

    def relative(self, link: str) -> str | None:
        """The path of a ``nextLink``, or ``None`` when it leads to another host: the token never goes there."""
        if not _LINK.fullmatch(link):
            return None
        try:
            given, own = urlsplit(link), urlsplit(self._endpoint)
        except ValueError:
            return None
        if (given.scheme, given.netloc.lower()) != (own.scheme, own.netloc.lower()):
            return None
        path = given.path.removeprefix("/v1.0")
        return f"{path}?{given.query}" if path != given.path else None

    async def close(self) -> None:
        """Close the connections; closing the SDK's own client would not reach them."""
        if self._connections is not None:
            await self._connections.aclose()

    async def _send(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Reply:
        import httpx  # noqa: PLC0415 -- comes with the SDK, needed only here

        client = self._built()
        asked_at = self._clock.now()
        try:
            response: Any = await client.request_adapter.send_primitive_async(
                self._request(method, path, body, headers), "bytes", {}
            )
        except TokenUnavailable:
            raise
        except _ChallengeUnreadableError as problem:
            logs.failure("graph_token_unavailable", problem)
            return Reply(delivery=Delivery.ANSWERED, status=HTTPStatus.UNAUTHORIZED)
        except httpx.ConnectError as problem:
            logs.failure("graph_not_reached", problem)
            return Reply(delivery=Delivery.NOT_SENT)
        except httpx.HTTPError as problem:
            logs.failure("graph_answer_lost", problem)
            return Reply(delivery=Delivery.LOST)
        return self._reply(response, asked_at)

    def _request(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Any:
        from kiota_abstractions.method import Method  # noqa: PLC0415 -- part of the SDK
        from kiota_abstractions.native_response_handler import NativeResponseHandler  # noqa: PLC0415 -- as above
        from kiota_abstractions.request_information import RequestInformation  # noqa: PLC0415 -- as above
        from kiota_http.middleware.options import ResponseHandlerOption  # noqa: PLC0415 -- as above

        information = RequestInformation()
        information.http_method = Method(method)
        information.url = f"{self._endpoint}/v1.0{path}"
        information.headers.add("Accept", "application/json")
        for name, value in headers.items():
            information.headers.add(name, value)
        if body is not None:
            information.set_stream_content(body, "application/json")
        information.add_request_options([ResponseHandlerOption(NativeResponseHandler())])
        return information

    def _reply(self, response: Any, asked_at: datetime) -> Reply:
        headers = {name.lower(): value for name, value in response.headers.items()}
        if date := http_date(headers.get("date")):
            # Graph wrote the header between the request and now. The known offset stays while that allows it: an answer
            # that was slow, or was processed late, tells little about the clocks.
            least, most = date - self._clock.now(), date + _DATE_STEP - asked_at
            self._offset = min(max(self._offset, least), most)
            self.has_told_the_time = True
        body = response.content if len(response.content) <= _LARGEST_ANSWER else b""
        return Reply(delivery=Delivery.ANSWERED, status=response.status_code, headers=headers, body=body)

    def _built(self) -> GraphServiceClient:
        if self._client is None:
            import httpx  # noqa: PLC0415 -- see _send
            from kiota_authentication_azure.azure_identity_authentication_provider import (  # noqa: PLC0415 -- as above
                AzureIdentityAuthenticationProvider,
            )
            from msgraph.graph_request_adapter import GraphRequestAdapter  # noqa: PLC0415 -- as above
            from msgraph.graph_service_client import GraphServiceClient  # noqa: PLC0415 -- as above
            from msgraph_core import GraphClientFactory  # noqa: PLC0415 -- as above
            from msgraph_core.middleware import GraphTelemetryHandler  # noqa: PLC0415 -- as above

            from revoke_core.adapters.graph.connection import AioHttpConnections  # noqa: PLC0415 -- as above

            own = urlsplit(self._endpoint)
            authentication = AzureIdentityAuthenticationProvider(
                self._identity, scopes=["https://graph.microsoft.com/.default"], allowed_hosts=[own.hostname or ""]
            )
            authentication_or_error: Any = _Authentication(authentication)
            self._connections = AioHttpConnections()
            http = GraphClientFactory.create_with_custom_middleware(
                [GraphTelemetryHandler()],
                client=httpx.AsyncClient(transport=self._connections, follow_redirects=False),
            )
            adapter = GraphRequestAdapter(authentication_or_error, http)
            adapter.base_url = f"{self._endpoint}/v1.0"
            self._client = GraphServiceClient(request_adapter=adapter)
        return self._client
