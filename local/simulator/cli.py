"""``python -m local tenant``: a Microsoft Graph and managed-identity simulator.

Control routes (no token): GET /_sim/users, /_sim/groups, /_sim/revocations, /_sim/calls, /_sim/config, /_sim/faults;
POST /_sim/config, /_sim/faults, /_sim/throttle, /_sim/tokens/forget, /_sim/reset, /_sim/users, /_sim/groups;
DELETE /_sim/faults, /_sim/groups/{id}; PATCH and DELETE /_sim/users/{id}. docs/simulator.md explains each.
"""

import argparse
import asyncio
import json
import logging
import os
import secrets
import sys

from local.processes import stop_requested
from local.simulator.server import running
from local.simulator.settings import SettingsError
from local.simulator.tenant import Tenant


def main(argv: list[str]) -> int:
    """Serve a tenant until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(
        prog="python -m local tenant", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument("--port", type=int, default=7081, help="0 takes a free port (default %(default)s)")
    parser.add_argument("--users", type=int, default=200, help="bulk users beside the named ones (default %(default)s)")
    parser.add_argument("--identity-header", help="the X-IDENTITY-HEADER to ask for (default: made up)")
    parser.add_argument("--config", default="{}", help="configuration as JSON, as for POST /_sim/config")
    parser.add_argument("--latency-ms", type=float, help="short for --config '{\"latencyMs\": N}'")
    parser.add_argument("--json", action="store_true", help="print one JSON line once it listens")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    try:
        config = json.loads(options.config)
        if options.latency_ms is not None:
            config["latencyMs"] = options.latency_ms
        header = options.identity_header or secrets.token_hex(16)
        tenant = Tenant(bulk_users=options.users, identity_header=header, config=config)
    except (SettingsError, ValueError) as problem:
        print(f"--config: {problem}", file=sys.stderr)
        return 2
    try:
        return asyncio.run(_serve(tenant, options))
    except OSError as problem:
        print(f"Port {options.port} cannot be used ({problem.strerror}); --port chooses another.", file=sys.stderr)
        return 1


async def _serve(tenant: Tenant, options: argparse.Namespace) -> int:
    async with running(tenant, host=options.host, port=options.port) as root:
        endpoint = f"{root}/msi/token"
        if options.json:
            ready = {
                "graph": root,
                "identityEndpoint": endpoint,
                "identityHeader": tenant.identity.header,
                "pids": [os.getpid()],
            }
            print(json.dumps(ready), flush=True)
        else:
            print(f"The tenant is up.\n  Graph: {root}\n  identity: {endpoint}\n  control: {root}/_sim/…", flush=True)
        await stop_requested()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
