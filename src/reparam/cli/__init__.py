"""The command line: `reparam trick | train RECIPE | coverage | diagnose | info`.

Each command is imported when it is asked for, so that `reparam trick` runs after a plain install. What goes wrong is
printed in its three parts on standard error, and the exit status is 2.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple

from reparam.errors import InvalidArgument, ReparamError


class Command(NamedTuple):
    """Where a command lives, and what it does in one line."""

    module: str
    summary: str


COMMANDS = {
    "trick": Command("reparam.cli.trick", "one sample, its loss and its gradients (--explain tells why)"),
    "train": Command("reparam.cli.train", "train a recipe and leave a run folder"),
    "coverage": Command("reparam.cli.coverage", "every distribution and the gradient its samples carry"),
    "diagnose": Command("reparam.cli.diagnose", "bias, variance and cost of estimators on a cost given as text"),
    "info": Command("reparam.cli.info", "versions and what this installation can use"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the words after `reparam`; None takes those of the process.

    Returns:
        The exit status: 0, 2 after an error in the input, or 128 and the number of the signal that stopped it.

    Example:
        >>> main(["trick", "--loc", "2", "--scale", "3", "--noise", "-1.5"])
        Sample from N(0, 1): -1.5
        Sampled z: -2.5
        Loss: -2.5
        Gradient wrt mu: 1.0
        Gradient wrt sigma: -1.5
        0
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        _dispatch(words)
    except ReparamError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interrupt:
        print(interrupt if interrupt.args else "interrupted", file=sys.stderr)
        return getattr(interrupt, "status", 130)
    return 0


def _dispatch(words: list[str]) -> None:
    if not words or words[0] in ("-h", "--help"):
        print(_usage())
    elif words[0] in COMMANDS:
        import_module(COMMANDS[words[0]].module).run(words[1:])
    else:
        raise InvalidArgument(
            "unknown command", received=f"reparam {words[0]}", instead=f"one of {', '.join(COMMANDS)}"
        )


def _usage() -> str:
    lines = [f"  {name:<10}{command.summary}" for name, command in COMMANDS.items()]
    return "\n".join(["usage: reparam COMMAND [options]", "", *lines, "", "reparam COMMAND --help says more."])
