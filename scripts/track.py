"""Log to MLflow what the experiment's files hold and the store does not."""

import argparse
from pathlib import Path

from dopr.errors import exit_with_one_line
from dopr.files import write_json
from dopr.runtime.tracking_store import TRACKING_ERRORS, warn
from dopr.tracking.results_log import log_results


def main() -> None:
    """Write the MLflow id of each run. If the store fails, warn and write none: results do not depend on it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="resolved configuration")
    parser.add_argument("--results", type=Path, required=True, help="results folder")
    parser.add_argument("--output", type=Path, required=True, help="ids, as JSON")
    args = parser.parse_args()
    try:
        logged = log_results(args.results, args.config)
    except TRACKING_ERRORS as error:
        warn("this experiment", args.results, error)
        write_json(args.output, {"store": None, "runs": {}})
        return
    write_json(args.output, {"store": logged.store.client.tracking_uri, "runs": logged.runs})


if __name__ == "__main__":
    exit_with_one_line(main)
