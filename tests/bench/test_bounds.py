from pathlib import Path

import pytest

from local.bench.app import Writes
from local.bench.bounds import MODELS
from local.bench.cli import main
from local.bench.counting import TrafficCounts
from local.bench.figures import Figure
from local.bench.quotas import QuotaRun, figures
from local.bench.report import write_page
from local.simulator.clock import Clock
from local.simulator.quota import WriteQuota
from local.simulator.settings import QUOTA_MODELS


@pytest.mark.parametrize(
    ("model", "users", "idle", "seconds"),
    [
        ("bucket", 3_000, 0, 0),
        ("bucket", 10_000, 0, 350),
        ("bucket", 100_000, 0, 4_850),
        ("bucket", 10_000, 500, 350),
        ("rejectsCost", 10_000, 0, 350),
        ("hidden", 10_000, 0, 9_500 / 12),
        ("empty", 10_000, 0, 500),
        ("empty", 10_000, 50, 450),
        ("empty", 10_000, 1_000, 350),
        ("window", 3_000, 0, 0),
        ("window", 3_001, 0, 150),
        ("window", 10_000, 0, 450),
        ("window", 10_000, 40, 410),
        ("window", 10_000, 190, 410),
        ("window", 100_000, 0, 4_950),
    ],
)
def test_the_least_time_of_each_quota(model: str, users: int, idle: float, seconds: float) -> None:
    """The published arithmetic: 350 s for 10,000 users, 450 s in windows, 4,850 s for 100,000."""
    assert MODELS[model].bound(users, idle=idle) == pytest.approx(seconds)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("idle", [0.0, 40.0])
def test_what_is_admitted_agrees_with_the_bound(model: str, idle: float) -> None:
    """The dashed line of the plot reaches all users exactly at the bound."""
    quota = MODELS[model]
    bound = quota.bound(10_000, idle=idle)
    assert quota.admitted(bound, idle=idle) >= 10_000 - 1e-6
    assert quota.admitted(bound - 1, idle=idle) < 10_000


@pytest.mark.parametrize("model", MODELS)
def test_the_bound_is_that_of_the_simulators_quota(model: str) -> None:
    """Both have the same figures: a perfect client that asks without end reaches the bound, and no more."""
    shape, settings = MODELS[model], QUOTA_MODELS[model]
    assert (shape.capacity, shape.refill, shape.window) == (
        settings.capacity,
        settings.refill,
        settings.window_seconds,
    )
    burst = WriteQuota(settings, Clock())
    admitted = 0
    while admitted <= shape.capacity and burst.take() is None:
        admitted += 1
    assert admitted == pytest.approx(shape.admitted(0), abs=shape.refill)


def test_a_larger_quota_keeps_its_shape() -> None:
    """Twice the writes, in the burst and after it, in the same windows."""
    larger = MODELS["bucket"].times(2)
    assert (larger.capacity, larger.refill, larger.window) == (6_000, 40, 150)
    assert larger.bound(10_000) == pytest.approx(100)


def measured(seconds: float, refused: int, storage: int) -> QuotaRun:
    accepted = tuple(1_000 + seconds * number / 9_999 for number in range(10_000))
    return QuotaRun(
        quota=MODELS["bucket"],
        users=10_000,
        scale=10,
        idle=0,
        seen=Writes(accepted=accepted, refused=refused),
        traffic=TrafficCounts(storage=storage, idle=7, graph=1_010),
        memory=90,
        late=0,
        violations=0,
    )


def verdicts(result: QuotaRun) -> dict[str, bool | None]:
    return {line.name: line.kept for line in figures([result])}


def test_a_run_at_the_bound_keeps_its_budgets() -> None:
    """35 s of real time at ten times the pace is the bound for 10,000 users."""
    assert verdicts(measured(36.0, 50, 2_000)) == {
        "10,000 users, share of the bound": True,
        "calls answered 429": True,
        "calls before a Retry-After had passed": True,
        "Graph calls per user": None,
        "storage transactions per user": True,
        "peak memory of a host": None,
    }


def test_a_run_over_its_budgets_is_reported() -> None:
    """Slower than 97 % of the bound, too many refused calls, too many transactions."""
    found = verdicts(measured(36.5, 60, 2_010))
    assert [found[name] for name in found if found[name] is not None] == [False, False, True, False]


def test_the_page_holds_command_figures_and_plot(tmp_path: Path) -> None:
    """A reader can repeat the measurement."""
    page = tmp_path / "performance.md"
    results = [measured(36.0, 0, 2_000)]
    write_page(page, ["--only", "quotas"], figures(results), results)
    text, picture = page.read_text(), (tmp_path / "performance.svg").read_text()
    assert "`python -m local bench --only quotas`" in text
    assert "| bucket | 10,000 users, share of the bound | 97.2% |" in text
    assert "performance.svg" in text
    assert picture.count("<polyline") == 2
    assert "bucket: 97.2% of the bound" in picture


def test_an_unknown_part_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A typing error does not end in a bench of nothing."""
    with pytest.raises(SystemExit):
        main(["--only", "quota"])
    assert "'quota' is not among one, small, imports" in capsys.readouterr().err


def test_a_figure_without_a_budget_has_no_verdict() -> None:
    """Only what is promised can be missed."""
    assert [Figure(part="", name="", value="", kept=kept).verdict for kept in (None, True, False)] == [
        "",
        "kept",
        "MISSED",
    ]
