"""An estimator of the library by the name that it has in Python, as a setting of a recipe holds it."""

from __future__ import annotations

import ast

import reparam as rp
from reparam.errors import InvalidArgument
from reparam.estimators import Estimator


def estimator_named(text: str) -> Estimator:
    """The estimator that `text` makes: its name, or a call of it with numbers.

    Raises:
        InvalidArgument: there is no such estimator, the text is not a call with literal arguments, or it refuses them.

    Example:
        >>> estimator_named("DisARM"), estimator_named("ReinMax(temperature=1.1)")
        (DisARM(samples=2), ReinMax(samples=1, temperature=1.1))
    """
    named = {name: getattr(rp, name) for name in rp.__all__}
    known = {name: value for name, value in named.items() if isinstance(value, type) and issubclass(value, Estimator)}
    try:
        call = ast.parse(text, mode="eval").body
        name = call.func if isinstance(call, ast.Call) else call
        positional = [ast.literal_eval(one) for one in call.args] if isinstance(call, ast.Call) else []
        keywords = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords} if isinstance(call, ast.Call) else {}
        return known[name.id if isinstance(name, ast.Name) else ""](*positional, **keywords)
    except (SyntaxError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, InvalidArgument):
            raise
        raise InvalidArgument(
            "estimator does not name one of the library's",
            received=f"estimator = {text!r} ({type(error).__name__}: {error})",
            instead=f'DisARM, "LeaveOneOut(4)" or "ReinMax(temperature=1.1)"; there are {", ".join(sorted(known))}',
        ) from error
