#!/usr/bin/env bash
# Written by `make lock`. Snakemake runs this in the new environment, from the project's folder.
set -euo pipefail
echo "f674f9294cabd8598781a3bebe3e0f63db8ec4706394df8c14c4fa956c247cbe  envs/train.lock" | sha256sum --check --quiet
# PyTorch's CPU build has an index of its own, which uv knows; a folder with its wheel may take the index's place.
[ -n "${UV_FIND_LINKS:-}" ] || export UV_TORCH_BACKEND=cpu
uv pip install --python "$CONDA_PREFIX" --no-deps --require-hashes --requirements envs/train.lock
