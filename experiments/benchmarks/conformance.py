"""How much processor time the conformance suite takes for each shipped strategy.

Wanted: at most 4 seconds a strategy and modality, so that a hundred strategies fit CI. A strategy
is checked on images, with classes and with numbers for labels, on a vision transformer, and on
texts; the first one also pays for what is imported and is therefore checked twice.

    OMP_NUM_THREADS=1 python experiments/benchmarks/conformance.py [STRATEGY ...]
"""

from __future__ import annotations

import sys
import time

from transfergrid.records.factory import locate
from transfergrid.records.shipped import conf_dir, strategies
from transfergrid.testing import outcomes

TEXTS = "holds_on_texts"


def seconds(name: str) -> tuple[float, float]:
    """Return the processor time on images and on texts, in seconds."""
    kind, yaml = locate(strategies()[name]), conf_dir() / "strategy" / f"{name}.yaml"
    begin = last = time.process_time()
    texts = 0.0
    for outcome in outcomes(kind, yaml):
        now = time.process_time()
        if outcome.found is not None:
            sys.exit(f"{name}: {outcome.rule}: {outcome.found}")
        texts += now - last if outcome.rule == TEXTS else 0.0
        last = now
    return last - begin - texts, texts


def main() -> None:
    """Print a line for each strategy and the sums."""
    names = sys.argv[1:] or list(strategies())
    seconds(names[0])
    found = {name: seconds(name) for name in names}
    for name, (images, texts) in found.items():
        print(f"{name:30} images {images:5.2f} s   texts {texts:5.2f} s")
    total = sum(map(sum, found.values()))
    most = max(max(pair) for pair in found.values())
    print(f"{len(found)} strategies: {total:.1f} s in all, {most:.2f} s at most a modality")


if __name__ == "__main__":
    main()
