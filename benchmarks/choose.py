"""`choose` against the best it could have chosen, and our estimators against the published ones written by hand.

Five costs times six families, 32 batch elements each. "Work" is the variance of the gradient times the evaluations of
the cost, relative to leave-one-out with two draws written by hand. `choose` is run several times, and the worst run is
shown: its regret is the work of what it took over that of the best candidate; "with pilot" adds the pilot's own
evaluations to those of 1,000 steps. The claim is that this is at most 1.3 everywhere.

    python benchmarks/choose.py --repeats 300 --seeds 50
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch import distributions as td
from torch.distributions import Distribution

import reparam as rp
from paired import machine
from reparam.diagnosis import candidates_for
from reparam.diagnosis.measure import Cost, evaluations, gradients, seconds
from reparam.diagnosis.race import Counted
from reparam.estimators import Estimator

ELEMENTS, SITES, STEPS, LIMIT = 32, 20, 1000, 1.3
RESULTS = Path(__file__).parent / "results" / "choose.json"


class Family(NamedTuple):
    """A distribution as a function of one parameter, and what the costs see of its draws."""

    make: Callable[[Tensor], Distribution]
    theta: Tensor
    feature: Callable[[Tensor], Tensor]


def spread(low: float, high: float) -> Tensor:
    return torch.linspace(low, high, ELEMENTS)


WEIGHTS = torch.linspace(-0.5, 0.75, SITES)
TABLE = torch.linspace(-2, 2, 400)
FAMILIES = {
    "Bernoulli, 20 sites": Family(
        lambda theta: td.Independent(td.Bernoulli(logits=theta), 1),
        spread(-1.5, 1.5).unsqueeze(-1) + torch.linspace(-1, 1, SITES),
        lambda x: x @ WEIGHTS,
    ),
    "Categorical, 400": Family(
        lambda theta: td.Categorical(logits=theta),
        -((TABLE - spread(-1, 1).unsqueeze(-1)) ** 2) * 4,
        lambda x: TABLE[x],
    ),
    "Poisson": Family(lambda theta: td.Poisson(theta), spread(1.0, 8.0), lambda x: x / 4),
    "Binomial, 400": Family(lambda theta: td.Binomial(400, logits=theta), spread(-6.0, -4.0), lambda x: x / 4),
    "NegativeBinomial": Family(
        lambda theta: td.NegativeBinomial(torch.full_like(theta, 4.0), logits=theta), spread(-2.0, 0.0), lambda x: x / 4
    ),
    "Normal": Family(lambda theta: td.Normal(theta, 1.0), spread(-1.0, 2.0), lambda x: x),
}


def neural(t: Tensor) -> Tensor:
    """A random network of one hidden layer of 16 units."""
    generator = torch.Generator().manual_seed(0)
    slope, shift, out = (torch.randn(16, generator=generator) for _ in range(3))
    return torch.tanh(2 * slope * t.unsqueeze(-1) + shift) @ out


COSTS: dict[str, Cost] = {
    "quadratic": lambda t: (t - 0.45) ** 2,
    "exponential": lambda t: torch.exp(t / 2),
    "oscillating": lambda t: torch.sin(3 * t),
    "threshold": lambda t: (t >= 0.7).float(),
    "neural": neural,
}


# The published estimators by hand: two evaluations each.


def score_by_hand(f: Cost, family: Family, theta: Tensor) -> Tensor:
    dist = family.make(theta)
    x = dist.sample((2,))
    return torch.autograd.grad((f(family.feature(x)) * dist.log_prob(x)).mean(0).sum(), theta)[0]


def leave_one_out_by_hand(f: Cost, family: Family, theta: Tensor) -> Tensor:
    dist = family.make(theta)
    x = dist.sample((2,))
    costs = f(family.feature(x))
    centred = costs - costs.flip(0)  # with two draws, the baseline of each is the cost of the other
    return torch.autograd.grad((centred * dist.log_prob(x)).mean(0).sum(), theta)[0]


def disarm_by_hand(f: Cost, family: Family, theta: Tensor) -> Tensor:
    p, u = torch.sigmoid(theta.detach()), torch.rand(theta.shape)
    b, c = (u < p).float(), (1 - u < p).float()
    half = (f(family.feature(b)) - f(family.feature(c))) / 2
    sign = (1 - 2 * c) * (b != c)
    return half.unsqueeze(-1) * sign * torch.sigmoid(theta.detach().abs())


def by_hand(estimate: Callable[..., Tensor], f: Cost, family: Family, repeats: int) -> float:
    """The total variance of a hand-written gradient, from independent copies of the batch."""
    theta = family.theta.expand(repeats, *family.theta.shape).clone().requires_grad_()
    return estimate(f, family, theta).detach().flatten(1).var(0).sum().item()


def work(f: Cost, dist: Distribution, estimator: Estimator, repeats: int) -> float:
    """Variance times evaluations of one of ours."""
    return gradients(f, dist, estimator, repeats).var(0).sum().item() * evaluations(dist, estimator)


def row(name: str, cost: str, repeats: int, seeds: int) -> dict:
    """One family and cost: the hand-written, ours, every candidate, and what `choose` does."""
    family, on_feature = FAMILIES[name], COSTS[cost]
    dist = family.make(family.theta.clone().requires_grad_())
    torch.manual_seed(0)

    def f(x: Tensor) -> Tensor:
        return on_feature(family.feature(x))

    hands = {"score": score_by_hand, "leave-one-out": leave_one_out_by_hand}
    ours = {"score": rp.ScoreFunction(2), "leave-one-out": rp.LeaveOneOut(2)}
    if name.startswith("Bernoulli"):
        hands["DisARM"], ours["DisARM"] = disarm_by_hand, rp.DisARM()
    hand = {key: 2 * by_hand(estimate, on_feature, family, repeats) for key, estimate in hands.items()}
    unit = hand["leave-one-out"]
    result = {
        "family": name,
        "cost": cost,
        "by_hand": {key: value / unit for key, value in hand.items()},
        "ours": {key: work(f, dist, estimator, repeats) / unit for key, estimator in ours.items()},
    }
    # What differentiates a cost that jumps is no candidate: it would be biased.
    black_box = [e for e in candidates_for(dist) if cost != "threshold" or not isinstance(e, rp.Pathwise)]
    measured = {estimator: work(f, dist, estimator, repeats) / unit for estimator in black_box}
    return {**result, **regret(f, dist, measured, seeds)}


def regret(f: Cost, dist: Distribution, measured: dict, seeds: int) -> dict:
    """What `choose` takes, against the best that could have been taken."""
    best = min(measured, key=lambda estimator: measured[estimator])
    runs = []
    for seed in range(seeds):
        torch.manual_seed(1 + seed)
        counted, start = Counted(f), time.process_time()
        chosen = rp.choose(counted, dist)
        pilot = time.process_time() - start
        step = seconds(f, dist, chosen, 15)
        steps = STEPS * evaluations(dist, chosen)
        ratio = measured[chosen] / measured[best]
        runs.append((ratio * (1 + counted.count / steps), ratio, repr(chosen), counted.count, pilot / (STEPS * step)))
    worst = max(runs)
    return {
        "candidates": {repr(estimator): value for estimator, value in measured.items()},
        "best": repr(best),
        "chosen": worst[2],
        "regret": worst[1],
        "regret_with_pilot": worst[0],
        "runs_beyond": sum(run[0] > LIMIT for run in runs),
        "pilot_evaluations": worst[3],
        "pilot_seconds_over_steps": worst[4],
    }


def main() -> None:
    """Print the table as Markdown and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    heads = ("family", "cost", "score, hand/ours", "LOO, ours", "DisARM, hand/ours", "best", "chosen", "its work")
    heads = (*heads, "regret", "with pilot", "pilot/steps, CPU")
    print("| " + " | ".join(heads) + " |\n|" + "---|" * len(heads))
    rows = []
    for name in FAMILIES:
        for cost in COSTS:
            rows.append(row(name, cost, args.repeats, args.seeds))
            print(_line(rows[-1]), flush=True)
    worst = max(entry["regret_with_pilot"] for entry in rows)
    beyond = sum(entry["runs_beyond"] for entry in rows)
    print(
        f"\nworst regret with pilot: {worst:.2f}; {beyond} of {len(rows) * args.seeds} runs beyond {LIMIT}\n{machine()}"
    )
    record = {"repeats": args.repeats, "seeds": args.seeds, "machine": machine()}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps({**record, "worst_regret_with_pilot": worst, "rows": rows}, indent=1) + "\n")


def _line(entry: dict) -> str:
    hand, ours = entry["by_hand"], entry["ours"]
    pair = f"{hand['DisARM']:.2g} / {ours['DisARM']:.2g}" if "DisARM" in hand else ""
    cells = [
        entry["family"],
        entry["cost"],
        f"{hand['score']:.2g} / {ours['score']:.2g}",
        f"{ours['leave-one-out']:.2f}",
        pair,
        _short(entry["best"]),
        _short(entry["chosen"]),
        f"{entry['candidates'][entry['chosen']]:.2g}",
        f"{entry['regret']:.2f}",
        f"{entry['regret_with_pilot']:.2f}",
        f"{entry['pilot_seconds_over_steps']:.2f}",
    ]
    return "| " + " | ".join(cells) + " |"


def _short(estimator: str) -> str:
    return estimator.replace("samples=", "").replace(", budget=65536", "")


if __name__ == "__main__":
    main()
