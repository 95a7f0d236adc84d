#!/usr/bin/env bash
# Written by `make lock`. Snakemake runs this in the new environment, from the project's folder.
set -euo pipefail
echo "d2980d552c9fa9c7cfc0f8fb6ad4c2d7a172e01ce2142143586078f907832262  envs/train-cuda.lock" | sha256sum --check --quiet
uv pip install --python "$CONDA_PREFIX" --no-deps --require-hashes --requirements envs/train-cuda.lock
