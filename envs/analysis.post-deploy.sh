#!/usr/bin/env bash
# Written by `make lock`. Snakemake runs this in the new environment, from the project's folder.
set -euo pipefail
echo "6bb501c2c6e9d49eed80298e91e61c2f1357987abb95c1e5705f643acd956221  envs/analysis.lock" | sha256sum --check --quiet
uv pip install --python "$CONDA_PREFIX" --no-deps --require-hashes --requirements envs/analysis.lock
