"""Policy gradient: an agent that learns among discrete actions, where no sample can move.

A policy pi(a | s) chooses an action a in a state s, and the environment answers. A choice is not a number with a
derivative, and the environment is not a formula, so the trick of `sac.py` has nothing to pass through. What moves is
the probability of what was done: every choice becomes likelier by as much as what followed was better than expected.

    gradient of E[return]  =  E[ sum_t  (what was earned from t on  -  baseline) * gradient of log pi(a_t | s_t) ]

The baseline, what was to be expected, may not depend on the choice itself; the better it is, the quieter the gradient.
Two are here, each a function of its own:

  leave-one-out   several episodes from the same start; each is held against the mean of the others. Nothing is learnt
                  but the policy. The whole is one call of `rp.expect`, whose program is the episode.
  learned         a second network learns what a state is worth. The estimate is held against that, and one episode a
                  start is enough.

Run it with `reparam train policy-gradient`; read it from top to bottom: what can be chosen, the agent, the two
estimates, the training, and what is left behind. The loop and the files are in `engine.py`, gymnasium in
`environments.py`.

References:
    Williams (1992), Simple Statistical Gradient-Following Algorithms, Machine Learning 8.
    Kool, van Hoof, Welling (2019), Buy 4 REINFORCE Samples, Get a Baseline for Free!, ICLR workshop.
    Sutton, McAllester, Singh, Mansour (2000), Policy Gradient Methods for Reinforcement Learning, NeurIPS.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.distributions import Categorical

import reparam as rp
from reparam.recipes import engine, films
from reparam.recipes.engine import Figures, Machine, RunFolder, require
from reparam.recipes.environments import Worlds, play, record, seed_of
from reparam.recipes.runs import CONFIG, WEIGHTS, load_weights, read_config

# --- what can be chosen -----------------------------------------------------------------------------------------------

BaselineName: TypeAlias = Literal["leave-one-out", "learned"]


@dataclass(frozen=True)
class Config(engine.Settings):
    """Train a policy in an environment with discrete actions."""

    environment: str = "CartPole-v1"
    """Of gymnasium, with discrete actions."""
    baseline: BaselineName = "leave-one-out"
    """What a return is held against: the other episodes from the same start, or a second network's expectation."""
    steps: int = 40
    """Gradient steps."""
    starts: int = 4
    """Starts of episodes in a gradient step."""
    episodes: int = 8
    """Episodes from each start."""
    hidden: int = 64
    """Units of each of the two hidden layers."""
    learning_rate: float = 1e-2
    """Step size of Adam."""
    discount: float = 1.0
    """What a reward is worth one step later."""
    evaluation_episodes: int = 20
    """Episodes that are played at the end to measure the agent."""


# --- the agent --------------------------------------------------------------------------------------------------------


