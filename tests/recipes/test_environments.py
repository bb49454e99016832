"""Environments: what follows from a seed, what a checkpoint brings back, and what cannot serve."""

from __future__ import annotations

import sys

import pytest
import small_worlds  # noqa: F401 - registers the environments
import torch

from reparam.errors import DataError, InvalidArgument
from reparam.recipes import films
from reparam.recipes.environments import LIMIT, Worlds, play, record


def swing(worlds: Worlds, steps: int) -> torch.Tensor:
    """Fixed actions, another in each copy."""
    copies = torch.arange(len(worlds.observations)).unsqueeze(-1)
    return torch.stack([worlds.step((t + copies).float().sin()).observations for t in range(steps)])


def test_an_episode_follows_from_its_seed_and_the_actions():
    worlds = Worlds("Pendulum-v1", 2)
    worlds.begin([3, 4])
    first = swing(worlds, 20)
    worlds.begin([3, 5])
    second = swing(worlds, 20)
    assert torch.equal(first[:, 0], second[:, 0])
    assert not torch.equal(first[0, 1], second[0, 1])


def test_a_checkpoint_brings_every_copy_back_to_where_it_stood():
    worlds, other = (Worlds("Pendulum-v1", 2) for _ in range(2))
    worlds.begin([3, 4])
    swing(worlds, 7)
    worlds.begin([9], [1])
    swing(worlds, 5)
    other.load_state_dict(worlds.state_dict())
    assert torch.equal(other.returns, worlds.returns)
    assert torch.equal(swing(other, 5), swing(worlds, 5))


def test_choices_are_played_again_too():
    worlds, other = (Worlds("CartPole-v1", 1) for _ in range(2))
    worlds.begin([3])
    for choice in (0, 1, 1):
        worlds.step(torch.tensor([choice]))
    other.load_state_dict(worlds.state_dict())
    assert torch.equal(other.observations, worlds.observations)


def test_an_environment_with_luck_of_its_own_is_not_resumed():
    worlds = Worlds("Drift", 1)
    worlds.begin([0])
    worlds.step(torch.zeros(1, 2))
    with pytest.raises(DataError, match="does not follow from its seed"):
        Worlds("Drift", 1).load_state_dict(worlds.state_dict())


def test_actions_are_stretched_to_the_bounds_and_observations_flattened():
    worlds = Worlds("Echo", 3)
    assert (worlds.features, worlds.actions, worlds.continuous) == (4, 2, True)
    worlds.begin([0, 1, 2])
    assert worlds.observations[:, 2:].tolist() == [[0, 1]] * 3
    seen = worlds.step(torch.tensor([[-1.0, 1.0], [0.0, 0.0], [1.0000001, -1.0000001]])).observations
    assert seen.tolist() == [[-3, 10, 1, 0], [-1, 5, 1, 0], [1, 0, 1, 0]]


def test_time_that_is_up_is_not_the_end_of_the_task():
    worlds = Worlds("Pendulum-v1", 1)
    worlds.begin([0])
    ends = [worlds.step(torch.zeros(1, 1)).terminated.item() for _ in range(200)]
    assert not worlds.alive.any()
    assert not any(ends)


def test_what_is_over_stays_as_it_is():
    worlds = Worlds("Fork", 2)
    worlds.begin([0, 0])
    ended = worlds.step(torch.tensor([0, 1]))
    assert ended.terminated.tolist() == [True, False]
    assert ended.rewards.tolist() == [1.0, -2.0]
    after = worlds.step(torch.tensor([1, 1]))
    assert after.rewards.tolist() == [0.0, 4.0]
    assert torch.equal(after.observations[0], ended.observations[0])
    assert worlds.returns.tolist() == [1.0, 2.0]


def test_an_environment_without_an_end_gets_one():
    assert play("Echo", lambda seen: torch.zeros(len(seen), 2), [0]).tolist() == [LIMIT]


@pytest.mark.parametrize(
    ("name", "received"), [("Nowhere-v0", "Nowhere"), ("no_package:World", "no_package"), ("Odd", "MultiDiscrete")]
)
def test_what_cannot_be_played(name, received):
    with pytest.raises(InvalidArgument) as caught:
        Worlds(name, 1)
    assert received in caught.value.received


def test_a_recording_of_what_can_be_drawn(tmp_path):
    recording = record("CartPole-v1", lambda seen: torch.ones(1, dtype=torch.long), 0)
    assert len(recording.actions) == recording.rewards.sum() < 20
    assert len(recording.frames) == (len(recording.actions) + 1) // 2
    assert films.save_episode(tmp_path, recording) == "episode.gif, episode.png"
    assert (tmp_path / "episode.gif").read_bytes().startswith(b"GIF89a")
    assert (tmp_path / "episode.png").read_bytes().startswith(b"\x89PNG")


def test_a_recording_of_what_cannot_be_drawn_says_so(tmp_path):
    recording = record("Echo", lambda seen: torch.zeros(1, 2), 0)
    assert films.save_episode(tmp_path, recording) == "episode.png, without frames: Echo has no pictures"
    assert [path.name for path in tmp_path.iterdir()] == ["episode.png"]


def test_missing_pygame_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pygame", None)
    recording = record("CartPole-v1", lambda seen: torch.ones(1, dtype=torch.long), 0)
    assert recording.frames == []
    assert "pygame" in str(recording.unseen)
