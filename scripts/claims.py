"""Write the table of what papers claim to save against what was saved here."""

from dopr.comparison import compare
from dopr.errors import exit_with_one_line
from dopr.options import results_parser
from dopr.results import Results
from dopr.tables.claims import claims_table


def main() -> None:
    """Write OUTPUT.csv, OUTPUT.md, OUTPUT.tex and OUTPUT.html."""
    parser = results_parser(__doc__, "path of the table, without suffix")
    parser.add_argument("--reference", required=True, help="method that savings are measured against")
    parser.add_argument("--targets", nargs="+", type=float, required=True, help="accuracies, from 0 to 1")
    parser.add_argument("--bootstrap", type=int, default=1000, help="replicates")
    args = parser.parse_args()
    if args.reference not in args.methods:
        parser.error(f"--reference {args.reference} is not among --methods")
    results = Results(args.results)
    comparisons = [compare(results, pool, args.methods, args.seeds, args.bootstrap) for pool in args.pools]
    claims_table(results, comparisons, args.targets, args.reference).write(args.output)


if __name__ == "__main__":
    exit_with_one_line(main)
