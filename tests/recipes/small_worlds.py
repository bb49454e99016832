"""Environments small enough to be computed by hand."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete


class Echo(gym.Env):
    """Shows the last action, never ends by itself, cannot be drawn."""

    def __init__(self, render_mode: str | None = None) -> None:
        self.action_space = Box(np.array([-3.0, 0.0], np.float32), np.array([1.0, 10.0], np.float32))
        self.observation_space = Dict({"action": self.action_space, "colour": Discrete(2)})

    def reset(self, *, seed: int | None = None, options: Any = None):
        super().reset(seed=seed)
        return {"action": self.np_random.uniform([0, 0], [1, 1]).astype(np.float32), "colour": 1}, {}

    def step(self, action):
        return {"action": action, "colour": 0}, 1.0, False, False, {}


class Drift(Echo):
    """Draws from a stream that no seed governs."""

    stream = np.random.default_rng(0)

    def step(self, action):
        observation, *rest = super().step(action)
        return {**observation, "action": self.stream.uniform(size=2).astype(np.float32)}, *rest


class Odd(Echo):
    """Takes actions of a kind that no recipe serves."""

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__()
        self.action_space = MultiDiscrete([2, 2])


class Fork(gym.Env):
    """Two choices, then two again after the second of them; the first ends the episode."""

    REWARDS = ((1.0, -2.0), (0.5, 4.0))

    def __init__(self, render_mode: str | None = None) -> None:
        self.action_space = Discrete(2, start=5)
        self.observation_space = Box(0.0, 1.0, (2,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None):
        super().reset(seed=seed)
        self.time = 0
        return self._shown(), {}

    def _shown(self) -> np.ndarray:
        return np.eye(2, dtype=np.float32)[min(self.time, 1)]

    def step(self, action):
        reward = self.REWARDS[self.time][action - 5]
        self.time += 1
        return self._shown(), reward, bool(action == 5 or self.time == 2), False, {}


for world in (Echo, Drift, Odd, Fork):
    if world.__name__ not in gym.registry:
        gym.register(world.__name__, world, order_enforce=False)
