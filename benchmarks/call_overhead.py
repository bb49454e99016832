"""Claim: `rsample` of a Normal of 64 elements, construction included, is no slower than torch's own.

python benchmarks/call_overhead.py
"""

from __future__ import annotations

import torch
from torch.distributions import Normal

import reparam as rp
from paired import compare, machine


def main() -> None:
    torch.set_num_threads(1)
    print(machine())
    loc, scale = torch.zeros(64, requires_grad=True), torch.ones(64, requires_grad=True)
    for validate in (False, None):

        def ours(validate=validate) -> object:
            return rp.rsample(Normal(loc, scale, validate_args=validate))

        def peer(validate=validate) -> object:
            return Normal(loc, scale, validate_args=validate).rsample()

        name = "Normal, 64 elements, " + ("validated" if validate is None else "not validated")
        print(compare(ours, peer, calls=1000).report(name, 1.0))


if __name__ == "__main__":
    main()