def network(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Two hidden layers."""
    return nn.Sequential(
        *(nn.Linear(inputs, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh()), nn.Linear(hidden, outputs)
    )


class Agent(nn.Module):
    """The policy and, for the learned baseline, what a state is worth."""

    def __init__(self, worlds: Worlds, config: Config) -> None:
        super().__init__()
        self.policy = network(worlds.features, config.hidden, worlds.actions)
        if config.baseline == "learned":
            self.worth = network(worlds.features, config.hidden, 1)
            self.unit = nn.Buffer(torch.zeros(()))  # of returns, which grow a hundredfold while the agent learns

    def law(self, observations: Tensor) -> Categorical:
        """pi(a | s), for observations of shape (..., features)."""
        return Categorical(logits=self.policy(observations), validate_args=False)

    def best(self, observations: Tensor) -> Tensor:
        """The likeliest action."""
        return self.policy(observations).argmax(-1)


# --- the two estimates ------------------------------------------------------------------------------------------------


def leave_one_out(agent: Agent, worlds: Worlds, config: Config) -> Tensor:
    """Minus the expected return from each start, shape (starts,): the episode, as a program of its choices."""
    shape = config.episodes, config.starts

    def episode(sample: Callable[..., Tensor]) -> Tensor:
        earned, factor = torch.zeros(shape), 1.0
        logits = agent.policy(worlds.observations[: config.starts])  # the episodes of a start begin alike
        while True:
            actions = sample(Categorical(logits=logits, validate_args=False), rp.LeaveOneOut())
            earned = earned + factor * worlds.step(actions.flatten()).rewards.view(shape)
            if not worlds.alive.any():
                return earned
            # What is drawn after the end changes nothing, so its probability must not be credited with anything.
            logits = agent.policy(worlds.observations).unflatten(0, shape) * worlds.alive.view(*shape, 1)
            factor *= config.discount

    return -rp.expect(episode, samples=config.episodes)


def learned(agent: Agent, worlds: Worlds, config: Config) -> Tensor:
    """What has the gradient of minus the expected return, and teaches the baseline, one number for each episode."""
    seen, actions, to_go, lasting = _played(agent, worlds, config.discount)
    largest = to_go.abs().max()
    to_go = to_go / next(unit for unit in (agent.unit, largest, torch.ones(())) if unit > 0)
    # Not before: a baseline may not depend on the choices that are held against it.
    agent.unit.lerp_(largest, 0.1 if agent.unit > 0 else 1.0)
    worth = agent.worth(seen).squeeze(-1)
    # Seen from the start a later return counts for less, which many implementations forget.
    factors = config.discount ** torch.arange(len(seen)).unsqueeze(-1)
    credit = factors * (to_go - worth).detach() * agent.law(seen).log_prob(actions)
    return (((worth - to_go).square() - credit) * lasting).sum(0)


@torch.no_grad()
def _played(agent: Agent, worlds: Worlds, discount: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """One episode in each copy: observations, actions, what was earned from each step on, and whether it was played."""
    steps = []
    while worlds.alive.any():
        seen, lasting = worlds.observations, worlds.alive
        actions = agent.law(seen).sample()
        steps.append((seen, actions, worlds.step(actions).rewards, lasting))
    seen, actions, rewards, lasting = (torch.stack(column) for column in zip(*steps, strict=True))
    to_go = rewards.clone()
    for t in range(len(to_go) - 2, -1, -1):
        to_go[t] += discount * to_go[t + 1]
    return seen, actions, to_go, lasting


BASELINES: dict[BaselineName, Callable[[Agent, Worlds, Config], Tensor]] = {
    "leave-one-out": leave_one_out,
    "learned": learned,
}


# --- the training -----------------------------------------------------------------------------------------------------


def train(config: Config, out: str | Path | None = None, **how: Any) -> dict[str, Any]:
    """Train, and leave a run folder.

    Args:
        config: what to train.
        out: a new or empty folder; None takes the next free `runs/policy-gradient-<number>`.
        how: `resume`, `dry_run` and `console`, as `engine.run` takes them.

    Returns:
        The final figures, as in `summary.json`, with the `folder` they are in.

    Raises:
        InvalidArgument: the configuration cannot train, or there is no such environment.
        DataError: the output folder is not free, or a stopped run cannot be taken up again.

    Example:
        >>> train(Config(steps=3), dry_run=True)["parameters"]  # 4 numbers seen, twice 64 hidden units, 2 choices
        4610
    """
    return engine.run("policy-gradient", config, Training, out, **how)


EVALUATION_SEED = 1797  # a constant, so that runs of any seed are measured on the same episodes
EVERY = 5  # gradient steps from one line of metrics to the next,
WATCHED = 5  # each with the return of so many episodes


class Training(engine.Training):
    """Play some episodes, credit the choices, take a gradient step."""

    headline = "eval_return"
    log_every = EVERY
    threads = 1  # the networks are small
    processes = 1  # the environments are those of one process

    def __init__(self, config: Config, machine: Machine) -> None:
        _check(config)
        self.config = config
        self.worlds = Worlds(config.environment, config.starts * config.episodes)
        choices = not self.worlds.continuous
        require(choices, "environment", config.environment, "discrete actions, or `reparam train sac`")
        self.weights = self.agent = Agent(self.worlds, config)
        optimizer = torch.optim.Adam(self.agent.parameters(), lr=config.learning_rate)
        self.learner = machine.learner(self.agent, self._loss, optimizer)
        self.state = {"learner": self.learner}
        self.steps = config.steps

    def _loss(self, agent: Agent) -> Tensor:
        return BASELINES[self.config.baseline](agent, self.worlds, self.config)

    def step(self, step: int) -> Figures:
        """Several episodes from each of some new starts."""
        seeds = [seed_of(self.config.seed, step, start) for start in range(self.config.starts)]
        self.worlds.begin(seeds * self.config.episodes)
        self.learner.step()
        return {"train_return": self.worlds.returns}

    def _returns(self, episodes: int) -> Tensor:
        """The returns of the likeliest choices."""
        seeds = [seed_of(EVALUATION_SEED, episode) for episode in range(episodes)]
        return play(self.config.environment, self.agent.best, seeds)

    def evaluate(self, step: int) -> Figures:
        """The return of a few episodes, and how many were played so far."""
        played = step * self.config.starts * self.config.episodes
        return {"played": played, "eval_return": self._returns(WATCHED).mean()}

    def finish(self, folder: RunFolder) -> dict[str, Any]:
        """The final returns, the curve and an episode to look at."""
        returns = self._returns(self.config.evaluation_episodes)
        films.save_returns(folder, "played", "episodes played")
        recording = record(self.config.environment, self.agent.best, seed_of(EVALUATION_SEED, 0))
        return {
            "environment": self.config.environment,
            "baseline": self.config.baseline,
            "eval_return_mean": returns.mean().item(),
            "eval_return_std": returns.std(correction=0).item(),
            "eval_episodes": self.config.evaluation_episodes,
            "episode": films.save_episode(folder.path, recording),
        }


def _check(config: Config) -> None:
    for name in ("steps", "starts", "episodes", "hidden", "evaluation_episodes"):
        require(getattr(config, name) >= 1, name, getattr(config, name), "a whole number of at least 1")
    rate = config.learning_rate
    require(0 < rate < math.inf, "learning_rate", rate, "a positive number, such as 1e-2")
    require(0 < config.discount <= 1, "discount", config.discount, "a number above 0 and up to 1")
    require(config.baseline in BASELINES, "baseline", config.baseline, f"one of {', '.join(BASELINES)}")
    enough = config.baseline == "learned" or config.episodes >= 2
    require(enough, "episodes", config.episodes, "at least 2, so that one can be held against another")
    for name, value in (("accelerator", "cpu"), ("precision", "32-true"), ("compile", False)):
        require(getattr(config, name) == value, name, getattr(config, name), f"{value}: most of a step is playing")


def restore(folder: str | Path) -> tuple[Agent, Config]:
    """The trained agent of a run folder, with its configuration: `agent.best(observations)` chooses.

    Raises:
        DataError: a file is missing or damaged, or the weights are not those of the configuration.
    """
    config = replace(read_config(Path(folder) / CONFIG, Config), accelerator="cpu")
    agent = Agent(Worlds(config.environment, 1), config)
    load_weights(agent, Path(folder) / WEIGHTS)
    return agent, config
