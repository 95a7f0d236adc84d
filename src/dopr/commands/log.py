"""Log an experiment's results to MLflow: all that is missing in the store, from the files of the results folder.

The store is the server of MLFLOW_TRACKING_URI, or mlflow.db in the folder. The workflow does the same at its end. Run
again, the command changes nothing.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from dopr.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("results", nargs="?", type=Path, default=Path("results"), help="default: results")
    parser.add_argument("--config", type=Path, help="resolved configuration (default: the newest in RESULTS/configs)")


def run(args: argparse.Namespace) -> None:
    """Log the results and print how many runs were missing.

    Raises:
        UserError: The folder holds no finished run, or the store cannot be used.
    """
    from dopr.runtime.tracking_store import TRACKING_ERRORS, reason_of
    from dopr.tracking.results_log import log_results, run_folders

    if not any(run_folders(args.results)):
        raise UserError(f"{args.results}: holds no finished run; give the results folder of an experiment")
    try:
        logged = log_results(args.results, args.config)
    except TRACKING_ERRORS as error:
        raise UserError(f"MLflow: {reason_of(error, args.results)}") from None
    print(f"{len(logged.runs)} runs in {logged.store.client.tracking_uri}, {len(logged.new)} of them logged now")
