#!/usr/bin/env bash
# Written by `make lock`. Snakemake runs this in the new environment, from the project's folder.
set -euo pipefail
echo "706af5ce3a56bb8e4950bfbf33745f3973b8c27049f5dcf7a150d8232c7ac848  envs/analysis.lock" | sha256sum --check --quiet
uv pip install --python "$CONDA_PREFIX" --no-deps --require-hashes --requirements envs/analysis.lock
