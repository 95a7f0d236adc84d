#!/usr/bin/env bash
# Written by `make lock`. Snakemake runs this in the new environment, from the project's folder.
set -euo pipefail
echo "c16bed5fa994d0e4d83940435495f5d0eb453a9e36ac93307d31fc78e4842d92  envs/train.lock" | sha256sum --check --quiet
# PyTorch's CPU build has an index of its own, which uv knows; a folder with its wheel may take the index's place.
[ -n "${UV_FIND_LINKS:-}" ] || export UV_TORCH_BACKEND=cpu
uv pip install --python "$CONDA_PREFIX" --no-deps --require-hashes --requirements envs/train.lock
