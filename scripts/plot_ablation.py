"""Draw the methods of a control or an ablation: final accuracy by method, and each one's curve."""

from dopr.analysis.comparison import compare
from dopr.analysis.results import Results
from dopr.errors import exit_with_one_line
from dopr.figures.ablation import draw
from dopr.figures.curves import collect
from dopr.figures.style import save
from dopr.options import results_parser


def main() -> None:
    """Write OUTPUT.pdf, OUTPUT.png and OUTPUT.csv."""
    parser = results_parser(__doc__, "path of the figure, without suffix")
    parser.add_argument("--bootstrap", type=int, default=1000, help="replicates")
    args = parser.parse_args()

    results = Results(args.results)
    comparisons = [compare(results, pool, args.methods, args.seeds, args.bootstrap) for pool in args.pools]
    frame = collect(results, comparisons, "rollouts")
    save(draw(frame), frame, args.output)


if __name__ == "__main__":
    exit_with_one_line(main)
