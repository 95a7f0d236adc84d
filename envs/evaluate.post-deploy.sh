#!/usr/bin/env bash
# Written by `make lock`. Snakemake runs this in the new environment, from the project's folder.
set -euo pipefail
echo "fd53554ebb6885cb7b7d814f5757b21112a9ec96d7195e64d21a6ade8027d8e5  envs/evaluate.lock" | sha256sum --check --quiet
# PyTorch's CPU build has an index of its own, which uv knows; a folder with its wheel may take the index's place.
[ -n "${UV_FIND_LINKS:-}" ] || export UV_TORCH_BACKEND=cpu
uv pip install --python "$CONDA_PREFIX" --no-deps --require-hashes --requirements envs/evaluate.lock
