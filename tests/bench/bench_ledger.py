"""Orders a second and latency of four node processes over mosquitto. Run it alone: it needs the whole machine.

    python tests/bench/bench_ledger.py FOLDER [RATE ...]

Writes FOLDER/bench.json. The same as `gridbazaar bench ledger`, with the numbers as JSON on standard output.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from agents.ledger_bench import RATES, BenchOptions, bench_ledger


def main() -> None:
    folder, *rates = sys.argv[1:]
    options = BenchOptions(out=Path(folder), rates=[float(rate) for rate in rates] or RATES)
    print(json.dumps(bench_ledger(options, lambda words: print(words, file=sys.stderr)).to_json(), indent=1))


if __name__ == "__main__":
    main()
