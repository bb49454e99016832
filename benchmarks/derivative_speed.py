"""Claim: on AVX2 the Gamma derivative takes at most 1/1.5 (float64), 1/3.5 (float32) of torch's time, the Beta's 1/1.5.

Geometric means of CPU time of one thread, in turn with torch. The Gamma's over concentrations .05, .3, 1.5, 3, 8, 30,
1000, log-uniform(.01, 1e3) and uniform(.5, 5), against `torch._standard_gamma_grad`; on AVX-512 the claim is 1/2.5 and
1/6. Beside them, without a claim: `jax.lax.random_gamma_grad` where JAX is installed, and the time to read and write as
many bytes. The Beta's over the pairs below, against `torch._dirichlet_grad`, per number: torch differentiates all
components, ours one. On AVX-512 the claim is 1/2.5.

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
BETA_LIMIT, BETAS_TIMED = 1 / 1.5, 20_000
BETAS = [(0.3, 0.7), (0.5, 0.5), (1.5, 2.5), (3.0, 8.0), (5.0, 3.0), (30.0, 80.0), (1.0, 3e4), (1e3, 1e3)]


def log_uniform(low: float, high: float) -> Tensor:
    return low * torch.exp(math.log(high / low) * torch.rand(N, dtype=torch.float64))


def concentrations() -> dict[str, Tensor]:
    fixed = {name: torch.full((N,), a, dtype=torch.float64) for name, (a, _) in CONCENTRATIONS.items()}
    return {
        **fixed,
        "log-uniform(.01, 1e3)": log_uniform(0.01, 1e3),
        "uniform(.5, 5)": 0.5 + 4.5 * torch.rand(N, dtype=torch.float64),
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


def pairs() -> dict[str, Tensor]:
    """Both concentrations of each Beta variate."""
    fixed = {f"{a:g}, {b:g}": torch.tensor([a, b], dtype=torch.float64).expand(N, 2) for a, b in BETAS}
    return {
        **fixed,
        "uniform(.5, 5)": 0.5 + 4.5 * torch.rand(N, 2, dtype=torch.float64),
        "log-uniform(.01, 1e3)": torch.stack([log_uniform(0.01, 1e3), log_uniform(0.01, 1e3)], -1),
        "log-uniform(1e-3, 1e6)": torch.stack([log_uniform(1e-3, 1e6), log_uniform(1e-3, 1e6)], -1),
    }


def beta(dtype: torch.dtype) -> dict[str, Ratio]:
    rows = {}
    for name, both in pairs().items():
        both = both[:BETAS_TIMED].to(dtype).contiguous()
        x = torch._sample_dirichlet(both).clamp(min=torch.finfo(dtype).tiny)
        total = both.sum(-1, keepdim=True).expand_as(both)
        column = x[:, 0].contiguous(), both[:, 0].contiguous(), both[:, 1].contiguous()
        twice = compare(
            lambda column=column: beta_dx_dconcentration1(column[1], column[2], column[0]),
            lambda x=x, both=both, total=total: torch._dirichlet_grad(x, both, total),
            calls=1,
            pairs=15,
        )
        rows[name] = dataclasses.replace(
            twice, low=2 * twice.low, middle=2 * twice.middle, high=2 * twice.high, peer=twice.peer / 2
        )
    return rows


def summary(rows: dict[str, Ratio], limit: float) -> None:
    mean = statistics.geometric_mean(ratio.middle for ratio in rows.values())
    worst = max(rows, key=lambda name: rows[name].middle)
    verdict = "holds" if mean <= limit else "does not hold"
    print(
        f"geometric mean {mean:.3f}, {1 / mean:.2f} times as fast; at most {limit:.3f}: {verdict}; "
        f"worst {1 / rows[worst].middle:.2f} times, at {worst}"
    )


def main() -> None:
    torch.set_num_threads(1)
    head = f"{machine()}; {versions()}"
    print(head, "|", rp.info().kernels)
    results: dict[str, object] = {
        "machine": head,
        "kernels": rp.info().kernels,
        "elements": N,
        "beta elements": BETAS_TIMED,
    }
    for dtype, limit in LIMITS.items():
        kind, rows = str(dtype)[6:], {}
        for name, row in gamma(dtype):
            rows[name] = row
            print(row.report(f"Gamma({name}) derivative, {kind}"))
        summary({name: row.ratio for name, row in rows.items()}, limit)
        results[f"gamma {kind}"] = {name: row.as_dict() for name, row in rows.items()}
    for dtype in LIMITS:
        kind, betas = str(dtype)[6:], beta(dtype)
        for name, ratio in betas.items():
            print(ratio.report(f"Beta({name}) derivative, {kind}", 1.1))
        summary(betas, BETA_LIMIT)
        results[f"beta {kind}"] = {name: dataclasses.asdict(ratio) for name, ratio in betas.items()}
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
