"""Puts one revocation request on the queue. Needs azure-identity and azure-storage-queue.

python send.py --account strevoker --key hr-4711 --reason leaver adele@contoso.com bob@contoso.com
"""

import argparse
import json
import os

from azure.identity import DefaultAzureCredential
from azure.storage.queue import QueueClient

QUEUE = "revocation-requests"


def main() -> None:
    """Send the request that the command line describes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--account", help="storage account; left out on one machine (AZURE_STORAGE_CONNECTION_STRING)")
    parser.add_argument("--key", required=True, help="idempotency key: the same for every repetition of this request")
    parser.add_argument("--reason", help="why, for the log")
    parser.add_argument("--requested-by", default="HR script", help="who sends it; the app keeps it as a claim")
    parser.add_argument("users", nargs="+", help="object ids or user principal names")
    given = parser.parse_args()
    message = {
        "users": given.users,
        "reason": given.reason,
        "idempotencyKey": given.key,
        "requestedBy": given.requested_by,
    }
    with client(given.account) as queue:
        queue.send_message(json.dumps(message))
    print("Sent. GET /api/revocations?user=<user> says what became of it.")


def client(account: str | None) -> QueueClient:
    """The queue of a storage account through Entra ID, or of the emulator that a connection string names."""
    if account:
        return QueueClient(f"https://{account}.queue.core.windows.net", QUEUE, credential=DefaultAzureCredential())
    return QueueClient.from_connection_string(os.environ["AZURE_STORAGE_CONNECTION_STRING"], QUEUE)


if __name__ == "__main__":
    main()
