"""The benchmarks, one after another: what `make bench` runs.

Those that train models for minutes to hours run with `--all` alone. One that fails does not stop the others; the names
of all that did come last.

    python benchmarks/run.py          # about ten minutes
    python benchmarks/run.py --all
"""

from __future__ import annotations

import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
LIBRARIES = {"run.py", "paired.py", "peers.py"}
TRAININGS = {
    "discrete_vae.py",
    "discrete_vae_against_storchastic.py",
    "gan_quality.py",
    "iwae_against_vae.py",
    "sac_against_sb3.py",
    "unbiasedness.py",
    "vae_against_peers.py",
    "vae_latents.py",
}


def main() -> None:
    everything = "--all" in sys.argv[1:]
    left_out = LIBRARIES if everything else LIBRARIES | TRAININGS
    scripts = [script for script in HERE.glob("*.py") if script.name not in left_out]
    failed = []
    # The pictures are made from what the others leave.
    for script in sorted(scripts, key=lambda script: (script.name == "pictures.py", script.name)):
        print(f"\n== {script.name}", flush=True)
        if subprocess.run([sys.executable, str(script)]).returncode:
            failed.append(script.name)
    if not everything:
        print(f"\nleft out, for --all: {', '.join(sorted(TRAININGS))}")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
