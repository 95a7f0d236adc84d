"""Make a model folder of a GGUF file."""

import argparse
from pathlib import Path

from dopr.errors import exit_with_one_line
from dopr.files import write_atomically
from dopr.models.gguf.folder import write_model_folder
from dopr.runtime.provenance import describe, write
from dopr.workflow.rule_params import RuleParams


def main() -> None:
    """Write the folder, with provenance.json beside the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="resolved configuration")
    parser.add_argument("--gguf", type=Path, required=True, help="the file")
    parser.add_argument("--output", type=Path, required=True, help="folder to write to")
    args = parser.parse_args()
    rule_params = RuleParams.load(args.config)

    def fill(folder: Path) -> None:
        write_model_folder(args.gguf, folder)
        settings = {"model": rule_params.config.base.model, "code": rule_params.code("convert")}
        write(folder, describe(settings, 0, {"gguf": args.gguf}))

    write_atomically(args.output, fill)


if __name__ == "__main__":
    exit_with_one_line(main)
