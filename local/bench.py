"""``python -m local bench``: the budgets of this version as ratios, both sides measured in one run.

One user over HTTP, warm (look up, revoke, prove), against bare round trips to the same simulated Graph at 150 ms; and
the app's import against ``azure.functions`` with the table client, each in a fresh process.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import time
from typing import Final

from aiohttp import ClientSession

from local.processes import ROOT
from local.up import kit

LATENCY_MS: Final = 150
ROUND_TRIPS: Final = 3
BUDGET_MS: Final = 75.0
IMPORT_BUDGET: Final = 1.3
_APP: Final = "import function_app"
_FLOOR: Final = "import azure.functions, azure.data.tables"


def main(argv: list[str]) -> int:
    """Print the table; 0 when every budget is kept."""
    parser = argparse.ArgumentParser(prog="python -m local bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=30, help="measured calls (default %(default)s)")
    parser.add_argument("--imports", type=int, default=11, help="measured pairs of imports (default %(default)s)")
    options = parser.parse_args(argv)
    one, bare = asyncio.run(_one_user(options.rounds))
    over = one - ROUND_TRIPS * bare
    app, floor = _imports(options.imports)
    rows = [
        ("bare Graph round trip, median", f"{bare:.1f} ms", ""),
        ("one user over HTTP, warm, median", f"{one:.1f} ms", f"{one / bare:.2f} round trips"),
        (f"  over {ROUND_TRIPS} round trips", f"{over:.1f} ms", f"budget {BUDGET_MS:.0f} ms"),
        ("import of azure.functions + tables", f"{floor:.0f} ms", ""),
        ("import of the app", f"{app:.0f} ms", f"{app / floor:.2f} x, budget {IMPORT_BUDGET} x"),
    ]
    for name, value, note in rows:
        print(f"{name:38}{value:>12}   {note}")
    return 0 if over <= BUDGET_MS and app / floor <= IMPORT_BUDGET else 1


async def _one_user(rounds: int) -> tuple[float, float]:
    """Medians in milliseconds of one user over HTTP and one bare call, taken in turn on the same machine."""
    options = ("--latency-ms", str(LATENCY_MS))
    async with kit(tenant_options=options) as running, ClientSession() as session:
        address = running.address
        api = f"{address['functions']}/api/revocations"
        key = {"x-functions-key": address["key"]}
        identity = f"{address['identityEndpoint']}?api-version=2019-08-01&resource=https://graph.microsoft.com"
        async with session.get(identity, headers={"X-IDENTITY-HEADER": address["identityHeader"]}) as answer:
            bearer = {"Authorization": f"Bearer {(await answer.json())['access_token']}"}
        graph = f"{address['graph']}/v1.0/users/adele@contoso.com?$select=id"
        whole: list[float] = []
        bare: list[float] = []
        for number in range(rounds + 3):
            begun = time.perf_counter()
            async with session.post(api, json={"user": f"user{number + 1:05d}@contoso.com"}, headers=key) as answer:
                verified = (await answer.json())["counts"]["verified"]
            middle = time.perf_counter()
            async with session.get(graph, headers=bearer) as answer:
                await answer.read()
            if verified != 1:
                raise RuntimeError("a measured call did not end verified")
            whole.append((middle - begun) * 1000)
            bare.append((time.perf_counter() - middle) * 1000)
        # The first three warm the connections up.
        return statistics.median(whole[3:]), statistics.median(bare[3:])


def _imports(pairs: int) -> tuple[float, float]:
    """Medians in milliseconds over fresh processes, the empty interpreter taken off."""
    times: dict[str, list[float]] = {code: [] for code in ("pass", _FLOOR, _APP)}
    environment = {"AzureWebJobsStorage": "UseDevelopmentStorage=true", "PATH": ""}
    for _ in range(pairs):
        for code, taken in times.items():
            begun = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True)
            taken.append((time.perf_counter() - begun) * 1000)
    empty = statistics.median(times["pass"])
    return statistics.median(times[_APP]) - empty, statistics.median(times[_FLOOR]) - empty


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
