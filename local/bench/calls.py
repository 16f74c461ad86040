"""One user over HTTP, warm, against bare Graph round trips; and the app's import against what it cannot do without."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from typing import Final

from aiohttp import ClientSession

from local.bench.figures import Figure, at_most
from local.processes import ROOT
from local.up import kit

LATENCY_MS: Final = 150
ROUND_TRIPS: Final = 3
BUDGET_MS: Final = 75.0
IMPORT_BUDGET: Final = 1.3
_APP: Final = "import function_app"
_FLOOR: Final = "import azure.functions, azure.data.tables"


async def one_user(rounds: int) -> list[Figure]:
    """Look up, revoke, prove: over HTTP, and what three bare calls would take."""
    one, bare = await _one_user(rounds)
    over = one - ROUND_TRIPS * bare
    return [
        Figure(part="one user", name="bare Graph round trip, median", value=f"{bare:.1f} ms"),
        Figure(
            part="one user", name="over HTTP, warm, median", value=f"{one:.1f} ms", note=f"{one / bare:.2f} round trips"
        ),
        Figure(
            part="one user",
            name=f"over {ROUND_TRIPS} round trips",
            value=f"{over:.1f} ms",
            budget=f"<= {BUDGET_MS:.0f} ms",
            kept=at_most(over, BUDGET_MS),
        ),
    ]


def imports(pairs: int) -> list[Figure]:
    """The app's import in fresh processes, against that of ``azure.functions`` with the table client."""
    app, floor = _imports(pairs)
    return [
        Figure(part="imports", name="azure.functions + tables", value=f"{floor:.0f} ms"),
        Figure(
            part="imports",
            name="the app",
            value=f"{app:.0f} ms",
            note=f"{app / floor:.2f} x",
            budget=f"<= {IMPORT_BUDGET} x",
            kept=at_most(app / floor, IMPORT_BUDGET),
        ),
    ]


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
