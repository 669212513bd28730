"""Search the shares of a stage's sources with a swarm of small runs, and confirm what is found.

    kormo mixture-search stage2 --size tiny --dry-run    # what the swarm and the comparison cost
    kormo mixture-search stage2 --size tiny

Writes `mixture.yaml`, which a stage takes as `data.mixture=FILE`, and always compares it with the
prior on seeds of its own: the report says which one to use. A search is a YAML in
recipes/configs/searches/SIZE, or a file of your own. Finished stages are not run again.
"""

from __future__ import annotations

from typing import Any

import yaml

from data_recipes.common.config_files import documented_parser
from data_recipes.common.errors import RecipeError
from data_recipes.common.files import open_staged, write_json_atomically
from recipes.command_line import exit_on_error
from recipes.experiments.mixture import (
    SearchConfig,
    caps_of,
    confirmation,
    draw_swarm,
    prior_of,
    proxy_runs,
    recipe_of,
    search,
)
from recipes.experiments.plan import seed_runs
from recipes.experiments.ruler import check_ruler
from recipes.experiments.runs import Run
from recipes.experiments.train import print_commands, read_study, train_runs

MIXTURE, RESULTS = "mixture.yaml", "search.json"


def _write_mixture(config: SearchConfig, shards: Any, mixture: dict[str, float], said: str) -> None:
    """Write the mixture as a stage reads it, with what the shards say of its sources."""
    from data_recipes.tokens.shards import read_manifest

    sources = []
    for name, share in mixture.items():
        manifest = read_manifest(shards / name / "train")
        own = {"name": name, "language": manifest.language, "synthesizer": manifest.synthesizer}
        sources.append(own | {"tokens": manifest.tokens, "share": share})
    content = {
        "stage": config.stages[-1],
        "tokens": config.tokens,
        "max_epochs": config.max_epochs,
        "sources": sources,
    }
    with open_staged(config.output_dir / MIXTURE) as file:
        file.write(f"# Found by `kormo mixture-search`; {said}\n")
        yaml.safe_dump(content, file, sort_keys=False)


def _verdict(config: SearchConfig, results: dict[str, Any]) -> dict[str, Any]:
    """Compare the weighted sum of the targets, on the same seeds."""
    from data_recipes.common.statistics import compare_pairs, judge

    own: dict[str, list[float]] = {"prior": [], "found": []}
    for run in results["runs"]:
        own[run["arm"]].append(config.total([run["measures"][name] for name in config.targets]))
    difference = compare_pairs(own["prior"], own["found"])
    verdict = judge(difference, difference.p_value, config.confirm.smallest, False)
    low, high = difference.interval()
    return {"difference": difference.value, "low": low, "high": high, "verdict": verdict}


def _say(verdict: dict[str, Any]) -> str:
    amount = f"{verdict['difference']:+.4f} [{verdict['low']:+.4f}, {verdict['high']:+.4f}]"
    if verdict["verdict"] == "better":
        return f"what was found beats the prior: {amount}"
    return (
        f"what was found does not beat the prior ({verdict['verdict']}): {amount}; keep the prior"
    )


def _report(
    config: SearchConfig, found: dict[str, Any], results: dict[str, Any], title: str
) -> str:
    from data_recipes.common.page import Page, Paragraph, Span, Table, made
    from recipes.experiments.report import describe

    rows = [
        [name, f"{prior:.1%}", f"{share:.1%} [{low:.1%}, {high:.1%}]", f"{cap:.0%}"]
        for name, prior, share, low, high, cap in zip(
            *(found[key] for key in ("sources", "prior", "found", "low", "high", "caps"))
        )
    ]
    ranks = ", ".join(f"{name} {value:.2f}" for name, value in found["correlation"].items())
    page = Page(
        title,
        [
            Paragraph([Span(config.question, "strong")]),
            Paragraph([Span(_say(found["verdict"]))]),
            Table(["source", "prior>", "found [95 %]>", "at most>"], rows),
            Paragraph(
                f"{config.proxies} proxies; the laws promise {found['gain']:.4f} "
                f"[{found['gain_low']:.4f}, {found['gain_high']:.4f}] less of the weighted sum. "
                f"Rank correlation with proxies that a law has not seen: {ranks}."
            ),
            made(),
            *describe(results),
        ],
    )
    page.write_both((config.output_dir / RESULTS).with_suffix(".html"))
    return page.to_markdown()


def _train_swarm(config: SearchConfig, runs: list[Run], launcher: list[str]) -> list[list[float]]:
    """Train the proxies; returns their targets, [proxies, targets].

    Raises:
        RecipeError: a stage failed, or measures no such target.
    """
    from recipes.experiments.measures import measure_run

    for part in (runs[:1], runs):  # a target that nothing measures is told after the first
        train_runs(part, launcher)
        measured = [measure_run(run, config.measures()) for run in part]
        if missing := [name for name in config.targets if name not in measured[0]]:
            raise RecipeError(
                f"targets.{missing[0]}: {part[0].name} has no such measure, but "
                f"{', '.join(measured[0])}; name one of these"
            )
    return [[own[name] for name in config.targets] for own in measured]


def main() -> None:
    """Train the swarm, fit, write the mixture, and compare it with the prior."""
    import numpy as np

    parser = documented_parser(__doc__)
    parser.add_argument("--dry-run", action="store_true", help="print commands and cost, and exit")
    study = read_study(parser, SearchConfig, "searches", "search", "proxies=16")
    size, launcher, config = study.size, study.launcher, study.config
    recipe = recipe_of(config, size)
    prior = prior_of(config, recipe)
    caps = caps_of(config, recipe, prior)
    swarm = draw_swarm(config, prior, caps)
    runs = proxy_runs(config, size, prior, swarm)
    if study.args.dry_run:
        from recipes.experiments.cost import cost_lines
        from recipes.experiments.results import records

        # What will be found is not known; it costs what the prior costs.
        compared = seed_runs(
            confirmation(config, prior, np.array(list(prior.values()))),
            size,
            {"prior": {}, "found": {}},
        )
        for planned in (runs, compared):
            left = [run for run in planned if planned is compared or not run.done]
            print_commands(left if planned is runs else [], launcher)
            print("\n".join(cost_lines(size, left, [], records())) + "\n")
        return
    values = np.array(_train_swarm(config, runs, launcher))
    found = search(config, prior, caps, swarm, values)
    experiment = confirmation(config, prior, found["found"])
    mixture = experiment.arms["found"][config.stages[-1]]["data.mixture"]
    pairs = seed_runs(experiment, size, {"prior": {}, "found": {}})
    check_ruler(experiment, pairs)
    train_runs(pairs, launcher)
    from recipes.experiments.results import collect

    results = collect(experiment, study.path.stem, size, [], pairs)
    results["command"] = f"kormo mixture-search {study.said}"
    found |= {"sources": list(prior), "prior": list(prior.values()), "caps": caps}
    found |= {"swarm": swarm, "values": values, "verdict": _verdict(config, results)}
    record = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in found.items()}
    write_json_atomically(config.output_dir / RESULTS, record | {"confirmation": results})
    # Not before the comparison: the file says how it ended.
    _write_mixture(config, recipe.data.shards, mixture, _say(found["verdict"]))
    print(f"\n{_report(config, found, results, f'Mixture search {study.path.stem}, {size}')}")
    print(f"{config.output_dir / MIXTURE}: {_say(found['verdict'])}")


if __name__ == "__main__":
    exit_on_error(main)
