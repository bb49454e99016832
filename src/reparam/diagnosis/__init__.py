"""Measuring estimators on the user's own cost, and choosing by what was measured."""

from reparam.diagnosis.choose import candidates_for, choose
from reparam.diagnosis.diagnose import diagnose
from reparam.diagnosis.probes import Finding
from reparam.diagnosis.report import Diagnosis, Row

__all__ = ["Diagnosis", "Finding", "Row", "candidates_for", "choose", "diagnose"]
