#!/usr/bin/env bash
# Written by `make lock`. Snakemake runs this in the new environment, from the project's folder.
set -euo pipefail
echo "3aec202d6dfb9a49d8d9c0eb9396d83a17d98127e5f934fda82b93f6a08ca5d9  envs/evaluate-cuda.lock" | sha256sum --check --quiet
uv pip install --python "$CONDA_PREFIX" --no-deps --require-hashes --requirements envs/evaluate-cuda.lock
