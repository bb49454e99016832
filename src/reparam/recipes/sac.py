"""Soft actor-critic: an agent that learns continuous actions, trained through the reparameterization trick.

A policy pi(a | s) draws an action a in a state s; two critics Q(s, a) guess the sum of rewards that will follow, and
believe the lower of their guesses. The policy climbs the critics, and is paid for staying random:

    raise   E_{a ~ pi(. | s)}[ min_i Q_i(s, a)  -  temperature * log pi(a | s) ]

The expectation is over an action drawn from the policy's own output, so its gradient must pass through a random sample:
`rp.rsample_with_log_prob` draws a = tanh(loc + scale * eps), and the chain rule runs from the critics through a into
loc and scale, and so into every weight of the policy. It takes log pi(a | s) from the same draw, so that it stays right
where tanh rounds to 1 and the action no longer tells what it was drawn from. For the other policies in `policies.py`,
whose actions are of a Beta or of several modes, a moves by a formula of its own.

Run it with `reparam train sac`; read it from top to bottom: what can be chosen, the agent, the memory, the training,
what is left behind. The loop and the files are in `engine.py`, gymnasium is in `environments.py`.

References:
    Haarnoja, Zhou, Abbeel, Levine (2018), Soft Actor-Critic, ICML; Haarnoja et al. (2018), Soft Actor-Critic Algorithms
        and Applications, arXiv 1812.05905 (the temperature that finds itself).
    Fujimoto, van Hoof, Meger (2018), Addressing Function Approximation Error in Actor-Critic Methods, ICML (two
        critics).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

import reparam as rp
from reparam.recipes import engine, films
from reparam.recipes.engine import Figures, Machine, RunFolder, require
from reparam.recipes.environments import Worlds, play, record, seed_of
from reparam.recipes.policies import POLICIES, Policy, PolicyName
from reparam.recipes.runs import CONFIG, WEIGHTS, load_weights, read_config

# --- what can be chosen -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Config(engine.Settings):
    """Train a soft actor-critic agent in an environment with continuous actions."""

    environment: str = "Pendulum-v1"
    """Of gymnasium, with bounded continuous actions."""
    steps: int = 8000
    """Actions to play, over all copies of the environment."""
    copies: int = 1
    """Copies of the environment, played in step; the policy answers for all of them at once."""
    policy: PolicyName = "tanh-normal"
    """The law of an action: a squashed normal, a Beta, or a squashed mixture of four normals."""
    hidden: int = 64
    """Units of each of the two hidden layers, of the policy and of each critic."""
    updates: int = 1
    """Gradient steps of critics and policy for each action played."""
    warmup: int = 100
    """Actions played at random before the first gradient step."""
    batch: int = 256
    """Remembered transitions in a gradient step."""
    memory: int = 100_000
    """Transitions that are remembered; the oldest make room."""
    learning_rate: float = 1e-3
    """Step size of Adam, for the policy, the critics and the temperature."""
    discount: float = 0.99
    """What a reward is worth one step later."""
    smoothing: float = 0.005
    """How far the target critics move towards the critics in each gradient step."""
    target_entropy: float | None = None
    """Nats of randomness that the temperature upholds; by default minus the number of action dimensions."""
    episodes: int = 20
    """Episodes that are played at the end to measure the agent."""


# --- the agent --------------------------------------------------------------------------------------------------------


class Actor(nn.Module):
    """The policy, and the temperature: what a nat of its randomness is worth in rewards."""

    def __init__(self, features: int, actions: int, hidden: int, policy: Policy) -> None:
        super().__init__()
        self.policy = policy
        self.network = nn.Sequential(
            *(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()),
            nn.Linear(hidden, policy.outputs(actions)),
        )
        self.log_temperature = nn.Parameter(torch.zeros(()))

    def law(self, observations: Tensor) -> Distribution:
        """pi(a | s), of batch shape (batch,), for observations of shape (batch, features)."""
        return self.policy.law(self.network(observations))

    def best(self, observations: Tensor) -> Tensor:
        """The action that is played when it counts, shape (batch, actions)."""
        return self.policy.best(self.network(observations))


class Critics(nn.Module):
    """Two critics of the same shape, computed at once: each weight has a leading dimension of two."""

    def __init__(self, features: int, actions: int, hidden: int) -> None:
        super().__init__()
        sizes = (features + actions, hidden, hidden, 1)
        both = [[nn.Linear(*size) for _ in range(2)] for size in pairwise(sizes)]
        self.weights = nn.ParameterList(torch.stack([one.weight.detach().T for one in layer]) for layer in both)
        self.biases = nn.ParameterList(torch.stack([one.bias.detach()[None] for one in layer]) for layer in both)

    def forward(self, observations: Tensor, actions: Tensor, *, frozen: bool = False) -> Tensor:
        """Q(s, a) of both, shape (2, batch); `frozen` stops the gradient to the weights, not the one to the actions."""
        x = torch.cat([observations, actions], -1).expand(2, -1, -1)
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = x if layer == 0 else x.relu()
            x = torch.baddbmm(bias.detach(), x, weight.detach()) if frozen else torch.baddbmm(bias, x, weight)
        return x.squeeze(-1)


class Agent(nn.Module):
    """All that is learnt; the target critics follow the critics slowly, so that they do not chase their own guesses."""

    def __init__(self, worlds: Worlds, config: Config) -> None:
        super().__init__()
        self.actor = Actor(worlds.features, worlds.actions, config.hidden, POLICIES[config.policy])
        self.critics = Critics(worlds.features, worlds.actions, config.hidden)
        self.target = Critics(worlds.features, worlds.actions, config.hidden).requires_grad_(False)
        self.target.load_state_dict(self.critics.state_dict())

    @torch.no_grad()
    def follow(self, smoothing: float) -> None:
        """Move the target critics a little."""
        for target, critic in zip(self.target.parameters(), self.critics.parameters(), strict=True):
            target.lerp_(critic, smoothing)


# --- the memory -------------------------------------------------------------------------------------------------------


class Batch(NamedTuple):
    """Transitions: what was seen and done, and what came of it; `lasting` is 0 where the task came to its end."""

    observations: Tensor
    actions: Tensor
    rewards: Tensor
    lasting: Tensor
    following: Tensor


class Memory:
    """The last transitions, one a row; batches are drawn from it with replacement."""

    def __init__(self, rows: int, worlds: Worlds, device: torch.device) -> None:
        self.widths = (worlds.features, worlds.actions, 1, 1, worlds.features)
        self.rows = torch.zeros(rows, sum(self.widths), device=device)
        self.seen = 0

    def __len__(self) -> int:
        return min(self.seen, len(self.rows))

    def add(self, *transition: Tensor) -> None:
        """Remember a transition of each copy, its parts in the order of `Batch`."""
        columns = [part.reshape(len(part), -1).to(self.rows) for part in transition]
        places = torch.arange(self.seen, self.seen + len(columns[0]), device=self.rows.device) % len(self.rows)
        self.rows[places] = torch.cat(columns, -1)
        self.seen += len(places)

    def draw(self, batch: int) -> Batch:
        """A batch of transitions."""
        rows = self.rows[torch.randint(len(self), (batch,), device=self.rows.device)]
        observations, actions, rewards, lasting, following = rows.split(self.widths, -1)
        return Batch(observations, actions, rewards.squeeze(-1), lasting.squeeze(-1), following)

    def state_dict(self) -> dict[str, Any]:
        """What is remembered."""
        return {"rows": self.rows[: len(self)].clone(), "seen": self.seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what was remembered."""
        self.seen = state["seen"]
        self.rows[: len(self)] = state["rows"]


