"""What `diagnose` found: rows, findings, a table to print, a figure and a file."""

from __future__ import annotations

import dataclasses
import io
import json
import math
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from reparam.diagnosis.probes import Finding
from reparam.diagnosis.reference import Reference
from reparam.estimators import Estimator
from reparam.extras import needs

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

# The chance that one diagnosis calls an unbiased estimator biased, divided among its comparisons.
FALSE_ALARM_RATE = 1e-3


@dataclasses.dataclass(frozen=True, eq=False)
class Row:
    """One estimator, measured.

    Attributes:
        estimator: which.
        gradient: its mean estimate, of the parameter's shape; where several parameters are measured, all of them in
            one vector.
        bias_z: the bias in standard errors, of the component where it is largest; NaN without a reference.
        variance: of one estimate, summed over components.
        evaluations: of the cost in one estimate, for each batch element.
        seconds: the median time of one estimate with its backward pass, CPU time on a CPU; NaN in a pilot.
        estimates: all of them, of shape `(repeats, P)`.
        biased: whether `bias_z` is beyond what chance allows.
    """

    estimator: Estimator
    gradient: Tensor
    bias_z: float
    variance: float
    evaluations: int
    seconds: float
    estimates: Tensor
    biased: bool

    @property
    def name(self) -> str:
        """The estimator with its number of samples and whatever else is not as usual."""
        fields = dataclasses.fields(self.estimator) if dataclasses.is_dataclass(self.estimator) else ()
        said = [_setting(field, getattr(self.estimator, field.name)) for field in fields if field.init]
        return f"{type(self.estimator).__name__}({', '.join(filter(None, said))})"

    @property
    def exact(self) -> bool:
        """Whether the estimates differ by rounding alone."""
        return self.variance <= _rounding(self)

    @property
    def work(self) -> float:
        """Variance times evaluations: what a given precision costs."""
        return self.variance * self.evaluations

    @property
    def work_seconds(self) -> float:
        """Variance times seconds."""
        return self.variance * self.seconds


@dataclasses.dataclass(frozen=True, eq=False)
class Diagnosis:
    """Estimators of one gradient, side by side. Printing it prints the table.

    Attributes:
        dist: the distribution, in words.
        parameters: what the gradient is with respect to, by name, with the shape of each.
        rows: one for each estimator, in the order given.
        findings: what the user should know about the cost and the estimators.
        reference: what the bias was measured against; None where it was not.
    """

    dist: str
    parameters: dict[str, tuple[int, ...]]
    rows: tuple[Row, ...]
    findings: tuple[Finding, ...]
    reference: Reference | None

    @property
    def best(self) -> Row:
        """The row with the least variance times evaluations among those whose bias is not visible.

        Estimates that differ by rounding alone have no variance: of those, the one with the fewest evaluations. Where
        every row is visibly biased, all of them compete.
        """
        return least_work([row for row in self.rows if not row.biased] or list(self.rows))

    def plot(self, path: str | Path) -> None:
        """Draw the distribution of each estimator's gradient, and variance against evaluations.

        Args:
            path: the file, in the format that its suffix names: PNG, PDF or SVG.

        Errors:
            `MissingExtra` where matplotlib is not installed.
        """
        with needs("plot"):
            from reparam.diagnosis.figure import draw

        draw(self, Path(path))

    def to_json(self, path: str | Path) -> None:
        """Write everything but the single estimates."""
        Path(path).write_text(json.dumps(self.record(), indent=1) + "\n", encoding="utf-8")

    def record(self) -> dict[str, Any]:
        """What `to_json` writes."""
        reference = self.reference
        return {
            "dist": self.dist,
            "parameters": self.parameters,
            "reference": reference and {"kind": reference.kind, "gradient": reference.gradient.tolist()},
            "torch": torch.__version__,
            "best": repr(self.best.estimator),
            "findings": [dataclasses.asdict(finding) for finding in self.findings],
            "rows": [
                {
                    "estimator": repr(row.estimator),
                    "gradient": row.gradient.tolist(),
                    "bias_z": _known(row.bias_z),
                    "biased": row.biased,
                    "variance": row.variance,
                    "evaluations": row.evaluations,
                    "seconds": _known(row.seconds),
                    "repeats": row.estimates.shape[0],
                    "variance_times_evaluations": row.work,
                    "variance_times_seconds": _known(row.work_seconds),
                }
                for row in self.rows
            ],
        }

    def table(self) -> Table:
        """The rows as a rich table."""
        from rich.table import Table
        from rich.text import Text

        several = sum(math.prod(shape) for shape in self.parameters.values()) > 1
        names = ", ".join(f"{name}{list(shape) if shape else ''}" for name, shape in self.parameters.items())
        title = Text(f"gradient of E[f(x)] in {names}, x ~ {self.dist}")
        table = Table(title=title, box=None, title_justify="left", pad_edge=False)
        table.add_column("estimator", no_wrap=True)
        cells = [_cells(row, several) for row in self.rows]
        # A pilot takes no time, and where costs mix there is no bias: columns that say nothing are left out.
        heads = [head for head in cells[0] if any(row[head] for row in cells)]
        for head in heads[1:]:
            table.add_column(head, justify="right")
        for row, cell in zip(self.rows, cells, strict=True):
            table.add_row(*(cell[head] for head in heads), style="bold" if row is self.best else None)
        return table

    def __rich__(self) -> RenderableType:
        from rich.console import Group
        from rich.text import Text

        kind = "none" if self.reference is None else self.reference.kind
        repeats = max((row.estimates.shape[0] for row in self.rows), default=0)
        notes = [f"best: {self.best.name}. Reference: {kind}; {repeats:,} estimates a row."]
        return Group(self.table(), *map(Text, notes + [f"{found.kind}: {found.message}." for found in self.findings]))

    def __str__(self) -> str:
        from rich.console import Console

        console = Console(file=io.StringIO(), width=120, highlight=False)
        console.print(self)
        assert isinstance(console.file, io.StringIO)
        return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())


