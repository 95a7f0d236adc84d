#!/usr/bin/env bash
# Written by `make lock`. Snakemake runs this in the new environment, from the project's folder.
set -euo pipefail
echo "36aa0064625bff0786be6c07836382a06f190b68ac3baf6392ce87565f98df22  envs/evaluate.lock" | sha256sum --check --quiet
# PyTorch's CPU build has an index of its own, which uv knows; a folder with its wheel may take the index's place.
[ -n "${UV_FIND_LINKS:-}" ] || export UV_TORCH_BACKEND=cpu
uv pip install --python "$CONDA_PREFIX" --no-deps --require-hashes --requirements envs/evaluate.lock
