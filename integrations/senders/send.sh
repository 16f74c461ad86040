#!/usr/bin/env bash
# Puts one revocation request on the queue, as the person or identity that az is signed in as.
# Usage: send.sh <storage account> <idempotency key> <reason> <user> [<user> …]
set -euo pipefail

if [ $# -lt 4 ]; then
  echo "Usage: send.sh <storage account> <idempotency key> <reason> <user> [<user> ...]" >&2
  exit 2
fi
account=$1 key=$2 reason=$3
shift 3

# A JSON text: backslashes and quotes escaped; line breaks and tabs, which JSON does not allow in a text, become blanks.
quoted() {
  local text=${1//\\/\\\\}
  text=${text//\"/\\\"}
  printf '"%s"' "${text//[$'\t\r\n']/ }"
}

users=$(quoted "$1")
shift
for user in "$@"; do users+=,$(quoted "$user"); done
message="{\"users\":[$users],\"reason\":$(quoted "$reason"),\"idempotencyKey\":$(quoted "$key"),\"requestedBy\":\"HR script\"}"

az storage message put --auth-mode login --account-name "$account" --queue-name revocation-requests \
  --content "$message" --output none
echo "Sent. GET /api/revocations?user=<user> says what became of it."
