"""Draw measures of runs against rollouts: of training, of held-out responses, or of what DoPR chose by."""

from dopr.analysis.results import Results
from dopr.errors import exit_with_one_line
from dopr.figures import acquisition, responses, training
from dopr.figures.style import save
from dopr.options import results_parser

FIGURES = {"training": training, "responses": responses, "acquisition": acquisition}


def main() -> None:
    """Write OUTPUT.pdf, OUTPUT.png and OUTPUT.csv."""
    parser = results_parser(__doc__, "path of the figure, without suffix")
    parser.add_argument("--figure", choices=FIGURES, required=True)
    args = parser.parse_args()
    figure = FIGURES[args.figure]
    frame = figure.collect(Results(args.results), args.pools, args.methods, args.seeds)
    save(figure.draw(frame), frame, args.output)


if __name__ == "__main__":
    exit_with_one_line(main)
