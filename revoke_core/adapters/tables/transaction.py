"""Entity-group transactions as bytes, for the official table client.

azure-core puts such a body together and takes its answer apart with Python's ``email`` package: more than half of what
a small request costs the host for storage. Here the same bytes are joined directly; authentication, addresses, retries
and the entities themselves stay with the client
(https://learn.microsoft.com/rest/api/storageservices/performing-entity-group-transactions).
"""

from __future__ import annotations

import re
import uuid
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from azure.core.exceptions import HttpResponseError
from azure.core.rest import HttpRequest
from azure.data.tables.aio import TableClient

from revoke_core.adapters.tables.table import OperationRefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

_PART: Final = re.compile(rb"^HTTP/1\.1 (\d{3})[^\r\n]*\r?\n(.*?)(?=^--|\Z)", re.DOTALL | re.MULTILINE)
_ETAG: Final = re.compile(rb"^etag:[ \t]*([^\r\n]+)", re.IGNORECASE | re.MULTILINE)
_SUCCESS: Final = range(200, 300)


class TransactionClient(TableClient):
    """The official client of one table; only its transactions are written and read here."""

    async def _batch_send(self, table_name: str, *reqs: HttpRequest, **kwargs: Any) -> list[Mapping[str, Any]]:  # noqa: ARG002 -- the client's own signature
        """Send the operations that ``submit_transaction`` has put together; metadata for each, in order."""
        boundary = f"batch_{uuid.uuid4()}"
        request = HttpRequest(
            "POST",
            f"{self.scheme}://{self._primary_hostname}/$batch",
            headers={
                "x-ms-version": self.api_version,
                "DataServiceVersion": "3.0",
                "MaxDataServiceVersion": "3.0;NetFx",
                "Content-Type": f"multipart/mixed; boundary={boundary}",
                "Accept": "application/json",
            },
            content=transaction_body(reqs, boundary),
        )
        # As a stream: the client's pipeline would look for one JSON text in the answer.
        response = await self._client.send_request(request, stream=True, **kwargs)
        content = await response.read()
        if response.status_code != HTTPStatus.ACCEPTED:
            raise HttpResponseError(response=response)
        return _outcomes(content)


def transaction_body(requests: tuple[HttpRequest, ...], boundary: str) -> bytes:
    """The multipart body of one change set."""
    changes = f"changeset_{uuid.uuid4()}"
    lines = [f"--{boundary}", f"Content-Type: multipart/mixed; boundary={changes}", ""]
    for number, request in enumerate(requests):
        body = request.content or ""
        text = body.decode() if isinstance(body, bytes) else str(body)
        lines += [f"--{changes}", "Content-Type: application/http", "Content-Transfer-Encoding: binary"]
        lines += [f"Content-ID: {number}", "", f"{request.method} {request.url} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in request.headers.items() if name.lower() != "content-length"]
        lines += [f"Content-Length: {len(text.encode())}", "", text]
    lines += [f"--{changes}--", "", f"--{boundary}--", ""]
    return "\r\n".join(lines).encode()


def _outcomes(content: bytes) -> list[Mapping[str, Any]]:
    """The ETag of each entity written; ``OperationRefusedError`` for the operation because of which none was."""
    found: list[Mapping[str, Any]] = []
    for status, rest in _PART.findall(content):
        if int(status) not in _SUCCESS:
            raise OperationRefusedError(int(status), rest)
        etag = _ETAG.search(rest)
        found.append({"etag": etag[1].decode().strip()} if etag else {})
    return found
