#!/usr/bin/env bash
# Written by `make lock`. Snakemake runs this in the new environment, from the project's folder.
set -euo pipefail
echo "7ccb8b1e7adc3e1d86bb737ffc3d70a75635626f69234a88f306fc93d2e0b2ab  envs/train-cuda.lock" | sha256sum --check --quiet
uv pip install --python "$CONDA_PREFIX" --no-deps --require-hashes --requirements envs/train-cuda.lock
