#!/usr/bin/env bash
# Written by `make lock`. Snakemake runs this in the new environment, from the project's folder.
set -euo pipefail
echo "4deb351bc3805cd033a69413f8d61aed63d2d81bd141d8addcd452e24b25e658  envs/train-cuda.lock" | sha256sum --check --quiet
uv pip install --python "$CONDA_PREFIX" --no-deps --require-hashes --requirements envs/train-cuda.lock
