"""Arms of `kormo train knowledge_vqa` on the graph that ships, with seeds: does a graph help?

    python scripts/knowledge_study.py --out runs/knowledge_study --seeds 0 1 2

Every arm of a seed sees the same questions in as many steps of as many rows. What is finished is
kept: start it again after an interruption, or with more seeds. Writes study.json and study.md.
"""

import argparse
import json
import time
from pathlib import Path

import torch

from data_recipes.common.files import write_json_atomically
from data_recipes.common.page import Page, Paragraph, Table, made
from data_recipes.common.statistics import compare_pairs, mean_interval
from data_recipes.knowledge.command import KnowledgeConfig, make
from eval.knowledge.__main__ import TESTS, make_inquiry
from eval.knowledge.model import KnowingModel
from eval.vision.answers import answers_to
from eval.vision.blind import Commonest
from eval.vision.items import TRAIN, PictureQuestion, is_right, read_items, read_split
from recipes.kge import train as train_vectors
from recipes.knowledge_config import KgeConfig, KnowledgeVqaConfig
from recipes.knowledge_vqa import train

# Arm of the recipe, and of which graph.
ARMS = {
    "none": ("none", "true"),
    "text": ("text", "true"),
    "tokens": ("tokens", "true"),
    "shuffled": ("tokens", "shuffled"),
    "gold": ("gold", "true"),
    "classifier": ("classifier", "true"),
    "classifier, shuffled": ("classifier", "shuffled"),
}
_COMPARED = [
    ("none", "text"), ("none", "tokens"), ("shuffled", "tokens"), ("none", "shuffled"),
    ("text", "tokens"), ("tokens", "gold"), ("classifier, shuffled", "classifier"),
]  # fmt: skip


def _graphs(out: Path) -> dict[str, Path]:
    make(KnowledgeConfig(output_dir=out / "knowledge", graph=["world"], picture_size=32))
    folders = {}
    for name in ("true", "shuffled"):
        config = {
            "size": "study", "triples": out / "knowledge/data/triples.jsonl",
            "output_dir": out / f"kge_{name}", "dim": 32,
            "transe": {"epochs": 100, "learning_rate": 1e-2},
            "convkb": {"epochs": 60, "learning_rate": 1e-3, "filters": 8},
            "batch": 64, "held_out": 0, "shuffle_tails": name == "shuffled",
        }  # fmt: skip
        train_vectors(KgeConfig.model_validate(config))
        folders[name] = out / f"kge_{name}/final"
    return folders


def _run(out: Path, arm: str, seed: int, graphs: dict[str, Path], args: argparse.Namespace) -> None:
    folder = out / f"{arm.replace(', ', '_')}_{seed}"
    if (folder / "answers.json").is_file():
        return
    kind, graph = ARMS[arm]
    config = KnowledgeVqaConfig.model_validate(
        {
            "size": "study",
            "data": out / "knowledge/data",
            "graph": graphs[graph],
            "output_dir": folder,
            "arm": kind,
            "seed": seed,
            "steps": args.steps,
            "batch": args.batch,
            "learning_rate": args.learning_rate,
            "random": {"hidden_size": args.hidden_size},
        }  # fmt: skip
    )
    began = time.process_time()
    model = KnowingModel(train(config))
    items = _items(config.data)
    answers = []
    for split in TESTS:
        own = [item for item in items if item.split == split]
        given = answers_to(own, "seen", lambda: model, folder, 64)
        answers += [given[i.id] | {"right": is_right(i, given[i.id]["answer"])} for i in own]
    seconds = round(time.process_time() - began, 1)
    write_json_atomically(folder / "answers.json", {"cpu_seconds": seconds, "answers": answers})


def _items(data: Path) -> list[PictureQuestion]:
    return [item for split in TESTS for item in read_items(data, split, None)]


