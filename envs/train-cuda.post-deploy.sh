#!/usr/bin/env bash
# Written by `make lock`. Snakemake runs this in the new environment, from the project's folder.
set -euo pipefail
echo "5a44820626ffd19102312cf7442d5114970e7903c1a6e7ef553ba4cd64f95b87  envs/train-cuda.lock" | sha256sum --check --quiet
uv pip install --python "$CONDA_PREFIX" --no-deps --require-hashes --requirements envs/train-cuda.lock
