"""The managed-identity endpoint of App Service and Functions (api-version 2019-08-01)."""

import secrets
from collections.abc import Mapping
from http import HTTPStatus

from local.tenant.exchange import Answer
from local.tenant.settings import Settings
from local.tenant.tokens import GRAPH_RESOURCES, TokenService

API_VERSION = "2019-08-01"


def _refusal(status: int, message: str) -> Answer:
    return Answer(
        status=status,
        headers={"Content-Type": "application/json; charset=utf-8"},
        body={"statusCode": status, "message": message},
    )


class IdentityEndpoint:
    """Answers `GET /msi/token` for whoever knows the secret header, as the platform does for its own app."""

    def __init__(self, *, header: str, settings: Settings, tokens: TokenService) -> None:
        self.header = header
        self._settings = settings
        self._tokens = tokens

    def answer(self, *, headers: Mapping[str, str], params: Mapping[str, str]) -> Answer:
        """The token answer, or the platform's refusal."""
        if not secrets.compare_digest(headers.get("x-identity-header", "").encode(), self.header.encode()):
            return _refusal(HTTPStatus.UNAUTHORIZED, "The X-IDENTITY-HEADER header is missing or wrong.")
        if params.get("api-version") != API_VERSION:
            return _refusal(HTTPStatus.BAD_REQUEST, f"Unsupported api-version; use {API_VERSION}.")
        resource = params.get("resource", "")
        if not resource:
            return _refusal(HTTPStatus.BAD_REQUEST, "The resource parameter is missing.")
        client_id = params.get("client_id", "").lower()
        if client_id and client_id not in {known.lower() for known in self._settings.client_ids}:
            return _refusal(HTTPStatus.BAD_REQUEST, "No User Assigned or Delegated Managed Identity found.")
        if resource.rstrip("/") not in GRAPH_RESOURCES:
            return _refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "An unexpected error occurred.")
        token = self._tokens.token(resource=resource, client_id=client_id)
        return Answer(
            status=HTTPStatus.OK,
            headers={"Content-Type": "application/json; charset=utf-8"},
            body={
                "access_token": token.text,
                "expires_on": str(token.expires),
                "resource": resource,
                "token_type": "Bearer",
                "client_id": token.client_id,
                "not_before": str(token.not_before),
            },
        )
