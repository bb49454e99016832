"""Environments of gymnasium: copies played in step, each episode a function of its seed and of the actions in it.

That is what makes a run with an environment resumable. Gymnasium has no way to write down the state of an environment;
but every episode begins with a seed of its own, so that a checkpoint which holds the seed and the actions since then
holds the state: it is played again. An environment that does not come out where it was is refused, by name.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias

import gymnasium as gym
import numpy as np
import torch
from gymnasium.spaces import Box, Discrete
from gymnasium.wrappers import FlattenObservation
from torch import Tensor

from reparam.errors import DataError, InvalidArgument

Act: TypeAlias = Callable[[Tensor], Tensor]
DISPLAY = "SDL_VIDEODRIVER"
LIMIT = 1000  # steps of an episode, for an environment that sets no limit itself


class Step(NamedTuple):
    """What one step of all copies led to; nothing changes in a copy whose episode was over before.

    Attributes:
        observations: shape (copies, features).
        rewards: shape (copies,).
        terminated: shape (copies,): the task itself came to its end. Where only the time was up, more would follow.
    """

    observations: Tensor
    rewards: Tensor
    terminated: Tensor


class Worlds:
    """Copies of an environment, played in step.

    Args:
        name: of the environment, as gymnasium registers it, such as Pendulum-v1.
        copies: how many.
        render: make it ready for `render`.

    Attributes:
        features: numbers in an observation, which is flattened.
        continuous: whether an action is a point in [-1, 1]^n, stretched to the bounds of the environment; if not, it is
            one of n choices.
        actions: that n.

    Raises:
        InvalidArgument: there is no such environment, a package that it needs is not installed, or its actions are
            neither bounded numbers nor choices.

    Example:
        >>> worlds = Worlds("CartPole-v1", copies=2)
        >>> worlds.begin([3, 3])
        >>> step = worlds.step(torch.tensor([0, 1]))
        >>> step.rewards.tolist(), bool((step.observations[0] == step.observations[1]).all())
        ([1.0, 1.0], False)
    """

    def __init__(self, name: str, copies: int, *, render: bool = False) -> None:
        self.name = name
        self._copies = [_make(name, render) for _ in range(copies)]
        space = self._copies[0].action_space
        self.continuous = isinstance(space, Box)
        if isinstance(space, Box) and space.is_bounded("both") and np.issubdtype(space.dtype, np.floating):
            self.actions = int(np.prod(space.shape))
        elif isinstance(space, Discrete):
            self.actions = int(space.n)
        else:
            raise InvalidArgument(
                "the actions of this environment are neither bounded numbers nor choices",
                received=f"environment = {name!r}, whose action space is {space}",
                instead="Pendulum-v1 or CartPole-v1, or another whose action space is a bounded Box or Discrete",
            )
        self.features = int(np.prod(self._copies[0].observation_space.shape or ()))
        self._seen = np.zeros((copies, self.features), np.float32)
        self._alive = np.zeros(copies, bool)
        self._returns = np.zeros(copies)
        self._seeds = [0] * copies
        self._past: list[list[np.ndarray]] = [[] for _ in range(copies)]

    @property
    def observations(self) -> Tensor:
        """What each copy shows, shape (copies, features), float32."""
        return torch.from_numpy(self._seen.copy())

    @property
    def alive(self) -> Tensor:
        """Whether the episode in each copy goes on, shape (copies,)."""
        return torch.from_numpy(self._alive.copy())

    @property
    def returns(self) -> Tensor:
        """The sum of rewards of the episode in each copy so far, shape (copies,), float64."""
        return torch.from_numpy(self._returns.copy())

    def begin(self, seeds: Sequence[int], copies: Sequence[int] | None = None) -> None:
        """A new episode from each seed, in each of `copies`, or in all."""
        for copy, seed in zip(range(len(self._copies)) if copies is None else copies, seeds, strict=True):
            self._seen[copy], _ = self._copies[copy].reset(seed=seed)
            self._alive[copy], self._returns[copy] = True, 0.0
            self._seeds[copy], self._past[copy] = seed, []

    def step(self, actions: Tensor) -> Step:
        """Play one action in each copy, of shape (copies, n) where they are continuous, else (copies,)."""
        rewards, terminated = np.zeros(len(self._copies), np.float32), np.zeros(len(self._copies), bool)
        for copy, action in enumerate(actions.numpy(force=True)):
            if self._alive[copy]:
                rewards[copy], terminated[copy] = self._play(copy, action)
        return Step(self.observations, torch.from_numpy(rewards), torch.from_numpy(terminated))

    def _play(self, copy: int, action: np.ndarray) -> tuple[float, bool]:
        self._seen[copy], reward, terminated, truncated, _ = self._copies[copy].step(self._stretched(action))
        self._alive[copy] = not (terminated or truncated)
        self._returns[copy] += float(reward)
        self._past[copy].append(action)
        return float(reward), bool(terminated)

    def _stretched(self, action: np.ndarray) -> Any:
        space = self._copies[0].action_space
        if isinstance(space, Box):
            unit = 0.5 * (action.reshape(space.shape) + 1)
            return np.clip(space.low + unit * (space.high - space.low), space.low, space.high).astype(space.dtype)
        assert isinstance(space, Discrete)
        return int(space.start + action)

    def render(self) -> np.ndarray:
        """A picture of the first copy, uint8, shape (height, width, 3)."""
        frame: Any = self._copies[0].render()
        return np.asarray(frame)

    def can_render(self) -> bool:
        """Whether the environment says that it can be drawn."""
        return "rgb_array" in self._copies[0].metadata.get("render_modes", ())

    def close(self) -> None:
        """Give back what the environments hold."""
        for copy in self._copies:
            copy.close()

    def state_dict(self) -> dict[str, Any]:
        """Where each episode stands: its seed, and the actions played since."""
        past = [torch.from_numpy(np.array(actions)) for actions in self._past]
        return {"seeds": list(self._seeds), "past": past, "observations": self.observations}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Play each episode again up to where it stood; raises `DataError` where it comes out elsewhere."""
        for copy, (seed, past) in enumerate(zip(state["seeds"], state["past"], strict=True)):
            self.begin([seed], [copy])
            for action in past:
                self._play(copy, action.numpy())
        if not torch.equal(self.observations, state["observations"]):
            raise DataError(
                "the environment cannot be brought back to where it stood: it does not follow from its seed and the "
                "actions alone",
                received=f"environment {self.name!r}, of other observations when its episode was played again",
                instead="start the run anew; with this environment a run cannot be resumed",
            )


