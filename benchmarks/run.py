"""Every benchmark, one after another: what `make bench` runs."""

from __future__ import annotations

import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
LIBRARIES = {"run.py", "paired.py", "peers.py"}


def main() -> None:
    for script in sorted(HERE.glob("*.py"), key=lambda script: (script.name == "pictures.py", script.name)):
        if script.name not in LIBRARIES:
            print(f"\n== {script.name}", flush=True)
            subprocess.run([sys.executable, str(script)], check=True)


if __name__ == "__main__":
    main()
