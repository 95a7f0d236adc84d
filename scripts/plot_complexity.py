"""Draw measured accuracy against the number of training prompts, with sample-complexity lower bounds beside it."""

from dopr.comparison import compare
from dopr.errors import exit_with_one_line
from dopr.figures.complexity import collect, draw
from dopr.figures.style import save
from dopr.options import counted, results_parser
from dopr.results import Results


def main() -> None:
    """Write OUTPUT.pdf, OUTPUT.png and OUTPUT.csv."""
    parser = results_parser(__doc__, "path of the figure, without suffix", methods=False)
    parser.add_argument(
        "--prompts", nargs="+", type=counted, required=True, help="COUNT=METHOD, fewest first, e.g. 1=one_shot all=grpo"
    )
    parser.add_argument("--dimensions", nargs="+", type=float, default=[1, 100], help="d of the sharpening bound")
    parser.add_argument("--confidence", type=float, default=0.95, help="of the test in the change of measure")
    parser.add_argument("--bootstrap", type=int, default=1000, help="replicates")
    args = parser.parse_args()

    results = Results(args.results)
    methods = [method for _, method in args.prompts]
    comparisons = [compare(results, pool, methods, args.seeds, args.bootstrap) for pool in args.pools]
    frame = collect(results, comparisons, args.prompts, args.dimensions, 1 - args.confidence)
    save(draw(frame), frame, args.output)


if __name__ == "__main__":
    exit_with_one_line(main)
