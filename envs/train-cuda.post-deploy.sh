#!/usr/bin/env bash
# Written by `make lock`. Snakemake runs this in the new environment, from the project's folder.
set -euo pipefail
echo "4cde9d0a117045d7d96cefa38ff6b83587d0aa593824422902e15b8c533cf6c8  envs/train-cuda.lock" | sha256sum --check --quiet
uv pip install --python "$CONDA_PREFIX" --no-deps --require-hashes --requirements envs/train-cuda.lock
