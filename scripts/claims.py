"""Write the table of what papers claim to save against what was saved here."""

from dopr.analysis.comparison import compare
from dopr.analysis.results import Results
from dopr.errors import exit_with_one_line
from dopr.options import parse_savings, savings_parser
from dopr.tables.claims import claims_table


def main() -> None:
    """Write OUTPUT.csv, OUTPUT.md, OUTPUT.tex and OUTPUT.html."""
    args = parse_savings(savings_parser(__doc__, "path of the table, without suffix"))
    results = Results(args.results)
    comparisons = [compare(results, pool, args.methods, args.seeds, args.bootstrap) for pool in args.pools]
    claims_table(results, comparisons, args.targets, args.reference).write(args.output)


if __name__ == "__main__":
    exit_with_one_line(main)
