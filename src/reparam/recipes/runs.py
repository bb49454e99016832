"""What a training run leaves on disk: a folder that belongs to one run, written so that no file is ever half there.

`config.toml` (what was asked), `metrics.jsonl` (a line per log interval), `weights.safetensors` (what was learnt),
`summary.json` (the final figures), and pictures.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import safetensors.torch
import tomli_w
from safetensors import SafetensorError
from torch import Tensor, nn

from reparam.errors import DataError
from reparam.recipes.events import Events
from reparam.recipes.files import flush, replacing, unwritable

tomllib = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
ConfigT = TypeVar("ConfigT")

CONFIG = "config.toml"
METRICS = "metrics.jsonl"
WEIGHTS = "weights.safetensors"
SUMMARY = "summary.json"


class RunFolder:
    """The folder of one run, claimed when the object is made.

    Args:
        path: a folder that does not exist yet or is empty; None takes the next free `runs/<recipe>-<number>`.
        config: the run's configuration, a dataclass; fields that are None are left out of the file.
        recipe: the name of the recipe, for the folder's name.

    Raises:
        DataError: the path is a file, holds anything at all, or cannot be written. Nothing in it is touched.
    """

    def __init__(self, path: str | Path | None, config: Any, recipe: str) -> None:
        self.path = _next_free(recipe) if path is None else _claimed(Path(path).expanduser())
        self._events = Events(self.path)
        self.save_config(config)

    @classmethod
    def reopened(cls, path: str | Path) -> RunFolder:
        """The folder of a run that goes on; nothing in it is touched yet."""
        folder = cls.__new__(cls)
        folder.path = Path(path).expanduser()
        folder._events = Events(folder.path)
        return folder

    def save_config(self, config: Any) -> None:
        """Write what was asked for."""
        settings = {name: value for name, value in asdict(config).items() if value is not None}
        with replacing(self.path / CONFIG) as temporary:
            temporary.write_text(tomli_w.dumps(settings), encoding="utf-8")

    def log(self, step: int, **metrics: float) -> None:
        """Append one line to the metrics, and the same to TensorBoard's events."""
        try:
            with (self.path / METRICS).open("a", encoding="utf-8") as lines:
                lines.write(json.dumps({"step": step, **metrics}) + "\n")
            self._events.write(step, metrics)
        except OSError as error:
            raise unwritable(self.path / METRICS, error) from error

    def settle_metrics(self) -> int:
        """Wait until the metrics are on the disk; how many bytes they are."""
        metrics = self.path / METRICS
        if not metrics.exists():
            return 0
        flush(metrics)
        return metrics.stat().st_size

    def cut_metrics(self, size: int) -> None:
        """Forget the lines that were logged after a checkpoint, beyond `size` bytes."""
        found = self.settle_metrics()
        if found < size:
            raise DataError(
                "the metrics are shorter than at the checkpoint",
                received=f"{self.path / METRICS}: {found} bytes, the checkpoint was at {size}",
                instead="put the file back, or start the run anew",
            )
        if found > size:
            os.truncate(self.path / METRICS, size)

    def history(self) -> list[dict[str, float]]:
        """The lines of metrics."""
        metrics = self.path / METRICS
        return [json.loads(line) for line in metrics.read_text("utf-8").splitlines()] if metrics.exists() else []

    def save_weights(self, model: nn.Module) -> None:
        """Write the model's parameters and buffers."""
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
        with replacing(self.path / WEIGHTS) as temporary:
            # `save_file` would make the file unreadable for everyone but its owner.
            temporary.write_bytes(safetensors.torch.save(tensors))

    def save_summary(self, summary: Mapping[str, Any]) -> None:
        """Write the final figures under plain names."""
        with replacing(self.path / SUMMARY) as temporary:
            temporary.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")


def _claimed(path: Path) -> Path:
    instead = "give --out a folder that does not exist yet, or move this one away"
    try:
        path.mkdir(parents=True, exist_ok=True)
        found = sorted(entry.name for entry in path.iterdir())
    except FileExistsError as error:
        raise DataError("the output folder is a file", received=str(path), instead=instead) from error
    except OSError as error:
        received = f"{path} ({error.strerror})"
        raise DataError("the output folder cannot be made", received=received, instead=instead) from error
    if found:
        what = "the output folder holds another run" if CONFIG in found else "the output folder is not empty"
        listing = ", ".join(found[:6]) + (", ..." if len(found) > 6 else "")
        raise DataError(what, received=f"{path} with {listing}", instead=instead)
    return path


def _next_free(recipe: str) -> Path:
    number = 1
    while True:
        path = Path("runs") / f"{recipe}-{number}"
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            number += 1
        except OSError as error:
            raise DataError(
                "the output folder cannot be made",
                received=f"{path.absolute()} ({error.strerror})",
                instead="give --out a folder that you may write to",
            ) from error
        else:
            return path


def read_config(path: str | Path, cls: type[ConfigT]) -> ConfigT:
    """The configuration in a TOML file, as a dataclass; fields that the file leaves out keep their defaults.

    Raises:
        DataError: the file is missing, is not TOML, names a field that does not exist, or gives one a wrong type.
        InvalidArgument: the dataclass refuses a value.
    """
    try:
        settings = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            "cannot read the configuration",
            received=f"{path} ({error})",
            instead="give a TOML file such as the config.toml of a run",
        ) from error
    types = get_type_hints(cls)
    for name, value in settings.items():
        if name not in types or not _fits(value, types[name]):
            raise DataError(
                f"the configuration does not fit {cls.__module__}.{cls.__name__}",
                received=f"{name} = {value!r} in {path}",
                instead=f"fields and types are: {', '.join(f'{n}: {_spelled(t)}' for n, t in types.items())}",
            )
    return cls(**settings)


def _fits(value: object, annotation: Any) -> bool:
    if get_origin(annotation) in (Union, UnionType):
        return any(_fits(value, option) for option in get_args(annotation))
    if annotation is float:
        return isinstance(value, float | int) and not isinstance(value, bool)
    if isinstance(annotation, type):
        return type(value) is annotation
    return value in get_args(annotation)


def _spelled(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")


def load_weights(model: nn.Module, path: str | Path) -> None:
    """Put the weights of a file into a model, all of them or none.

    Raises:
        DataError: the file is missing or damaged, or its names, shapes and dtypes are not those of the model. The
            model is then unchanged.
    """
    try:
        found = safetensors.torch.load_file(path)
    except (OSError, SafetensorError) as error:
        raise DataError(
            "cannot read the weights",
            received=f"{path} ({error})",
            instead="give the weights.safetensors of a finished run; if it is damaged, train again",
        ) from error
    fit_weights(model, found, path)


def fit_weights(model: nn.Module, found: Mapping[str, Tensor], path: str | Path) -> None:
    """Put weights that were read from `path` into a model, all of them or none; `DataError` as for `load_weights`."""
    expected = model.state_dict()
    differences = [
        f"{name}: {_signature(found.get(name))}, the model has {_signature(expected.get(name))}"
        for name in sorted(found.keys() | expected.keys())
        if _signature(found.get(name)) != _signature(expected.get(name))
    ]
    if differences:
        raise DataError(
            "the weights do not fit the model",
            received=f"{path} with {'; '.join(differences)}",
            instead="build the model from the config.toml beside the weights",
        )
    model.load_state_dict(found)


def _signature(tensor: Tensor | None) -> str:
    return "nothing" if tensor is None else f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"
