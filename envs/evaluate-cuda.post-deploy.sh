#!/usr/bin/env bash
# Written by `make lock`. Snakemake runs this in the new environment, from the project's folder.
set -euo pipefail
echo "d7caae245d920e5982559efe395b721365a07594c93ddc9dc9aeeec656623d5b  envs/evaluate-cuda.lock" | sha256sum --check --quiet
uv pip install --python "$CONDA_PREFIX" --no-deps --require-hashes --requirements envs/evaluate-cuda.lock
