#!/usr/bin/env bash
# Written by `make lock`. Snakemake runs this in the new environment, from the project's folder.
set -euo pipefail
echo "12d8a7b796fff311193abac0047db66433ea82cb689ac39c63c229fa055ea1cc  envs/evaluate-cuda.lock" | sha256sum --check --quiet
uv pip install --python "$CONDA_PREFIX" --no-deps --require-hashes --requirements envs/evaluate-cuda.lock
