"""Distributions, estimators and costs as text: read node by node from a list of what is known, never evaluated.

Python's own parser makes the tree; whatever the tables below do not name is an error. Nothing here looks up a name in
Python, calls anything but what the tables hold, or takes an attribute.
"""

from __future__ import annotations

import ast
import difflib
import inspect
import math
import operator
from collections.abc import Callable
from typing import Any, TypeGuard

import torch
from torch import Tensor
from torch.distributions import Distribution

from reparam import distributions, estimators
from reparam.errors import InvalidArgument
from reparam.estimators import Estimator

_LONGEST, _MOST_NODES = 500, 200


def _classes(module: Any, base: type) -> dict[str, Any]:
    named = {name: getattr(module, name) for name in module.__all__}
    return {
        name: cls
        for name, cls in named.items()
        if isinstance(cls, type) and issubclass(cls, base) and cls is not base and not inspect.isabstract(cls)
    }


DISTRIBUTIONS: dict[str, type[Distribution]] = {
    **_classes(torch.distributions, Distribution),
    **_classes(distributions, Distribution),
}
ESTIMATORS: dict[str, type[Estimator]] = _classes(estimators, Estimator)
CONSTANTS = {"pi": math.pi, "e": math.e}
FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    **{name: getattr(torch, name) for name in ("abs", "cos", "exp", "floor", "log", "maximum", "minimum", "round")},
    **{name: getattr(torch, name) for name in ("sigmoid", "sign", "sin", "sqrt", "square", "tanh")},
    "relu": torch.relu,
    "where": lambda condition, a, b: torch.where(condition != 0, a, b),
}
REDUCTIONS: dict[str, Callable[..., Tensor]] = {
    "sum": torch.sum,
    "mean": torch.mean,
    "max": torch.amax,
    "min": torch.amin,
}
_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
# Of the sign of the difference, whose derivative is zero: so pathwise estimators run, and are seen to be biased.
_COMPARE: dict[type[ast.cmpop], Callable[[Tensor], Tensor]] = {
    ast.Lt: lambda sign: torch.relu(-sign),
    ast.LtE: lambda sign: 1 - torch.relu(sign),
    ast.Gt: torch.relu,
    ast.GtE: lambda sign: 1 - torch.relu(-sign),
    ast.Eq: lambda sign: 1 - sign.abs(),
    ast.NotEq: torch.abs,
}


def distribution(text: str) -> Distribution:
    """A distribution from its call, numbers and lists being its parameters in float64.

    Example:
        >>> distribution("Independent(Bernoulli(logits=[0.3, -1]), 1)")
        Independent(Bernoulli(logits: torch.Size([2])), 1)
    """
    example = '--dist "Poisson(4)"'
    built = _built(_tree(text, example), DISTRIBUTIONS, _parameter, example)
    if not isinstance(built, Distribution):
        raise _refused("a distribution is a call", text, example)
    return built


def estimator_list(text: str) -> list[Estimator]:
    """Estimators from their calls, separated by commas.

    Example:
        >>> estimator_list("LeaveOneOut(2), Enumerate()")
        [LeaveOneOut(samples=2), Enumerate(budget=65536)]
    """
    example = '--estimators "LeaveOneOut(2), ScoreFunction()"'
    tree = _tree(text, example)
    parts = tree.elts if isinstance(tree, (ast.Tuple, ast.List)) else [tree]
    return [_built(part, ESTIMATORS, lambda _cls, _name, value: value, example) for part in parts]


def cost(text: str, event_dims: int) -> Callable[[Tensor], Tensor]:
    """A cost of x from arithmetic, comparisons, the functions of `FUNCTIONS`, and reductions over the event.

    Example:
        >>> cost("sum(x) ** 2 + (x[0] > 1)", 1)(torch.tensor([[2.0, 3.0], [0.0, 1.0]]))
        tensor([26., 1.], dtype=torch.float64)
    """
    tree = _tree(text, '--cost "(x - 0.45)**2"')
    read = _Cost(event_dims)
    read.value(tree, torch.ones((2,) * (1 + event_dims), dtype=torch.float64))
    return lambda x: read.value(tree, x.double())


