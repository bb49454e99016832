"""Claim: `import reparam` adds at most 0.15 s of CPU time to `import torch`.

Each of several fresh processes imports torch, then measures the CPU time of importing reparam.

    python benchmarks/import_time.py
"""

from __future__ import annotations

import platform
import statistics
import subprocess
import sys

LIMIT = 0.15
PROCESSES = 11
MEASURE = """
import time
import torch
started = time.process_time()
import reparam
print(time.process_time() - started, torch.__version__)
"""


def main() -> None:
    outputs = [
        subprocess.run([sys.executable, "-c", MEASURE], check=True, capture_output=True, text=True).stdout.split()
        for _ in range(PROCESSES)
    ]
    seconds = sorted(float(output[0]) for output in outputs)
    middle = statistics.median(seconds)
    print(f"{platform.machine()}, Python {platform.python_version()}, torch {outputs[0][1]}")
    print(f"import reparam after import torch: {middle:.3f} s of CPU time, from {seconds[0]:.3f} to {seconds[-1]:.3f}")
    print(f"({PROCESSES} processes); at most {LIMIT} s: {'holds' if middle <= LIMIT else 'does not hold'}")


if __name__ == "__main__":
    main()
