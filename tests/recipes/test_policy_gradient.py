"""Policy gradient: both estimates against an enumerated expectation, and what a run leaves behind."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import small_worlds
import torch
from rich.console import Console
from torch import Tensor

from reparam import testing
from reparam.cli import main
from reparam.errors import InvalidArgument
from reparam.recipes import policy_gradient
from reparam.recipes.environments import Worlds
from reparam.recipes.policy_gradient import BASELINES, Agent, Config, Training, learned, leave_one_out, restore, train

QUIET = Console(quiet=True)
SMALL = Config(steps=2, hidden=8, starts=2, episodes=3, evaluation_episodes=2)
FORK = Config(environment="Fork", hidden=3, starts=2, episodes=4, discount=0.5)


def flat_gradient(value: Tensor, agent: Agent) -> Tensor:
    return torch.cat([part.flatten() for part in torch.autograd.grad(value, list(agent.policy.parameters()))])


def expected_return(agent: Agent) -> Tensor:
    """The first choice ends the episode, the second is followed by two more, at half their worth."""
    (first, second), (third, fourth) = torch.tensor(small_worlds.Fork.REWARDS)
    (p, q), (r, s) = agent.law(torch.eye(2)).probs
    return p * first + q * (second + FORK.discount * (r * third + s * fourth))


@pytest.mark.parametrize("baseline", BASELINES)
def test_the_gradient_is_that_of_the_expected_return(baseline):
    """Also where an episode ends early: what is drawn after its end is credited with nothing."""
    config = replace(FORK, baseline=baseline)
    worlds = Worlds("Fork", config.starts * config.episodes)
    agent = Agent(worlds, config)
    estimates = []
    for seed in range(200):
        worlds.begin([seed] * config.starts * config.episodes)
        if baseline == "learned":
            agent.unit.fill_(2.0)
        gradient = flat_gradient(BASELINES[config.baseline](agent, worlds, config).mean(), agent)
        estimates.append(gradient * (2.0 if baseline == "learned" else 1.0))
    result = testing.z_test(torch.stack(estimates), -flat_gradient(expected_return(agent), agent))
    assert result.passed, str(result)


def test_a_program_of_the_episode_has_the_value_of_its_returns():
    worlds = Worlds("Fork", 8)
    agent = Agent(worlds, replace(FORK, discount=1.0))
    worlds.begin([0] * 8)
    losses = leave_one_out(agent, worlds, replace(FORK, discount=1.0))
    torch.testing.assert_close(-losses, worlds.returns.view(4, 2).mean(0).float())


def test_the_learned_baseline_learns_what_a_state_is_worth():
    config = replace(FORK, baseline="learned")
    worlds = Worlds("Fork", 64)
    agent = Agent(worlds, config)
    optimizer = torch.optim.Adam(agent.worth.parameters(), lr=0.05)
    for seed in range(100):
        worlds.begin([seed] * 64)
        optimizer.zero_grad()
        learned(agent, worlds, config).mean().backward()
        optimizer.step()
    (third, fourth), (r, s) = small_worlds.Fork.REWARDS[1], agent.law(torch.eye(2)).probs[1].tolist()
    worth = (agent.worth(torch.eye(2)) * agent.unit).flatten().tolist()
    assert worth == pytest.approx([expected_return(agent).item(), r * third + s * fourth], abs=0.5)


def test_nothing_earned_is_nothing_learnt(monkeypatch):
    monkeypatch.setattr(small_worlds.Fork, "REWARDS", ((0.0, 0.0), (0.0, 0.0)))
    config = replace(FORK, baseline="learned")
    worlds = Worlds("Fork", 8)
    agent = Agent(worlds, config)
    worlds.begin([0] * 8)
    assert learned(agent, worlds, config).isfinite().all()


def test_the_episodes_of_a_start_begin_alike():
    training = Training(SMALL, policy_gradient.Machine(SMALL))
    begun = []
    training.worlds.begin = lambda seeds: begun.append(seeds)  # pyright: ignore[reportAttributeAccessIssue]
    training.learner.step = lambda: None  # pyright: ignore[reportAttributeAccessIssue]
    training.step(0)
    training.step(1)
    first, second = begun
    assert first == first[:2] * 3
    assert len({*first, *second}) == 4


@pytest.mark.parametrize("baseline", BASELINES)
def test_run_leaves_everything_behind(tmp_path, baseline):
    summary = train(replace(SMALL, baseline=baseline), tmp_path, console=QUIET)
    names = {path.name for path in tmp_path.iterdir()}
    assert names >= {"config.toml", "weights.safetensors", "episode.gif", "episode.png", "returns.png", "report.html"}
    saved = json.loads((tmp_path / "summary.json").read_text())
    assert saved == {name: value for name, value in summary.items() if name != "folder"}
    assert 5 < saved["eval_return_mean"] <= 500
    assert saved["cpu_seconds"] > 0
    agent, config = restore(tmp_path)
    assert config.baseline == baseline
    assert agent.best(torch.zeros(5, 4)).shape == (5,)


@pytest.mark.parametrize("baseline", BASELINES)
def test_a_resumed_run_is_the_run_that_never_stopped(tmp_path, monkeypatch, baseline):
    monkeypatch.setattr(Training, "finish", lambda self, folder: {})
    config = replace(SMALL, baseline=baseline, steps=4)
    train(replace(config, steps=2), tmp_path / "a", console=QUIET)
    train(config, resume=tmp_path / "a", console=QUIET)
    train(config, tmp_path / "b", console=QUIET)
    first, second = ((tmp_path / run / "weights.safetensors").read_bytes() for run in "ab")
    assert first == second


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 0},
        {"starts": 0},
        {"episodes": 0},
        {"episodes": 1},
        {"hidden": 0},
        {"learning_rate": float("inf")},
        {"discount": 0.0},
        {"baseline": "oracle"},
        {"precision": "64-true"},
        {"compile": True},
        {"environment": "Pendulum-v1"},
    ],
    ids=str,
)
def test_bad_configuration(tmp_path, change):
    with pytest.raises(InvalidArgument) as caught:
        train(replace(SMALL, **change), tmp_path / "run", console=QUIET)
    assert next(iter(change)) in caught.value.received
    assert caught.value.instead
    assert not (tmp_path / "run").exists()


def test_the_command_explains_each_field(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit, match="0"):
        main(["train", "policy-gradient", "--help"])
    out = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for words in ("--baseline {leave-one-out,learned}", "--starts INT", "Episodes from each start"):
        assert words in out


@pytest.mark.long
@pytest.mark.parametrize("baseline", BASELINES)
def test_the_pole_stays_up(tmp_path, baseline):
    assert train(Config(baseline=baseline), tmp_path, console=QUIET)["eval_return_mean"] > 400
