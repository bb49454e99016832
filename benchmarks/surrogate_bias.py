"""What the one-evaluation surrogates get wrong, and how noisy they are, beside two unbiased estimators.

No claim, a table. For each law and cost the gradient in one parameter is drawn 200,000 times; "bias" is the error of
its mean and "sd" its standard deviation, both relative to the exact gradient, which is summed over the support. The
estimators that see the cost twice are marked (2). A bias below three standard errors of its mean is printed as 0.

    python benchmarks/surrogate_bias.py
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch import distributions as td

import reparam as rp
from reparam.estimators import Estimator

DRAWS = 200_000
RESULTS = Path(__file__).parent / "results" / "surrogate_bias.json"
CHOICES: dict[str, Estimator] = {
    "LeaveOneOut (2)": rp.LeaveOneOut(2),
    "MeasureValued (2)": rp.MeasureValued(),
    "StraightThrough": rp.StraightThrough(),
    "Gumbel, straight-through": rp.GumbelSoftmax(1.0, hard=True),
    "GumbelRao(1)": rp.GumbelRao(1.0, inner=16),
    "GumbelSoftmax(0.5)": rp.GumbelSoftmax(0.5),
    "ReinMax(1)": rp.ReinMax(1.0),
    "ReinMax(1.3)": rp.ReinMax(1.3),
    "MVE": rp.MVE(),
}
COUNTS: dict[str, Estimator] = {
    "LeaveOneOut (2)": rp.LeaveOneOut(2),
    "MeasureValued (2)": rp.MeasureValued(),
    "Fini(1), straight-through": rp.Fini(1),
    "Fini(2)": rp.Fini(2),
    "Fini(3)": rp.Fini(3),
    "Fini(4)": rp.Fini(4),
}
COSTS: dict[str, Callable[[Tensor], Tensor]] = {
    "square": lambda x: (x - 0.45) ** 2,
    "cube": lambda x: x**3,
    "wave": lambda x: torch.sin(0.7 * x),
    "exp(-x)": lambda x: torch.exp(-x),
}
Law = Callable[[Tensor], td.Distribution]
LAWS: dict[str, tuple[Law, float, dict[str, Estimator]]] = {
    "Bernoulli(0.3), logit": (lambda v: td.Bernoulli(logits=v), -0.8473, CHOICES),
    "Categorical of 4, one logit": (lambda v: td.Categorical(logits=_one_of_four(v)), 0.5, CHOICES),
    "Poisson(4), rate": (td.Poisson, 4.0, COUNTS),
    "NegativeBinomial(3, 0.4), logit": (lambda v: td.NegativeBinomial(3.0, logits=v), -0.4055, COUNTS),
}


def _one_of_four(logit: Tensor) -> Tensor:
    return torch.stack([logit, torch.zeros_like(logit), 0.3 * torch.ones_like(logit), -1 + 0 * logit], -1)


def exact(law: Law, at: float, cost: Callable[[Tensor], Tensor]) -> float:
    """The derivative of the sum over the support."""
    parameter = torch.tensor(at, dtype=torch.float64, requires_grad=True)
    dist = law(parameter)
    points = dist.enumerate_support() if dist.has_enumerate_support else torch.arange(150.0, dtype=torch.float64)
    value = (dist.log_prob(points).exp() * cost(points.double())).sum()
    return torch.autograd.grad(value, parameter)[0].item()


def measure(law: Law, at: float, cost: Callable[[Tensor], Tensor], estimator: Estimator) -> tuple[float, float]:
    """Relative bias and relative standard deviation of a single estimate."""
    parameter = torch.full((DRAWS,), at, dtype=torch.float64, requires_grad=True)
    value = rp.expect(lambda x: cost(x.double()), law(parameter), estimator)
    (slopes,) = torch.autograd.grad(value.sum(), parameter)
    truth = exact(law, at, cost)
    bias, spread = (slopes.mean().item() - truth) / truth, slopes.std().item() / abs(truth)
    return (bias if abs(bias) > 3 * spread / DRAWS**0.5 + 1e-9 else 0.0), spread


def _cell(bias: float, spread: float) -> str:
    return f"{100 * bias:+.1f}%, {spread:.2f}" if bias else f"0, {spread:.2f}"


def main() -> None:
    torch.manual_seed(2026)
    print(f"{platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}, seed 2026")
    rows = []
    for name, (law, at, estimators) in LAWS.items():
        print(f"\n| {name} | " + " | ".join(f"{cost}: bias, sd" for cost in COSTS) + " |\n|---" + "|---:" * 4 + "|")
        for label, estimator in estimators.items():
            cells = {cost: measure(law, at, f, estimator) for cost, f in COSTS.items()}
            rows.append({"law": name, "estimator": label, "bias_and_sd": cells})
            print(f"| {label} | " + " | ".join(_cell(*cell) for cell in cells.values()) + " |")
    RESULTS.write_text(json.dumps({"draws": DRAWS, "torch": torch.__version__, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
