"""Draw the rollouts each method spent for an informative group, beside what uniform sampling is expected to spend."""

from dopr.analysis.results import Results
from dopr.errors import exit_with_one_line
from dopr.figures.informative import collect, draw
from dopr.figures.style import save
from dopr.options import results_parser


def main() -> None:
    """Write OUTPUT.pdf, OUTPUT.png and OUTPUT.csv."""
    parser = results_parser(__doc__, "path of the figure, without suffix")
    parser.add_argument("--bootstrap", type=int, default=1000, help="replicates")
    args = parser.parse_args()
    frame = collect(Results(args.results), args.pools, args.methods, args.seeds, args.bootstrap)
    save(draw(frame), frame, args.output)


if __name__ == "__main__":
    exit_with_one_line(main)