def _setting(field: dataclasses.Field[Any], value: object) -> str:
    """A hyperparameter as a table names it; nothing if it is as usual."""
    if field.name == "samples":
        return str(value)
    if isinstance(value, nn.Module):
        return "" if field.default is dataclasses.MISSING else f"{field.name}={type(value).__name__}"
    return "" if value == field.default else f"{field.name}={value!r}"


def _cells(row: Row, several: bool) -> dict[str, str]:
    """What the table says of a row, by column; nothing where nothing is known."""
    mean, error = row.gradient.double(), math.sqrt(row.variance / row.estimates.shape[0])
    biased, timed = not math.isnan(row.bias_z), not math.isnan(row.seconds)
    return {
        "estimator": row.name,
        "|gradient|" if several else "gradient": f"{mean.norm().item():.4g}"
        if several
        else f"{mean.item():.4g} ± {error:.1g}",
        "bias z": f"{row.bias_z:+.1f}{' !' if row.biased else ''}" if biased else "",
        "variance": "0" if row.exact else f"{row.variance:.3g}",
        "evals": f"{row.evaluations}",
        "time/µs": f"{1e6 * row.seconds:.0f}" if timed else "",
        "var x evals": "0" if row.exact else f"{row.work:.3g}",
        "var x µs": ("0" if row.exact else f"{1e6 * row.work_seconds:.3g}") if timed else "",
    }


def _known(value: float) -> float | None:
    """JSON has no NaN."""
    return None if math.isnan(value) else value


def least_work(rows: list[Row]) -> Row:
    """The row with the least variance times evaluations, where rounding is no variance."""
    floor = max(_rounding(row) for row in rows)
    return min(rows, key=lambda row: max(row.variance, floor) * row.evaluations)


def _rounding(row: Row) -> float:
    """The variance that rounding alone may cause."""
    eps = torch.finfo(row.estimates.dtype).eps
    return (8 * eps) ** 2 * row.estimates.double().square().sum(1).mean().item()


def threshold(comparisons: int) -> float:
    """The |z| beyond which an estimator is called biased, where `comparisons` share the false-alarm rate."""
    return -NormalDist().inv_cdf(FALSE_ALARM_RATE / (2 * max(comparisons, 1)))
