#!/usr/bin/env bash
# Written by `make lock`. Snakemake runs this in the new environment, from the project's folder.
set -euo pipefail
echo "347da076f9edf4562deb11d7abc1998123e6a15cb21da4f2db0a63d93264d377  envs/evaluate-cuda.lock" | sha256sum --check --quiet
uv pip install --python "$CONDA_PREFIX" --no-deps --require-hashes --requirements envs/evaluate-cuda.lock
