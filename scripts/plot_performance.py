"""Draw performance profiles at the checkpoints that are reported, one panel a pool."""

from dopr.analysis.checkpoint_selection import at_reported, reported, validations
from dopr.analysis.comparison import compare
from dopr.analysis.results import Results
from dopr.errors import exit_with_one_line
from dopr.figures.performance_profile import collect, draw
from dopr.figures.style import save
from dopr.options import add_checkpoint, results_parser


def main() -> None:
    """Write OUTPUT.pdf, OUTPUT.png and OUTPUT.csv."""
    parser = results_parser(__doc__, "path of the figure, without suffix")
    add_checkpoint(parser)
    parser.add_argument("--bootstrap", type=int, default=1000, help="replicates")
    args = parser.parse_args()
    results = Results(args.results)
    comparisons = [compare(results, pool, args.methods, args.seeds, args.bootstrap) for pool in args.pools]
    validated = validations(args.results, args.checkpoint, comparisons, args.bootstrap)
    chosen = reported(comparisons, validated)
    final = at_reported(comparisons, chosen)
    frame = collect(final, args.bootstrap)
    save(draw(frame), frame, args.output)


if __name__ == "__main__":
    exit_with_one_line(main)