class _Cost:
    """The value of a cost's tree at given points."""

    def __init__(self, event_dims: int) -> None:
        self.event = tuple(range(-event_dims, 0))

    def value(self, node: ast.expr, x: Tensor) -> Tensor:
        """The value of a node: constants become tensors, in which nothing overflows with an exception."""
        if isinstance(node, ast.Constant) and _is_number(node.value):
            return torch.tensor(float(node.value), dtype=torch.float64)
        if isinstance(node, ast.Name) and node.id in CONSTANTS:
            return torch.tensor(CONSTANTS[node.id], dtype=torch.float64)
        if isinstance(node, ast.Name) and node.id == "x":
            return x
        if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
            return _BINARY[type(node.op)](self.value(node.left, x), self.value(node.right, x))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
            value = self.value(node.operand, x)
            return -value if isinstance(node.op, ast.USub) else value
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _COMPARE:
            difference = self.value(node.left, x) - self.value(node.comparators[0], x)
            return _COMPARE[type(node.ops[0])](torch.sign(difference))
        if isinstance(node, ast.Subscript):
            return self.component(node, x)
        if isinstance(node, ast.Call):
            return self.call(node, x)
        raise self.refused(node)

    def component(self, node: ast.Subscript, x: Tensor) -> Tensor:
        """`x[i]`, the i-th component of the event."""
        index = node.slice
        if not isinstance(index, ast.Constant) or type(index.value) is not int or len(self.event) != 1:
            raise self.refused(node)
        value = self.value(node.value, x)
        # The tree is tried on events of two components, before the true size is known.
        return value[..., index.value] if index.value < value.shape[-1] else value[..., -1] / 0 * 0

    def call(self, node: ast.Call, x: Tensor) -> Tensor:
        """A function of numbers, or a reduction over the event dimensions."""
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if node.keywords or not node.args or any(isinstance(argument, ast.Starred) for argument in node.args):
            raise self.refused(node)
        values = [self.value(argument, x) for argument in node.args]
        if name in REDUCTIONS and len(values) == 1 and self.event and values[0].dim() >= len(self.event):
            return REDUCTIONS[name](values[0], self.event)
        if name not in FUNCTIONS:
            raise self.refused(node)
        try:
            return FUNCTIONS[name](*values)
        except TypeError:
            raise self.refused(node) from None

    def refused(self, node: ast.expr) -> InvalidArgument:
        """The error for what a cost may not contain."""
        names = ", ".join([*FUNCTIONS, *(REDUCTIONS if self.event else ()), *CONSTANTS])
        return _refused(
            "a cost is arithmetic in x", ast.unparse(node), f"numbers, x, + - * / % **, comparisons, {names}"
        )


def _tree(text: str, example: str) -> ast.expr:
    if len(text) > _LONGEST:
        raise _refused("an expression is short", f"{len(text)} characters", example)
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _refused(f"not an expression ({error})", text, example) from None
    if sum(1 for _ in ast.walk(tree)) > _MOST_NODES:
        raise _refused("an expression is simple", text, example)
    return tree


def _built(node: ast.expr, known: dict[str, Any], convert: Callable[[type, str, Any], Any], example: str) -> Any:
    """A call of a known class; a bare name is a call without arguments, and other nodes are numbers and lists."""
    if isinstance(node, (ast.Constant, ast.List, ast.Tuple, ast.UnaryOp, ast.BinOp)):
        return _literal(node, example)
    function = node.func if isinstance(node, ast.Call) else node
    if not isinstance(function, ast.Name) or function.id not in known:
        close = ", ".join(difflib.get_close_matches(ast.unparse(function), known, cutoff=0.5))
        raise _refused("not a name that is known here", ast.unparse(node), close or example)
    cls = known[function.id]
    call = node if isinstance(node, ast.Call) else ast.Call(function, [], [])
    positional = [_built(argument, known, convert, example) for argument in call.args]
    named = {k.arg or "**": _built(k.value, known, convert, example) for k in call.keywords}
    try:
        bound = inspect.signature(cls).bind(*positional, **named).arguments
        return cls(**{name: convert(cls, name, value) for name, value in bound.items()})
    except InvalidArgument:
        raise
    except (TypeError, ValueError, RuntimeError, NotImplementedError) as error:
        reason = str(error).strip().splitlines()[0].split(", but found")[0]
        how = f"{function.id}({', '.join(inspect.signature(cls).parameters)})"
        raise _refused(f"{function.id} cannot be built: {reason}", ast.unparse(node), how) from None


def _parameter(cls: type[Distribution], name: str, value: Any) -> Any:
    constraints = getattr(cls, "arg_constraints", {})
    if isinstance(constraints, dict) and name in constraints and isinstance(value, (int, float, list)):
        return torch.tensor(value, dtype=torch.float64)
    return value


def _literal(node: ast.expr, example: str) -> Any:
    if isinstance(node, ast.Constant) and _is_number(node.value):
        return node.value
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_literal(element, example) for element in node.elts]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_literal(node.operand, example)
    raise _refused("a parameter is a number or a list of numbers", ast.unparse(node), example)


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _refused(what: str, received: str, instead: str) -> InvalidArgument:
    return InvalidArgument(what, received=received, instead=instead)
