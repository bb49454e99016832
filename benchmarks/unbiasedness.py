"""Claim: no unbiased estimator's value, gradient or Hessian is off by more than chance allows, in a million draws.

The rows are those of the tests (`tests/estimators/table.py`): every estimator with every family it accepts. Each row's
figure is the largest error of any component in standard errors, against the sum over the support; the threshold is that
of the whole suite, a false alarm in ten thousand runs. The last row is the control: a relaxed coin, whose
bias the same test must see.

    python benchmarks/unbiasedness.py                          # four minutes of CPU time
    python benchmarks/unbiasedness.py --draws 10000 --only RELAX
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch

import reparam as rp
from paired import machine
from reparam import testing

if TYPE_CHECKING:
    from estimators.table import Family
    from reparam.estimators import Estimator

RESULTS = Path(__file__).parent / "results" / "unbiasedness.json"
CONTROL = "GumbelSoftmax-Bernoulli logits"


def largest(estimator: Estimator, family: Family, draws: int) -> list[float]:
    """The largest |z| of value, gradient and Hessian."""
    from estimators.table import estimates, exact

    pairs = zip(estimates(estimator, family, draws), exact(family), strict=True)
    return [testing.z_test(got, wanted).z.abs().max().item() for got, wanted in pairs]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=1_000_000)
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))
    from estimators.table import ROWS

    rows = {name: row for name, row in ROWS.items() if args.only in name}
    rows[CONTROL] = (rp.GumbelSoftmax(), ROWS["DisARM-Bernoulli logits"][1])
    limit, found = testing.threshold(), {}
    print(f"{machine()}; {args.draws} draws a row, seed {args.seed}, threshold {limit:.2f}\n")
    print("| row | value | gradient | Hessian | seconds |\n|---|---|---|---|---|")
    for name, (estimator, family) in rows.items():
        torch.manual_seed(args.seed)
        started = time.process_time()
        found[name] = largest(estimator, family, args.draws)
        print(
            f"| {name} | {' | '.join(f'{z:.2f}' for z in found[name])} | {time.process_time() - started:.0f} |",
            flush=True,
        )
    control = max(found.pop(CONTROL))
    worst = max(found, key=lambda name: max(found[name]))
    print(f"\n{len(found)} rows, largest |z| {max(found[worst]):.2f} ({worst}), threshold {limit:.2f}: ", end="")
    print("holds" if max(found[worst]) <= limit else "does not hold", f"; the biased control {control:.1f}", sep="")
    record = {"machine": machine(), "reparam": rp.__version__, "draws": args.draws, "seed": args.seed}
    args.out.write_text(json.dumps({**record, "threshold": limit, "control": control, "rows": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
