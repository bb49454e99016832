"""Every class that torch exports has a rule or a written reason."""

from __future__ import annotations

import pytest
from torch import distributions as td
from torch.distributions.relaxed_bernoulli import LogitRelaxedBernoulli
from torch.distributions.relaxed_categorical import ExpRelaxedCategorical

import reparam as rp

EXPORTED = [getattr(td, name) for name in td.__all__]
CLASSES = [c for c in EXPORTED if isinstance(c, type) and issubclass(c, td.Distribution)]


@pytest.mark.parametrize("cls", [*CLASSES, LogitRelaxedBernoulli, ExpRelaxedCategorical], ids=lambda c: c.__name__)
def test_rule_or_reason(cls: type):
    rows = {row.distribution: row for row in rp.coverage()}
    assert rows[cls].reference
