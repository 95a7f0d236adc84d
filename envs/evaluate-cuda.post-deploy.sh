#!/usr/bin/env bash
# Written by `make lock`. Snakemake runs this in the new environment, from the project's folder.
set -euo pipefail
echo "ca0ffe1f920df5e7b80816c684d0d51d4a61507a72c7aa41ecd2e85a6e76e40c  envs/evaluate-cuda.lock" | sha256sum --check --quiet
uv pip install --python "$CONDA_PREFIX" --no-deps --require-hashes --requirements envs/evaluate-cuda.lock
