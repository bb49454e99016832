"""Checkpoints: all that a run needs to go on, in a folder that is either whole or absent.

`checkpoints/step-00000300/` holds the weights (safetensors), the rest of the state (`torch.save`, read back with
`weights_only=True`) and a manifest with the checksum of both. It is written under another name, forced to the disk, and
then renamed: whatever ends the run, and whenever, the newest folder of that name is good.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from reparam.errors import DataError
from reparam.recipes.files import flush

FORMAT = 1
MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"
STATE = "state.pt"


class Checkpoint(NamedTuple):
    """What was read back."""

    path: Path
    step: int
    weights: dict[str, Tensor]
    state: dict[str, Any]


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: where they are.
        recipe: the name of the recipe, which another recipe's checkpoint does not have.
        keep: how many of the newest stay.
    """

    def __init__(self, folder: Path, recipe: str, keep: int = 2) -> None:
        self.folder, self.recipe, self.keep = folder, recipe, keep

    def save(self, step: int, weights: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Write a checkpoint, then remove those that are too old.

        Raises:
            DataError: it cannot be written, as on a full disk. The earlier ones are untouched.
        """
        target = self.folder / f"step-{step:08d}"
        temporary = self.folder / f".{target.name}.{os.getpid()}.tmp"
        try:
            self._write(temporary, step, weights, state)
            if target.exists():  # a run that was resumed and stopped at once
                shutil.rmtree(target)
            temporary.rename(target)
            flush(self.folder)
        except OSError as error:
            raise DataError(
                "the checkpoint could not be written; the earlier ones are as they were",
                received=f"{target} ({error.strerror or error})",
                instead="make room on the disk, then resume the run with --resume",
            ) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        for old in self.found()[: -self.keep]:
            shutil.rmtree(old, ignore_errors=True)

    def _write(self, folder: Path, step: int, weights: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        folder.mkdir(parents=True)
        buffer = io.BytesIO()
        torch.save(dict(state), buffer)
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
        content = {WEIGHTS: safetensors.torch.save(tensors), STATE: buffer.getvalue()}
        sums = {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}
        manifest = {"format": FORMAT, "recipe": self.recipe, "step": step, "sha256": sums}
        content[MANIFEST] = json.dumps(manifest, indent=1).encode()
        for name, data in content.items():
            (folder / name).write_bytes(data)
            flush(folder / name)
        flush(folder)

    def found(self) -> list[Path]:
        """The checkpoints there are, the oldest first."""
        return sorted(self.folder.glob("step-*")) if self.folder.is_dir() else []

    def newest(self) -> Checkpoint | None:
        """The newest checkpoint, or None where a run did not come to its first.

        Raises:
            DataError: it is damaged or belongs to another recipe. Nothing is removed.
        """
        paths = self.found()
        return self._read(paths[-1]) if paths else None

    def _read(self, path: Path) -> Checkpoint:
        try:
            manifest = json.loads((path / MANIFEST).read_bytes())
            content = {name: (path / name).read_bytes() for name in (WEIGHTS, STATE)}
            sums = {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}
            whole = manifest["sha256"] == sums
            recipe, version, step = manifest["recipe"], manifest["format"], int(manifest["step"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._damaged(path, f"{type(error).__name__}: {error}") from error
        if (recipe, version) != (self.recipe, FORMAT):
            raise DataError(
                "the checkpoint is not one of this recipe",
                received=f"{path}: recipe {recipe!r}, format {version!r}",
                instead=f"a run folder of recipe {self.recipe!r}, format {FORMAT}",
            )
        if not whole:
            wrong = ", ".join(name for name in sums if manifest["sha256"].get(name) != sums[name])
            raise self._damaged(path, f"wrong checksum of {wrong}")
        try:
            weights = safetensors.torch.load(content[WEIGHTS])
            state = torch.load(io.BytesIO(content[STATE]), map_location="cpu", weights_only=True)
        except (SafetensorError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
            raise self._damaged(path, str(error).splitlines()[0]) from error
        return Checkpoint(path, step, weights, state)

    def _damaged(self, path: Path, reason: str) -> DataError:
        earlier = [other.name for other in self.found() if other < path]
        return DataError(
            "the checkpoint is damaged",
            received=f"{path} ({reason})",
            instead=f"move that folder away to go on from {earlier[-1]}"
            if earlier
            else "start the run anew; no earlier checkpoint is left",
        )

    def tidy(self) -> None:
        """Remove what a write that was killed has left."""
        for rest in self.folder.glob(".step-*.tmp"):
            shutil.rmtree(rest, ignore_errors=True)