# --- the training -----------------------------------------------------------------------------------------------------


def train(config: Config, out: str | Path | None = None, **how: Any) -> dict[str, Any]:
    """Train, and leave a run folder.

    Args:
        config: what to train.
        out: a new or empty folder; None takes the next free `runs/sac-<number>`.
        how: `resume`, `dry_run` and `console`, as `engine.run` takes them.

    Returns:
        The final figures, as in `summary.json`, with the `folder` they are in.

    Raises:
        InvalidArgument: the configuration cannot train, there is no such environment, or a loss is no longer finite.
        DataError: the output folder is not free, or a stopped run cannot be taken up again.

    Example:
        >>> train(Config(steps=200), dry_run=True)["steps"]
        200
    """
    return engine.run("sac", config, Training, out, **how)


EVALUATION_SEED = 1797  # a constant, so that runs of any seed are measured on the same episodes
LINES = 10  # lines of metrics in a run,
WATCHED = 5  # each with the return of so many episodes


class Training(engine.Training):
    """Play a step, remember it, learn from a batch of what is remembered."""

    headline = "eval_return"
    threads = 1  # the networks are small
    processes = 1  # the memory and the environments are those of one process

    def __init__(self, config: Config, machine: Machine) -> None:
        _check(config)
        self.config, self.device = config, machine.device
        self.worlds = Worlds(config.environment, config.copies)
        continuous = self.worlds.continuous
        require(continuous, "environment", config.environment, "continuous actions, or `reparam train policy-gradient`")
        self.worlds.begin([seed_of(config.seed, 0, copy) for copy in range(config.copies)])
        self.weights = self.agent = Agent(self.worlds, config).to(machine.device)
        self.memory = Memory(config.memory, self.worlds, machine.device)
        self.target_entropy = -self.worlds.actions if config.target_entropy is None else config.target_entropy
        critics, actor = self.agent.critics, self.agent.actor
        self.critic_learner = machine.learner(critics, self._critic_loss, self._adam(critics))
        self.actor_learner = machine.learner(actor, self._actor_loss, self._adam(actor))
        self.state = {
            "critics": self.critic_learner,
            "actor": self.actor_learner,
            "memory": self.memory,
            "worlds": self.worlds,
        }
        self.steps = math.ceil(config.steps / config.copies)
        self.log_every = math.ceil(self.steps / LINES)

    def _adam(self, module: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.Adam(module.parameters(), lr=self.config.learning_rate, fused=True)

    def step(self, step: int) -> Figures:
        """One action in each copy, and as many gradient steps as that allows."""
        figures = self._play(step)
        if self.memory.seen > self.config.warmup:
            for _ in range(self.config.copies * self.config.updates):
                figures["critic_loss"], figures["actor_loss"] = self._learn()
        return figures

    @torch.no_grad()
    def _play(self, step: int) -> dict[str, Tensor]:
        worlds, before = self.worlds, self.worlds.observations
        if self.memory.seen < self.config.warmup:
            actions = 2 * torch.rand(self.config.copies, worlds.actions) - 1
        else:
            actions = rp.rsample(self.agent.actor.law(before.to(self.device)))
        after = worlds.step(actions)
        self.memory.add(before, actions, after.rewards, ~after.terminated, after.observations)
        ended = (~worlds.alive).nonzero().flatten().tolist()
        figures = {"train_return": worlds.returns[ended]} if ended else {}
        if ended:
            worlds.begin([seed_of(self.config.seed, step + 1, copy) for copy in ended], ended)
        return figures

    def _learn(self) -> tuple[Tensor, Tensor]:
        batch = self.memory.draw(self.config.batch)
        critic_losses = self.critic_learner.step(batch)
        actor_losses = self.actor_learner.step(batch.observations)
        self.agent.follow(self.config.smoothing)
        return critic_losses, actor_losses

    def _critic_loss(self, critics: Critics, batch: Batch) -> Tensor:
        """How far the guesses are from one reward and the soft value of what follows it."""
        with torch.no_grad():
            actions, log_prob = rp.rsample_with_log_prob(self.agent.actor.law(batch.following))
            value = torch.minimum(*self.agent.target(batch.following, actions))
            value = value - self.agent.actor.log_temperature.exp() * log_prob
            goal = batch.rewards + self.config.discount * batch.lasting * value
        return (critics(batch.observations, batch.actions) - goal).square().sum(0)

    def _actor_loss(self, actor: Actor, observations: Tensor) -> Tensor:
        """Minus the soft value of the policy's own actions, and a temperature that upholds their entropy."""
        actions, log_prob = rp.rsample_with_log_prob(actor.law(observations))
        value = torch.minimum(*self.agent.critics(observations, actions, frozen=True))
        temperature = actor.log_temperature.exp().detach()
        upheld = actor.log_temperature * (log_prob.detach() + self.target_entropy)
        return temperature * log_prob - value - upheld

    def _returns(self, episodes: int) -> Tensor:
        """The returns of the agent without its randomness."""
        seeds = [seed_of(EVALUATION_SEED, episode) for episode in range(episodes)]
        return play(self.config.environment, self._best, seeds)

    def _best(self, observations: Tensor) -> Tensor:
        return self.agent.actor.best(observations.to(self.device))

    def evaluate(self, step: int) -> Figures:
        """The return of a few episodes, and the temperature."""
        return {
            "played": step * self.config.copies,
            "eval_return": self._returns(WATCHED).mean(),
            "temperature": self.agent.actor.log_temperature.detach().exp(),
        }

    def finish(self, folder: RunFolder) -> dict[str, Any]:
        """The final returns, the curve and an episode to look at."""
        returns = self._returns(self.config.episodes)
        recording = record(self.config.environment, self._best, seed_of(EVALUATION_SEED, 0))
        films.save_returns(folder, "played", "actions played")
        return {
            "environment": self.config.environment,
            "policy": self.config.policy,
            "eval_return_mean": returns.mean().item(),
            "eval_return_std": returns.std(correction=0).item(),
            "eval_episodes": self.config.episodes,
            "episode": films.save_episode(folder.path, recording),
        }


def _check(config: Config) -> None:
    for name in ("steps", "copies", "hidden", "updates", "batch", "memory", "episodes"):
        require(getattr(config, name) >= 1, name, getattr(config, name), "a whole number of at least 1")
    require(config.warmup >= 0, "warmup", config.warmup, "a whole number of at least 0")
    rate = config.learning_rate
    require(0 < rate < math.inf, "learning_rate", rate, "a positive number, such as 1e-3")
    require(config.copies <= config.memory, "memory", config.memory, f"at least {config.copies}, one for each copy")
    for name in ("discount", "smoothing"):
        require(0 < getattr(config, name) <= 1, name, getattr(config, name), "a number above 0 and up to 1")
    entropy = config.target_entropy
    require(entropy is None or math.isfinite(entropy), "target_entropy", entropy, "a number, such as -1")
    require(config.policy in POLICIES, "policy", config.policy, f"one of {', '.join(POLICIES)}")
    precision = config.precision
    require(precision == "32-true", "precision", precision, "32-true: the memory is of that precision")


def restore(folder: str | Path) -> tuple[Agent, Config]:
    """The trained agent of a run folder, with its configuration: `agent.actor.best(observations)` acts in [-1, 1]^n.

    Raises:
        DataError: a file is missing or damaged, or the weights are not those of the configuration.
    """
    config = replace(read_config(Path(folder) / CONFIG, Config), accelerator="cpu")
    agent = Agent(Worlds(config.environment, 1), config)
    load_weights(agent, Path(folder) / WEIGHTS)
    return agent, config
