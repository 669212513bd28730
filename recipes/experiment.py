"""Run an experiment: arms that differ in named settings, on the same seeds, by one ruler.

    kormo experiment embedding_std --size tiny --dry-run    # what it costs, and what it could find
    kormo experiment embedding_std --size tiny
    kormo experiment single_synthesizer --size 1b --dry-run --launcher "accelerate launch"

An experiment is a YAML in recipes/configs/experiments/SIZE, or a file of your own. Finished stages
are not run again, and one that was interrupted goes on from its last checkpoint.
"""

from __future__ import annotations

from pathlib import Path

from data_recipes.common.config_files import documented_parser
from data_recipes.common.errors import RecipeError
from data_recipes.common.files import write_json_atomically
from recipes.command_line import CONFIGS, exit_on_error
from recipes.experiments.config import ExperimentConfig, Overrides
from recipes.experiments.needs import refuse_missing
from recipes.experiments.plan import refuse_alike, seed_runs, sweep_runs, values_of
from recipes.experiments.ruler import check_ruler
from recipes.experiments.runs import Run
from recipes.experiments.train import Study, print_commands, read_study, train_runs


def _dry_run(
    experiment: ExperimentConfig, size: str, sweep: list[Run], runs: list[Run], launcher: list[str]
) -> None:
    from recipes.experiments.cost import cost_report
    from recipes.experiments.results import RESULTS, read_results, records

    everything = [*sweep, *runs]
    done = [run for run in everything if run.done]
    left = [run for run in everything if run not in done]
    print_commands(left, launcher)
    if any(not run.done for run in sweep):
        print("(after the sweep, every arm goes on with its own best value)")
    own = read_results(experiment.output_dir / RESULTS)
    print(f"\n{experiment.question}")
    print(cost_report(experiment, size, left, done, own, records()))


def _report(study: Study, sweep: list[Run], runs: list[Run]) -> Path:
    """Write the results of what is finished, as numbers, table and plot."""
    from recipes.experiments.picture import draw
    from recipes.experiments.report import results_page
    from recipes.experiments.results import RESULTS, collect

    experiment: ExperimentConfig = study.config
    done, tried = [run for run in runs if run.done], [run for run in sweep if run.done]
    results = collect(experiment, study.path.stem, study.size, tried, done)
    results["command"] = f"kormo experiment {study.said}"
    path = experiment.output_dir / RESULTS
    write_json_atomically(path, results)
    page = results_page(results, draw(results, path.with_suffix(".png").name))
    page.write_both(path.with_suffix(".html"))
    print(f"\n{page.to_markdown()}\n{path.with_suffix('')}.{{md,html,json,png}}")
    return path


def _refuse_foreign(path: Path, size: str) -> None:
    """Refuse to publish where no experiment of this name belongs.

    Raises:
        RecipeError: its YAML is none of those that are shipped, or the repository is not there.
    """
    from recipes.experiments.results import NEGATIVE, RECORDS

    shipped = CONFIGS / "experiments" / size
    if path.resolve().parent != shipped.resolve():
        raise RecipeError(
            f"--publish: {path} is not in {shipped}, and may have the name of one that is; move it "
            "there, or take --report"
        )
    if not NEGATIVE.is_file():
        raise RecipeError(f"--publish: {RECORDS} is not there; it is for a checkout, not a package")


def _publish(path: Path, name: str, size: str) -> None:
    """Copy the results to where the repository keeps them, and make their page again."""
    from recipes.experiments.report import all_results_page
    from recipes.experiments.results import DOCS, RECORDS, read_results

    write_json_atomically(RECORDS / size / f"{name}.json", read_results(path))
    all_results_page().write(DOCS / "experiments.md")
    print(f"{RECORDS / size / name}.json, {DOCS / 'experiments.md'}")


def main() -> None:
    """Run what is not finished, and report."""
    parser = documented_parser(__doc__)
    parser.add_argument(
        "--dry-run", action="store_true", help="print commands, cost and power, and exit"
    )
    parser.add_argument("--report", action="store_true", help="only look at what is finished")
    parser.add_argument(
        "--publish", action="store_true", help="like --report, and renew docs/experiments.md"
    )
    study = read_study(parser, ExperimentConfig, "experiments", "experiment", "seeds=[1,2]")
    args, size, launcher, experiment = study.args, study.size, study.launcher, study.config
    if args.publish:
        _refuse_foreign(study.path, size)
    values = values_of(experiment)
    sweep = sweep_runs(experiment, size)

    def chosen() -> dict[str, Overrides]:
        if not experiment.sweep:
            return dict.fromkeys(experiment.arms, values[0])
        from recipes.experiments.results import best_values

        done = [run for run in sweep if run.done]
        return best_values(experiment, done, values)

    runs = seed_runs(experiment, size, chosen())
    refuse_alike(runs)
    check_ruler(experiment, runs)
    if args.dry_run:
        _dry_run(experiment, size, sweep, runs, launcher)
        return
    if not (args.report or args.publish):
        refuse_missing(experiment, [run for run in (*sweep, *runs) if not run.done])
        train_runs(sweep, launcher)
        runs = seed_runs(experiment, size, chosen())
        train_runs(runs, launcher)
        check_ruler(experiment, runs)  # of data that were made for it
    results = _report(study, sweep, runs)
    if args.publish:
        _publish(results, study.path.stem, size)


if __name__ == "__main__":
    exit_on_error(main)
