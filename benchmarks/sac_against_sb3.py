"""Claim: SAC learns Pendulum-v1 to a mean return of -200 or better at 0.8 times the CPU time of stable-baselines3.

Both train policies and critics of 64-64 units for as many actions, with one gradient step of 256 transitions for each,
the same learning rate (that of stable-baselines3's zoo for this environment), discount, smoothing and warmup, one copy
of the environment and one thread. Both agents are measured without their randomness on the same 20 episodes. The time
of reparam is that of the whole command, with its evaluations, checkpoints and pictures; that of stable-baselines3 is
its `learn` alone.

    pip install stable-baselines3==2.9.2
    python benchmarks/sac_against_sb3.py --seeds 3
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import pathlib
import random
import statistics
import tempfile
import time

import torch
from rich.console import Console
from torch import Tensor

from paired import machine
from reparam.recipes import sac
from reparam.recipes.environments import play, seed_of

LIMIT, ENOUGH = 0.8, -200.0
RESULTS = pathlib.Path(__file__).parent / "results" / "sac_against_sb3.json"


def reparam(config: sac.Config) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time()
        summary = sac.train(config, pathlib.Path(folder) / "run", console=Console(quiet=True))
        seconds = time.process_time() - started
    return {"return": summary["eval_return_mean"], "cpu_seconds": seconds}


def stable_baselines3(config: sac.Config) -> dict[str, float]:
    from stable_baselines3 import SAC  # pyright: ignore[reportMissingImports]  (for this comparison alone)

    agent = SAC(
        "MlpPolicy",
        config.environment,
        learning_rate=config.learning_rate,
        buffer_size=config.memory,
        learning_starts=config.warmup,
        batch_size=config.batch,
        tau=config.smoothing,
        gamma=config.discount,
        policy_kwargs={"net_arch": [config.hidden, config.hidden]},
        seed=config.seed,
        device="cpu",
    )
    started = time.process_time()
    agent.learn(config.steps)
    seconds = time.process_time() - started
    high = float(agent.action_space.high[0])  # pyright: ignore[reportAttributeAccessIssue]

    def best(observations: Tensor) -> Tensor:
        return torch.from_numpy(agent.predict(observations.numpy(), deterministic=True)[0]) / high

    seeds = [seed_of(sac.EVALUATION_SEED, episode) for episode in range(config.episodes)]
    return {"return": play(config.environment, best, seeds).mean().item(), "cpu_seconds": seconds}


PEERS = {"reparam": reparam, "stable-baselines3": stable_baselines3}


def report(rows: list[dict[str, dict[str, float]]]) -> str:
    lines = [f"{'':<20}{'mean return':>24}{'CPU seconds':>22}"]
    for peer in PEERS:
        returns, seconds = ([row[peer][name] for row in rows] for name in ("return", "cpu_seconds"))
        spread = statistics.pstdev(returns), statistics.pstdev(seconds)
        lines.append(
            f"{peer:<20}{statistics.mean(returns):>15.1f} ± {spread[0]:<6.1f}"
            f"{statistics.mean(seconds):>15.1f} ± {spread[1]:<6.1f}"
        )
    ratios = [row["reparam"]["cpu_seconds"] / row["stable-baselines3"]["cpu_seconds"] for row in rows]
    ratio, reached = statistics.median(ratios), statistics.mean(row["reparam"]["return"] for row in rows)
    verdicts = ["holds" if holds else "does not hold" for holds in (ratio <= LIMIT, reached >= ENOUGH)]
    lines.append(f"CPU time, pair by pair: {', '.join(f'{r:.2f}' for r in ratios)}; at most {LIMIT}: {verdicts[0]}")
    lines.append(f"mean return of reparam: {reached:.1f}; at least {ENOUGH:.0f}: {verdicts[1]}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="runs of each, with seeds from 0")
    parser.add_argument("--steps", type=int, default=8000, help="actions played in a run")
    options = parser.parse_args()
    if importlib.util.find_spec("stable_baselines3") is None:
        print("not run: it compares with stable-baselines3 (pip install stable-baselines3==2.9.2)")
        return
    torch.set_num_threads(1)
    head = f"{machine()}, stable-baselines3 {importlib.metadata.version('stable_baselines3')}"
    print(head)
    for peer in PEERS.values():  # what is imported and compiled at the first call is nobody's time
        peer(sac.Config(steps=300, episodes=1))
    rows = []
    for seed in range(options.seeds):
        config = sac.Config(seed=seed, steps=options.steps)
        row = {name: PEERS[name](config) for name in random.sample(list(PEERS), len(PEERS))}
        print(f"seed {seed}: {row}", flush=True)
        rows.append(row)
    print(report(rows))
    RESULTS.write_text(json.dumps({"machine": head, "steps": options.steps, "runs": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
