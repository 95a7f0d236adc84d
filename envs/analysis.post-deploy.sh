#!/usr/bin/env bash
# Written by `make lock`. Snakemake runs this in the new environment, from the project's folder.
set -euo pipefail
echo "a7fda86c7fd671bebda90f526faadab054dc9ac729512b3dbf5b5d45a046f9c0  envs/analysis.lock" | sha256sum --check --quiet
uv pip install --python "$CONDA_PREFIX" --no-deps --require-hashes --requirements envs/analysis.lock
