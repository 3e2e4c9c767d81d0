#!/usr/bin/env bash
# The launchers on real GPUs: one grid by four cells a GPU, by Ray, and one cell on all GPUs.
#   experiments/reliability/real_gpus.sh FOLDER     on a machine with one NVIDIA GPU or more
# Expected: each grid ends with 0; the third says as many devices as there are GPUs; no cell is done twice or left.
set -euo pipefail
folder=$(realpath -m "${1:?a folder for results}")
mkdir -p "$folder"
cd "$folder"
gpus=$(nvidia-smi --query-gpu=index --format=csv,noheader | wc -l)
grid=(source=glyph_digits strategy=feature_extraction,full_finetuning target=digits labels=5,20 'seed=range(4)' training.steps=200)

say() { printf '\n== %s (%ss)\n' "$1" "$SECONDS"; }
told() {
    python - "$1" <<'PY'
import sys
from collections import Counter
from transfergrid.records.ledgers.ledger import Ledger

records = Ledger(sys.argv[1]).records()
print(len(records), "cells;", Counter((r.machine.device, r.machine.devices) for r in records))
print(f"{sum(r.cost.seconds.total for r in records):.0f} s of workers")
PY
}

say "one cell at a time on each GPU"
transfergrid "${grid[@]}" hydra/launcher=workers results=one >one.log && told one
say "four cells a GPU"
transfergrid "${grid[@]}" hydra/launcher=workers hydra.launcher.gpus_per_worker=0.25 results=four >four.log && told four
say "Ray, four cells a GPU"
transfergrid "${grid[@]}" hydra/launcher=ray hydra.launcher.n=$((4 * gpus)) hydra.launcher.gpus_per_worker=0.25 \
    results=ray >ray.log && told ray
say "all GPUs for each cell"
transfergrid source=glyph_digits strategy=full_finetuning target=digits labels=20 training.steps=200 trainer=ddp results=ddp >ddp.log && told ddp
say "done"
