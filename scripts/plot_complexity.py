"""Draw accuracy against training prompts and rollouts, measured and published, with sample-complexity bounds."""

from dopr.analysis.comparison import compare
from dopr.analysis.results import Results
from dopr.bounds.bound import find_bound
from dopr.bounds.published import published_points
from dopr.errors import exit_with_one_line
from dopr.figures.complexity import AXES, collect, draw
from dopr.figures.style import save
from dopr.options import counted, results_parser


def main() -> None:
    """Write OUTPUT.pdf, OUTPUT.png and OUTPUT.csv."""
    parser = results_parser(__doc__, "path of the figure, without suffix", methods=False)
    parser.add_argument(
        "--prompts", nargs="*", type=counted, default=[], help="COUNT=METHOD, fewest first: 1=one_shot all=grpo"
    )
    for axis in AXES:
        parser.add_argument(f"--{axis[:-1]}-bounds", nargs="*", default=[], help=f"bounds in {axis}, by name")
    parser.add_argument("--confidence", type=float, default=0.95, help="of a test")
    parser.add_argument("--bootstrap", type=int, default=1000, help="replicates")
    args = parser.parse_args()

    results = Results(args.results)
    methods = [method for _, method in args.prompts]
    comparisons = [compare(results, pool, methods, args.seeds, args.bootstrap) for pool in args.pools]
    bounds = {axis: [find_bound(name) for name in vars(args)[f"{axis[:-1]}_bounds"]] for axis in AXES}
    frame = collect(results, comparisons, args.prompts, bounds, 1 - args.confidence, published_points())
    save(draw(frame), frame, args.output)


if __name__ == "__main__":
    exit_with_one_line(main)
