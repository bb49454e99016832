"""Claim: the Gamma derivative takes at most 1/1.5 (float64) and 1/3.5 (float32) of torch's time on AVX2.

Geometric mean over concentrations .05, .3, 1.5, 3, 8, 30, 1000, log-uniform(.01, 1e3) and uniform(.5, 5), CPU time of
one thread, in turn with `torch._standard_gamma_grad`. On AVX-512 the claim is 1/2.5 and 1/6. Beside them, without a
claim: `jax.lax.random_gamma_grad` where JAX is installed, and the time to read and write as many bytes. The Beta
derivative is compared with `torch._dirichlet_grad`, per number; it does not reach its 1/2.5 yet.

    python benchmarks/derivative_speed.py        # writes benchmarks/results/derivative_speed.json
"""

from __future__ import annotations

import dataclasses
import json
import math
import pathlib
import statistics
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

import reparam as rp
from paired import Ratio, compare, machine
from peers import PerNumber, jax_gamma, stream, versions
from reparam.special import beta_dx_dconcentration1, gamma_dx_dconcentration

RESULTS = pathlib.Path(__file__).resolve().parent / "results" / "derivative_speed.json"
N = 100_000
CONCENTRATIONS = {str(a): (a, a) for a in (0.05, 0.3, 1.5, 3.0, 8.0, 30.0, 1000.0)}
LIMITS = {torch.float64: 1 / 1.5, torch.float32: 1 / 3.5}
BETAS = [(0.5, 0.5), (1.5, 2.5), (5.0, 3.0), (30.0, 80.0), (1.0, 3e4), (1e3, 1e3)]


def concentrations() -> dict[str, Tensor]:
    fixed = {name: torch.full((N,), a, dtype=torch.float64) for name, (a, _) in CONCENTRATIONS.items()}
    spread = torch.rand(N, dtype=torch.float64)
    return {
        **fixed,
        "log-uniform(.01, 1e3)": torch.exp(math.log(0.01) + math.log(1e5) * spread),
        "uniform(.5, 5)": 0.5 + 4.5 * spread,
    }


@dataclasses.dataclass(frozen=True)
class Row:
    """One concentration: ours against torch's, JAX's time and the limit that memory sets."""

    ratio: Ratio
    jax: PerNumber | None
    stream: PerNumber

    def report(self, name: str) -> str:
        """The ratio's line, and one for what stands beside it."""
        jax = "not installed" if self.jax is None else f"{self.jax}, {self.jax.middle / self.ours:.0f} times ours"
        share = self.stream.middle / self.ours
        return (
            f"{self.ratio.report(name, 1.1)}\n"
            f"    {self.ours:.2f} ns a number; JAX: {jax}; bytes alone: {self.stream}, {share:.0%} of ours"
        )

    @property
    def ours(self) -> float:
        """Nanoseconds a number."""
        return self.ratio.ours / N * 1e9

    def as_dict(self) -> dict[str, Any]:
        """The same for the results' file."""
        beside = {"jax": self.jax, "stream": self.stream}
        parts = {name: None if part is None else dataclasses.asdict(part) for name, part in beside.items()}
        return dataclasses.asdict(self.ratio) | parts


def gamma(dtype: torch.dtype) -> Iterator[tuple[str, Row]]:
    for name, a in concentrations().items():
        a = a.to(dtype)
        x = torch._standard_gamma(a).clamp(min=torch.finfo(dtype).tiny)
        ratio = compare(
            lambda a=a, x=x: gamma_dx_dconcentration(a, x),
            lambda a=a, x=x: torch._standard_gamma_grad(a, x),
            calls=1,
            pairs=15,
        )
        yield name, Row(ratio, jax_gamma(a, x), stream(a, x))


def beta() -> dict[str, Ratio]:
    rows = {}
    for a, b in BETAS:
        both = torch.tensor([a, b], dtype=torch.float64).expand(N // 10, 2).contiguous()
        x = torch._sample_dirichlet(both)
        total = both.sum(-1, keepdim=True).expand_as(both)
        column = x[:, 0].contiguous(), both[:, 0].contiguous(), both[:, 1].contiguous()
        twice = compare(
            lambda column=column: beta_dx_dconcentration1(column[1], column[2], column[0]),
            lambda x=x, both=both, total=total: torch._dirichlet_grad(x, both, total),
            calls=1,
            pairs=15,
        )
        # torch differentiates both components, ours one.
        rows[f"{a:g}, {b:g}"] = dataclasses.replace(
            twice, low=2 * twice.low, middle=2 * twice.middle, high=2 * twice.high
        )
    return rows


def main() -> None:
    torch.set_num_threads(1)
    head = f"{machine()}; {versions()}"
    print(head, "|", rp.info().kernels)
    results: dict[str, object] = {"machine": head, "kernels": rp.info().kernels, "elements": N}
    for dtype, limit in LIMITS.items():
        rows = {}
        for name, row in gamma(dtype):
            rows[name] = row
            print(row.report(f"Gamma({name}) derivative, {str(dtype)[6:]}"))
        mean = statistics.geometric_mean(row.ratio.middle for row in rows.values())
        verdict = "holds" if mean <= limit else "does not hold"
        print(f"geometric mean {mean:.3f}, {1 / mean:.2f} times as fast; at most {limit:.3f}: {verdict}")
        results[f"gamma {str(dtype)[6:]}"] = {name: row.as_dict() for name, row in rows.items()}
    betas = beta()
    for name, ratio in betas.items():
        print(ratio.report(f"Beta({name}) derivative, float64, per number", 1 / 2.5))
    results["beta float64"] = {name: dataclasses.asdict(ratio) for name, ratio in betas.items()}
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
