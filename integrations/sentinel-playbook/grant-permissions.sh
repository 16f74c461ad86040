#!/usr/bin/env bash
# Grants what a playbook needs: to comment in Sentinel, to be started by automation rules, to call the revoker. readme.md
set -euo pipefail

usage="usage: $0 --group GROUP --playbook NAME --workspace WORKSPACE_ID [--audience ENTRA_CLIENT_ID]"
group="" playbook="" workspace="" audience=""
while [ $# -gt 0 ]; do
  case "$1" in
    --group) group="${2:-}" ;;
    --playbook) playbook="${2:-}" ;;
    --workspace) workspace="${2:-}" ;;
    --audience) audience="${2:-}" ;;
    *) echo "$usage" >&2; exit 2 ;;
  esac
  shift; shift || { echo "$usage" >&2; exit 2; }
done
if [ -z "$group" ] || [ -z "$playbook" ] || [ -z "$workspace" ]; then echo "$usage" >&2; exit 2; fi

grant() { # role, principal, scope; repeating it changes nothing
  az role assignment create --role "$1" --assignee-object-id "$2" --assignee-principal-type ServicePrincipal --scope "$3" --output none
  echo "granted: $1"
}

principal=$(az resource show --resource-group "$group" --name "$playbook" --resource-type Microsoft.Logic/workflows --query identity.principalId --output tsv)
if [ -z "$principal" ]; then echo "$playbook has no managed identity: deploy it first." >&2; exit 1; fi
grant "Microsoft Sentinel Responder" "$principal" "${workspace%%/providers/*}"

# Sentinel's own application, the same in every tenant: "Azure Security Insights".
sentinel=$(az ad sp show --id 98785600-1bb7-4fb9-b9fa-19afe2c8a360 --query id --output tsv)
grant "Microsoft Sentinel Automation Contributor" "$sentinel" "$(az group show --name "$group" --query id --output tsv)"

if [ -n "$audience" ]; then
  revoker=$(az ad sp show --id "$audience" --query id --output tsv)
  role=$(az ad sp show --id "$audience" --query "appRoles[?value=='Revocations.Submit'].id | [0]" --output tsv)
  if [ -z "$role" ]; then echo "$audience has no role Revocations.Submit: is it the revoker's ENTRA_CLIENT_ID?" >&2; exit 1; fi
  assigned="https://graph.microsoft.com/v1.0/servicePrincipals/$principal/appRoleAssignments"
  count=$(az rest --method get --uri "$assigned" --query "length(value[?resourceId=='$revoker' && appRoleId=='$role'])" --output tsv)
  if [ "$count" = 0 ]; then
    az rest --method post --uri "$assigned" --headers Content-Type=application/json --output none \
      --body "{\"principalId\": \"$principal\", \"resourceId\": \"$revoker\", \"appRoleId\": \"$role\"}"
  fi
  echo "granted: Revocations.Submit"
fi
