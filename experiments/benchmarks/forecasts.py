"""How far a plan's time is off: what the first cells of a study foretell, and what came.

    python experiments/benchmarks/forecasts.py RESULTS ...

Of each ledger the cells are taken in the order in which they were done; what `transfergrid plan`
would have said of the rest, knowing a tenth, a quarter or half of them, is held against what the
rest took: processor time of cells, whatever the number of workers. `plan` itself shows the first
and the last of these wherever twenty cells are done. Wanted: within a factor of 1.5 from a tenth.
"""

from __future__ import annotations

import sys

from transfergrid.evidence.forecast import COLUMNS, Took, checked
from transfergrid.records.ledgers.ledger import Ledger

SHARES = (0.1, 0.25, 0.5)


def main(folders: list[str]) -> None:
    for folder in folders:
        took = [Took.of(row) for row in Ledger(folder).columns(COLUMNS)]
        print(f"{folder}: {len(took)} cells, {sum(one.seconds for one in took):,.0f} s")
        for share in SHARES:
            found = checked(took, share)
            if found is None:
                print(f"  {share:4.0%}: nothing like some of the others is done")
                continue
            off = found.foreseen / found.took - 1
            told = f"{found.foreseen:,.0f} s foreseen, {found.took:,.0f} s came"
            print(f"  {share:4.0%}: {told}, {off:+.0%}")


if __name__ == "__main__":
    main(sys.argv[1:])
