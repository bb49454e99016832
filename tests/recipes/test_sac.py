"""Soft actor-critic: its laws, its losses, what it remembers, and that a stopped run goes on as if it had not been."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from rich.console import Console
from torch import nn

import reparam as rp
from reparam.cli import main
from reparam.errors import InvalidArgument
from reparam.recipes import sac
from reparam.recipes.engine import Machine
from reparam.recipes.environments import Worlds
from reparam.recipes.policies import POLICIES
from reparam.recipes.sac import Agent, Batch, Config, Critics, Memory, Training, restore, train

QUIET = Console(quiet=True)
SMALL = Config(steps=240, hidden=8, batch=16, warmup=20, episodes=2)


def batch(rows: int, lasting: float) -> Batch:
    observations, actions, rewards = torch.randn(rows, 3), torch.rand(rows, 1), torch.randn(rows)
    return Batch(observations, actions, rewards, torch.full((rows,), lasting), torch.randn(rows, 3))


@pytest.fixture
def training() -> Training:
    return Training(SMALL, Machine(SMALL))


@pytest.mark.parametrize("name", POLICIES)
def test_each_policy_is_a_law_on_its_interval(name):
    policy = POLICIES[name]
    output = 0.2 * torch.randn(5, policy.outputs(1), dtype=torch.float64)  # scales up to 1, well inside the line
    # Substituting tanh: the density times its derivative, over the whole line.
    line = torch.linspace(-12, 12, 4001, dtype=torch.float64)
    points = line.tanh().unsqueeze(-1).expand(-1, 5).unsqueeze(-1)
    density = policy.law(output).log_prob(points).exp() * (1 - points.squeeze(-1).square())
    torch.testing.assert_close(torch.trapezoid(density, line, dim=0), torch.ones(5).double(), rtol=1e-4, atol=1e-4)
    best = policy.best(output)
    assert best.shape == (5, 1)
    assert (best.abs() < 1).all()


@pytest.mark.parametrize("name", POLICIES)
def test_the_gradient_reaches_every_output_through_the_sample(name):
    policy = POLICIES[name]
    output = torch.randn(64, policy.outputs(2), requires_grad=True)
    actions, log_prob = rp.rsample_with_log_prob(policy.law(output))
    assert actions.shape == (64, 2)
    assert log_prob.shape == (64,)
    for value in (actions, log_prob):
        (gradient,) = torch.autograd.grad(value.sum(), output, retain_graph=True)
        assert gradient.isfinite().all()
        assert (gradient.abs().amax(0) > 0).all()


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("extreme", [-40.0, 40.0])
def test_a_saturated_policy_stays_finite(name, extreme):
    output = torch.full((8, POLICIES[name].outputs(1)), extreme, requires_grad=True)
    actions, log_prob = rp.rsample_with_log_prob(POLICIES[name].law(output))
    assert log_prob.isfinite().all()
    (gradient,) = torch.autograd.grad((actions.sum(-1) + log_prob).sum(), output)
    assert gradient.isfinite().all()


def test_the_best_of_a_mixture_is_its_likeliest_component():
    parts = torch.zeros(2, 4, 3)  # weight, location, scale of each component
    parts[:, :, 1] = torch.tensor([-1.0, 0.5, 0.2, 0.1])
    parts[0, 1, 0] = parts[1, 0, 0] = 1.0
    torch.testing.assert_close(POLICIES["mixture"].best(parts.flatten(1)), torch.tensor([[0.5], [-1.0]]).tanh())


def test_two_critics_at_once_are_two_critics():
    critics, (observations, actions, *_) = Critics(3, 1, 8), batch(6, 1.0)
    for one in range(2):
        x = torch.cat([observations, actions], -1)
        for layer, (weight, bias) in enumerate(zip(critics.weights, critics.biases, strict=True)):
            x = nn.functional.linear(x.relu() if layer else x, weight[one].T, bias[one, 0])
        torch.testing.assert_close(critics(observations, actions)[one], x.squeeze(-1))


def test_frozen_critics_pass_the_gradient_to_the_actions_alone():
    critics, (observations, actions, *_) = Critics(3, 1, 8), batch(6, 1.0)
    critics(observations, actions.requires_grad_(), frozen=True).sum().backward()
    assert actions.grad is not None
    assert actions.grad.abs().max() > 0
    assert all(parameter.grad is None for parameter in critics.parameters())


def test_where_the_task_ends_the_value_is_the_reward(training):
    ended = batch(6, 0.0)
    misses = training.agent.critics(ended.observations, ended.actions) - ended.rewards
    losses = training._critic_loss(training.agent.critics, ended)
    torch.testing.assert_close(losses, misses.square().sum(0))


def test_what_follows_counts_with_the_lower_guess_and_the_entropy(training):
    """With critics that say 3 and 5 whatever they see, the goal is reward + discount * (3 - temperature * log pi)."""
    agent, lasting = training.agent, batch(6, 1.0)
    for critics in (agent.critics, agent.target):
        for parameter in critics.parameters():
            nn.init.zeros_(parameter)
        critics.biases[-1].data[:, 0, 0] = torch.tensor([3.0, 5.0])
    agent.actor.log_temperature.data.fill_(-1.0)
    torch.manual_seed(0)
    _, log_prob = rp.rsample_with_log_prob(agent.actor.law(lasting.following))
    goal = lasting.rewards + 0.99 * (3 - torch.tensor(-1.0).exp() * log_prob)
    torch.manual_seed(0)
    losses = training._critic_loss(agent.critics, lasting)
    torch.testing.assert_close(losses, (3 - goal).square() + (5 - goal).square())


@pytest.mark.parametrize(("target", "sign"), [(-50.0, 1), (50.0, -1)])
def test_the_temperature_falls_where_there_is_entropy_to_spare(training, target, sign):
    training.target_entropy = target
    training._actor_loss(training.agent.actor, torch.randn(64, 3)).mean().backward()
    gradient = training.agent.actor.log_temperature.grad
    assert gradient is not None
    assert gradient.sign() == sign


def test_target_critics_follow(training):
    agent = training.agent
    nn.init.ones_(agent.critics.biases[0])
    nn.init.zeros_(agent.target.biases[0])
    agent.follow(0.25)
    torch.testing.assert_close(agent.target.biases[0], torch.full_like(agent.target.biases[0], 0.25))


def test_memory_forgets_the_oldest_and_comes_back():
    worlds = Worlds("Pendulum-v1", 2)
    memory, other = (Memory(6, worlds, torch.device("cpu")) for _ in range(2))
    for number in range(1, 5):
        parts = (
            torch.full((2, 3), number),
            torch.zeros(2, 1),
            torch.full((2,), number),
            torch.ones(2),
            torch.zeros(2, 3),
        )
        memory.add(*parts)
    drawn = memory.draw(200)
    assert len(memory) == 6
    assert set(drawn.rewards.tolist()) == {2.0, 3.0, 4.0}
    assert torch.equal(drawn.observations[:, 0], drawn.rewards)
    other.load_state_dict(memory.state_dict())
    assert (other.seen, len(other)) == (8, 6)
    assert torch.equal(other.rows, memory.rows)


def test_run_leaves_everything_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(sac, "WATCHED", 1)
    summary = train(replace(SMALL, copies=2, policy="beta"), tmp_path, console=QUIET)
    names = {path.name for path in tmp_path.iterdir()}
    assert names >= {"config.toml", "weights.safetensors", "episode.gif", "episode.png", "returns.png", "report.html"}
    saved = json.loads((tmp_path / "summary.json").read_text())
    assert saved == {name: value for name, value in summary.items() if name != "folder"}
    assert saved["steps"] == 120
    assert -2000 < saved["eval_return_mean"] < 0
    assert saved["eval_return_std"] > 0
    assert saved["cpu_seconds"] > 0
    agent, config = restore(tmp_path)
    assert (config.policy, config.copies) == ("beta", 2)
    assert agent.actor.best(torch.zeros(5, 3)).shape == (5, 1)


def test_a_resumed_run_is_the_run_that_never_stopped(tmp_path, monkeypatch):
    """It stops in the middle of an episode, so that the pendulum must be brought back to where it swung."""
    monkeypatch.setattr(sac, "WATCHED", 1)
    monkeypatch.setattr(Training, "finish", lambda self, folder: {})
    train(replace(SMALL, steps=120), tmp_path / "a", console=QUIET)
    train(SMALL, resume=tmp_path / "a", console=QUIET)
    train(SMALL, tmp_path / "b", console=QUIET)
    first, second = ((tmp_path / run / "weights.safetensors").read_bytes() for run in "ab")
    assert first == second


def test_no_copy_of_the_environment_repeats_another(training):
    worlds = Training(replace(SMALL, copies=3), training.critic_learner.machine).worlds
    assert len(worlds.observations.unique(dim=0)) == 3


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 0},
        {"copies": 0},
        {"updates": 0},
        {"warmup": -1},
        {"memory": 0},
        {"learning_rate": 0.0},
        {"discount": 1.5},
        {"smoothing": 0.0},
        {"target_entropy": float("nan")},
        {"policy": "cauchy"},
        {"precision": "bf16-true"},
        {"environment": "Nowhere-v0"},
        {"environment": "CartPole-v1"},
    ],
    ids=str,
)
def test_bad_configuration(tmp_path, change):
    with pytest.raises(InvalidArgument) as caught:
        train(replace(SMALL, **change), tmp_path / "run", console=QUIET)
    assert next(iter(change)) in caught.value.received
    assert caught.value.instead
    assert not (tmp_path / "run").exists()


def test_agent_has_no_gradient_to_its_targets():
    assert not any(parameter.requires_grad for parameter in Agent(Worlds("Pendulum-v1", 1), SMALL).target.parameters())


def test_the_command_explains_each_field(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit, match="0"):
        main(["train", "sac", "--help"])
    out = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for words in (
        "--policy {tanh-normal,beta,mixture}",
        "--copies INT",
        "Of gymnasium, with bounded continuous actions",
    ):
        assert words in out


@pytest.mark.long
def test_eight_thousand_steps_swing_the_pendulum_up(tmp_path):
    assert train(Config(), tmp_path, console=QUIET)["eval_return_mean"] > -200