def _make(name: str, render: bool) -> gym.Env:
    try:
        limit = LIMIT if gym.spec(name).max_episode_steps is None else None
        made = gym.make(
            name, max_episode_steps=limit, disable_env_checker=True, render_mode="rgb_array" if render else None
        )
    except (gym.error.Error, ModuleNotFoundError) as error:
        raise InvalidArgument(
            "the environment cannot be made",
            received=f"environment = {name!r} ({' '.join(str(error).split())})",
            instead="Pendulum-v1, CartPole-v1, or another name from `gymnasium.pprint_registry()`",
        ) from error
    space = made.observation_space
    return made if isinstance(space, Box) and len(space.shape) == 1 else FlattenObservation(made)


def seed_of(*place: int) -> int:
    """The seed of the episode at a place, such as (seed of the run, step, copy).

    Example:
        >>> seed_of(0, 1, 2) == seed_of(0, 1, 2) != seed_of(0, 2, 1)
        True
    """
    return int(np.random.SeedSequence(place).generate_state(1)[0])


def play(name: str, act: Act, seeds: Sequence[int]) -> Tensor:
    """The return of one episode from each seed, all played in step; `act` takes and gives all copies at once."""
    worlds = Worlds(name, len(seeds))
    worlds.begin(seeds)
    with torch.no_grad():
        while worlds.alive.any():
            worlds.step(act(worlds.observations))
    worlds.close()
    return worlds.returns


class Recording(NamedTuple):
    """One episode.

    Attributes:
        frames: pictures, one before every other step; none where the environment cannot be drawn.
        actions: shape (steps,) or (steps, n).
        rewards: shape (steps,).
        unseen: why there are no pictures.
    """

    frames: list[np.ndarray]
    actions: Tensor
    rewards: Tensor
    unseen: str | None


def record(name: str, act: Act, seed: int) -> Recording:
    """Play one episode and look on, as far as the environment can be drawn here."""
    worlds, unseen = _drawable(name, seed)
    frames, actions, rewards = [], [], []
    worlds.begin([seed])
    with torch.no_grad():
        while worlds.alive.any():
            if unseen is None and len(actions) % 2 == 0:
                frames.append(worlds.render())
            actions.append(act(worlds.observations))
            rewards.append(worlds.step(actions[-1]).rewards)
    worlds.close()
    return Recording(frames, torch.cat(actions), torch.cat(rewards), unseen)


def _drawable(name: str, seed: int) -> tuple[Worlds, str | None]:
    plain = Worlds(name, 1)
    if not plain.can_render():
        return plain, f"{name} has no pictures"
    worlds = Worlds(name, 1, render=True)
    worlds.begin([seed])
    try:
        with _no_display():
            worlds.render()
    except gym.error.DependencyNotInstalled as error:
        return plain, f"{name} needs a package for its pictures: {' '.join(str(error).split())}"
    return worlds, None


@contextmanager
def _no_display() -> Iterator[None]:
    """In this block pygame looks for no screen, and does not complain where it would find none."""
    before = os.environ.get(DISPLAY)
    os.environ[DISPLAY] = "dummy"
    try:
        yield
    finally:
        os.environ.pop(DISPLAY)
        if before is not None:
            os.environ[DISPLAY] = before
