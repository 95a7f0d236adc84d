#!/usr/bin/env bash
# Written by `make lock`. Snakemake runs this in the new environment, from the project's folder.
set -euo pipefail
echo "e0174260577d3e277c947b3c1f3c4e448e29956f5288c11743cc67cfbf60ab51  envs/train.lock" | sha256sum --check --quiet
# PyTorch's CPU build has an index of its own, which uv knows; a folder with its wheel may take the index's place.
[ -n "${UV_FIND_LINKS:-}" ] || export UV_TORCH_BACKEND=cpu
uv pip install --python "$CONDA_PREFIX" --no-deps --require-hashes --requirements envs/train.lock
