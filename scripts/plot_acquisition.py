"""Draw volatility and exploration of the prompts that DoPR chose against rollouts, one row of panels a pool."""

from dopr.errors import exit_with_one_line
from dopr.figures.acquisition import collect, draw
from dopr.figures.style import save
from dopr.options import results_parser
from dopr.results import Results


def main() -> None:
    """Write OUTPUT.pdf, OUTPUT.png and OUTPUT.csv."""
    args = results_parser(__doc__, "path of the figure, without suffix").parse_args()
    frame = collect(Results(args.results), args.pools, args.methods, args.seeds)
    save(draw(frame), frame, args.output)


if __name__ == "__main__":
    exit_with_one_line(main)
