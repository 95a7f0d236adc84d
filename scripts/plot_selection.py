"""Draw what each method chose to train on in one pool: prompts over time, steps with a gradient, families."""

from dopr.analysis.results import Results
from dopr.errors import exit_with_one_line
from dopr.figures.selection import collect, draw
from dopr.figures.style import save
from dopr.options import results_parser


def main() -> None:
    """Write OUTPUT.pdf, OUTPUT.png and OUTPUT.csv."""
    parser = results_parser(__doc__, "path of the figure, without suffix")
    args = parser.parse_args()
    if len(args.pools) != 1:
        parser.error("--pools: one pool a figure")
    frame = collect(Results(args.results), args.pools[0], args.methods, args.seeds)
    save(draw(frame), frame, args.output)


if __name__ == "__main__":
    exit_with_one_line(main)
