"""A short run of every recipe that several processes can share; as a script, all of them, as one of the processes."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from rich.console import Console

# Batches that two processes cannot halve, so that a mean of two means is not the mean.
SHORT = {"steps": 20, "batch": 101, "threads": 1}
IMAGES = {**SHORT, "hidden": 16, "latent": 6, "nll_samples": 2}
GAN = {**SHORT, "hidden": 16, "latent": 4, "groups": 1}
BNN = {**SHORT, "hidden": 16, "predictions": 2}

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "vae": ("vae", {**IMAGES, "k": 2}),
    "vae iwae": ("vae", {**IMAGES, "k": 3, "objective": "iwae", "doubly_reparameterized": True}),
    "vae landing": ("vae", {**IMAGES, "stick_the_landing": True}),
    "vae conv": ("vae", {**IMAGES, "network": "conv"}),
    "vae layers": ("vae", {**IMAGES, "layers": 2}),
    **{
        f"vae {family}": ("vae", {**IMAGES, "family": family})
        for family in ("von-mises-fisher", "power-spherical", "gamma", "beta", "mixture")
    },
    **{
        f"discrete-vae {estimator}": ("discrete_vae", {**IMAGES, "estimator": estimator})
        for estimator in ("DisARM", "ARMS(4)", "LeaveOneOut(4)", "REBAR", "RELAX", "RODEO(2)", "ReinMax")
    },
    "discrete-vae categorical": ("discrete_vae", {**IMAGES, "family": "categorical"}),
    "discrete-vae poisson": ("discrete_vae", {**IMAGES, "family": "poisson", "estimator": "MeasureValued"}),
    "gan r1": ("gan", GAN),
    "gan spectral": ("gan", {**GAN, "regularizer": "spectral"}),
    "gan avb": ("gan", {**GAN, "model": "avb"}),
    **{
        f"bnn {posterior}": ("bnn", {**BNN, "posterior": posterior})
        for posterior in ("weights", "local", "flipout", "none")
    },
    "bnn wave": ("bnn", {**BNN, "data": "wave"}),
    "mixture": ("mixture", {**SHORT, "data": "pinwheel", "components": 5}),
    "mixture elbo": ("mixture", {**SHORT, "objective": "elbo", "hidden": 16}),
}


def case(name: str, **settings: Any) -> tuple[ModuleType, Any]:
    """The recipe's module and the configuration of a case."""
    recipe, options = CASES[name]
    module = import_module(f"reparam.recipes.{recipe}")
    return module, module.Config(**{**options, **settings})


def train(name: str, out: Path, devices: int = 1) -> None:
    """One of the runs."""
    module, config = case(name, devices=devices)
    module.train(config, out / name, console=Console(quiet=True))


if __name__ == "__main__":
    for each in CASES:
        train(each, Path(sys.argv[1]), int(os.environ["WORLD_SIZE"]))
