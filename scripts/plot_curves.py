"""Draw accuracy against training rollouts, tokens or seconds, one panel a pool."""

from dopr.analysis.comparison import compare
from dopr.analysis.costs import NAMES
from dopr.analysis.results import Results
from dopr.errors import exit_with_one_line
from dopr.figures.curves import collect, draw
from dopr.figures.style import save
from dopr.options import results_parser


def main() -> None:
    """Write OUTPUT.pdf, OUTPUT.png and OUTPUT.csv (OUTPUT.seconds.csv for seconds)."""
    parser = results_parser(__doc__, "path of the figure, without suffix")
    parser.add_argument("--axis", choices=list(NAMES), default="rollouts", help="what accuracy is drawn against")
    parser.add_argument("--bootstrap", type=int, default=1000, help="replicates")
    args = parser.parse_args()

    results = Results(args.results)
    comparisons = [compare(results, pool, args.methods, args.seeds, args.bootstrap) for pool in args.pools]
    frame = collect(results, comparisons, args.axis)
    save(draw(frame, args.axis), frame, args.output)


if __name__ == "__main__":
    exit_with_one_line(main)
