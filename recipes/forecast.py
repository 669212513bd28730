"""Predict a large run from small ones, seal the prediction, and check it after the run.

    kormo forecast stage1 --size tiny --dry-run    # what the ladder and the target cost
    kormo forecast stage1 --size tiny              # train the ladder, fit, predict, seal
    kormo forecast stage1 --size tiny --target     # train the target, then check

The hash that the second command prints is to be noted where others see it: `--check HASH` refuses a
forecast that was changed since. A forecast is a YAML in recipes/configs/forecasts/SIZE, or a file
of your own.
"""

from __future__ import annotations

from data_recipes.common.config_files import documented_parser
from data_recipes.common.errors import RecipeError
from recipes.command_line import exit_on_error
from recipes.experiments.forecast import (
    FORECAST,
    ForecastConfig,
    check,
    forecast_page,
    plan_forecast,
    read_sealed,
    refuse_started,
    seal,
)
from recipes.experiments.train import print_commands, read_study, train_runs


def main() -> None:
    """Train the ladder and seal, or train the target, or check."""
    parser = documented_parser(__doc__)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--dry-run", action="store_true", help="print commands and cost, and exit")
    what.add_argument("--target", action="store_true", help="train what was predicted, and check")
    what.add_argument(
        "--check", nargs="?", const="", metavar="HASH", help="check a target that is finished"
    )
    study = read_study(parser, ForecastConfig, "forecasts", "forecast", "seeds=[1,2]")
    args, size, launcher, config = study.args, study.size, study.launcher, study.config
    rungs, target = plan_forecast(config, size)
    if args.dry_run:
        from recipes.experiments.cost import cost_lines
        from recipes.experiments.results import records

        for runs in (rungs, [target]):
            left = [run for run in runs if not run.done]
            print_commands(left, launcher)
            print("\n".join(cost_lines(size, left, [r for r in runs if r.done], records())) + "\n")
        return
    forecast = read_sealed(config, target, args.check)
    looks_back = args.target or args.check is not None
    if forecast is None and looks_back:
        raise RecipeError(
            f"{config.output_dir / FORECAST}: nothing is sealed yet; run this command without "
            "--target or --check first"
        )
    if forecast is None:
        refuse_started(target.cells[0].directory)
        train_runs(rungs, launcher)
        forecast = seal(config, study.path.stem, size, rungs, target)
    if args.target:
        train_runs([target], launcher)
    checked = check(forecast, target) if looks_back else None
    page = forecast_page(forecast, checked)
    page.write_both((config.output_dir / FORECAST).with_suffix(".html"))
    print(f"\n{page.to_markdown()}\n{config.output_dir / FORECAST}: sealed {forecast['sha256']}")


if __name__ == "__main__":
    exit_on_error(main)
