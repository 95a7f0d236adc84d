#!/usr/bin/env bash
# Written by `make lock`. Snakemake runs this in the new environment, from the project's folder.
set -euo pipefail
echo "93f9b922b64b834935b672147634610fc2f35768c35d8c17518d4876ab789454  envs/analysis.lock" | sha256sum --check --quiet
uv pip install --python "$CONDA_PREFIX" --no-deps --require-hashes --requirements envs/analysis.lock
