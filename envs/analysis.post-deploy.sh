#!/usr/bin/env bash
# Written by `make lock`. Snakemake runs this in the new environment, from the project's folder.
set -euo pipefail
echo "58a42837971758a8c7c14764f987e24c39639eee92919abbe623ca694dfc50a2  envs/analysis.lock" | sha256sum --check --quiet
uv pip install --python "$CONDA_PREFIX" --no-deps --require-hashes --requirements envs/analysis.lock
