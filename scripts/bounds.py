"""Write the table of bounds at the constants measured in this experiment, beside what was spent."""

from dopr.analysis.comparison import compare
from dopr.analysis.results import Results
from dopr.bounds.bound import find_bound
from dopr.errors import exit_with_one_line
from dopr.options import results_parser
from dopr.tables.bounds import bounds_table


def main() -> None:
    """Write OUTPUT.csv, OUTPUT.md, OUTPUT.tex and OUTPUT.html."""
    parser = results_parser(__doc__, "path of the table, without suffix")
    parser.add_argument("--rollout-bounds", nargs="*", default=[], help="lower bounds in rollouts, by name")
    parser.add_argument("--confidence", type=float, default=0.95, help="of a test")
    parser.add_argument("--bootstrap", type=int, default=1000, help="replicates")
    args = parser.parse_args()

    results = Results(args.results)
    comparisons = [compare(results, pool, args.methods, args.seeds, args.bootstrap) for pool in args.pools]
    bounds = [find_bound(name) for name in args.rollout_bounds]
    bounds_table(results, comparisons, bounds, 1 - args.confidence).write(args.output)


if __name__ == "__main__":
    exit_with_one_line(main)