def _scores(out: Path, items: int, seeds: list[int]) -> dict[str, dict]:
    """Return the share of right answers of each question over the seeds, by arm that is done."""
    scores = {}
    for arm in ARMS:
        paths = [out / f"{arm.replace(', ', '_')}_{seed}/answers.json" for seed in seeds]
        if not all(path.is_file() for path in paths):
            continue
        runs = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
        marks = [[float(a["right"]) for a in run["answers"]] for run in runs]
        entity = sum(a["entity"] for run in runs for a in run["answers"])
        scores[arm] = {
            "right": [sum(own) / len(own) for own in zip(*marks, strict=True)],
            "per_seed": marks,
            "cpu_seconds": [run["cpu_seconds"] for run in runs],
            "entity_told": entity / items / len(runs),
        }
    return scores


def summarise(out: Path, seeds: list[int], settings: dict) -> None:
    """Write the tables: shares per arm, and differences in pairs, clustered by entity."""
    data = out / "knowledge/data"
    items = _items(data)
    scores = _scores(out, len(items), seeds)
    trained = list(read_split(data, TRAIN))
    for name, keys in make_inquiry().blind.items():
        blind = Commonest(trained, keys)
        right = [float(is_right(item, blind.answer(item))) for item in items]
        scores[name] = {"right": right, "per_seed": [right]}
    page = Page("Does a knowledge graph help? Arms at micro size")
    page.add(made(), Paragraph(f"seeds {seeds}; {settings}"))
    study: dict = {"seeds": seeds, "settings": settings, "shares": {}, "differences": {}}
    for novelty in TESTS:
        at = [n for n, item in enumerate(items) if item.split == novelty]
        entities = [items[n].subject for n in at]
        table = []
        for arm, own in scores.items():
            values = [own["right"][n] for n in at]
            low, high = mean_interval(values, entities)
            by_seed = [sum(marks[n] for n in at) / len(at) for marks in own["per_seed"]]
            languages = {
                code: _mean([own["right"][n] for n in at if items[n].language == code])
                for code in ("ko", "en")
            }
            record = {
                "share": _mean(values),
                "interval": [low, high],
                "seeds": by_seed,
                **languages,
            }
            study["shares"].setdefault(novelty, {})[arm] = record
            shown = [f"{s:.1%}" for s in (record["share"], low, high, *languages.values())]
            table.append([arm, *shown, ", ".join(f"{s:.1%}" for s in by_seed)])
        columns = ["arm", "right>", "low>", "high>", "ko>", "en>", "by seed>"]
        page.add(Table(columns, table, caption=f"{novelty}, {len(at)} questions"))
        differences = []
        for first, second in _COMPARED:
            if first in scores and second in scores:
                pair = ([scores[arm]["right"][n] for n in at] for arm in (first, second))
                d = compare_pairs(*pair, entities)
                study["differences"].setdefault(novelty, {})[f"{second} - {first}"] = {
                    "value": d.value, "interval": [d.low, d.high], "p_value": d.p_value
                }  # fmt: skip
                cells = [f"{x:+.1%}" for x in (d.value, d.low, d.high)]
                differences.append([f"{second} - {first}", *cells, f"{d.p_value:.3f}"])
        page.add(Table(["difference", "value>", "low>", "high>", "p>"], differences))
    costs = [
        [arm, ", ".join(map(str, own["cpu_seconds"])), f"{own['entity_told']:.1%}"]
        for arm, own in scores.items()
        if "entity_told" in own
    ]
    page.add(Table(["arm", "CPU seconds by seed", "entity told rightly>"], costs))
    write_json_atomically(out / "study.json", study)
    page.write(out / "study.md")


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def main() -> None:
    """Run what is not finished, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--hidden-size", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=4e-3)
    parser.add_argument("--tables-only", action="store_true", help="of the seeds that are finished")
    args = parser.parse_args()
    torch.set_num_threads(1)  # as figures of CPU seconds want it
    if not args.tables_only:
        graphs = _graphs(args.out)
        for seed in args.seeds:
            for arm in args.arms:
                _run(args.out, arm, seed, graphs, args)
    settings = {k: getattr(args, k) for k in ("steps", "batch", "hidden_size", "learning_rate")}
    summarise(args.out, args.seeds, settings)
    print((args.out / "study.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
