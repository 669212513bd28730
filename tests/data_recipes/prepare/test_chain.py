"""The whole chain: sums from step to step, kills, other numbers of workers, refusals."""

import json
import shutil
import time
from itertools import islice
from pathlib import Path

import pytest
import yaml

from data_recipes.common.errors import RecipeError
from data_recipes.prepare.chain import STEPS, folder, is_done, jobs, run_step, steps_of
from data_recipes.prepare.config import DataConfig
from data_recipes.prepare.prepare import prepare
from data_recipes.toy import documents
from tests.processes import Program

from ..hand_made import hashes_of, jsonl, rows_of

SOURCES = ("a", "b")


def write_recipe(root: Path, data_dir: Path, **changes: object) -> Path:
    """Two Korean sources in two files each: copies across them, a short text, a test question."""
    stream = documents("web", "ko", 3)
    texts = list(islice((text for text in stream if len(text.split()) > 60), 281))
    question = " ".join(f"낱말{n}" for n in range(20))
    parts = {
        "a": [texts[:70], texts[70:140] + ["너무 짧다."]],
        "b": [texts[140:210] + texts[:20], [*texts[210:280], f"{texts[280]}\n{question}\n"]],
    }
    for source, files in parts.items():
        (root / source).mkdir(parents=True)
        for number, own in enumerate(files):
            (root / source / f"{number}.jsonl").write_bytes(jsonl(own) + b"{broken\n")
    (root / "questions.jsonl").write_text(
        json.dumps({"question": question}, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    recipe = {
        "output_dir": str(root / "out"),
        "sources": [
            {"name": s, "path": str(root / s), "language": "ko", "licence": "none"} for s in SOURCES
        ],
        "read": {"shard_megabytes": 0.03},
        "personal": {},
        "filter": {"profiles": {"ko": "ko_eojeol"}},
        "deduplicate": {"mode": "document", "threshold": 0.5},
        "quality": {
            "classifiers": {
                "ko": {
                    "positive": [{"source": "a"}],
                    "negative": [{"source": "b"}],
                    "threshold": {"value": 0.0},
                    "fasttext": {"dimension": 4, "buckets": 1000, "epochs": 1},
                    "heldout_fraction": 0.4,
                }
            }
        },
        "decontaminate": {
            "evaluation_sets": [
                {"task": "t", "path": str(root / "questions.jsonl"), "columns": ["question"]}
            ]
        },
        "tokenizer": {"path": str(data_dir / "tokenizer")},
        "shards": {"heldout_fraction": 0.2, "tasks": 2},
    }
    path = root / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe | changes, allow_unicode=True), encoding="utf-8")
    return path


def load(path: Path, **changes: object) -> DataConfig:
    return DataConfig.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) | changes)


def command(path: Path, *arguments: str) -> list[str]:
    return ["-m", "data_recipes", *arguments, "--config", str(path)]


@pytest.fixture(scope="module")
def whole(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chain, run without interruption by one worker."""
    path = write_recipe(tmp_path_factory.mktemp("whole"), data_dir)
    prepare(load(path))
    return path


def outputs(path: Path) -> dict[str, str]:
    """Hashes of everything that the steps keep and reject.

    Without what could not be read, which names its files, and these lie elsewhere in each test.
    """
    out = load(path).output_dir
    found = {f"{s}/{name}": h for s in STEPS for name, h in hashes_of(out / s).items()}
    return {k: h for k, h in found.items() if not (k.startswith("read") and "rejected" in k)}


def test_every_document_is_kept_or_rejected_once(whole: Path) -> None:
    config = load(whole)
    assert steps_of(config) == list(STEPS)
    removed: dict[str, set[str]] = {}
    for source in SOURCES:
        before = None
        for step in STEPS:
            own = folder(config, step, source)
            kept = [r["id"] for r in rows_of(own.root / "kept")]
            rejected = [r["id"] for r in rows_of(own.root / "rejected")]
            reasons = {r["reason"] for r in rows_of(own.root / "rejected")}
            removed[step] = removed.get(step, set()) | reasons
            assert len({*kept, *rejected}) == len(kept) + len(rejected)
            if before is not None:
                assert sorted(kept + rejected) == sorted(before)
            tally = own.tally()
            assert (tally.documents_kept, tally.documents_rejected) == (len(kept), len(rejected))
            before = kept
        manifests = [
            json.loads((config.shards_dir / source / split / "manifest.json").read_text())
            for split in ("train", "heldout")
        ]
        assert sum(m["documents"] for m in manifests) == len(before) > 20
        assert manifests[0]["pipeline"]["cleaning"].keys() == set(STEPS)
    # Each step had something to remove, but for the one that masks, and for the classifier, whose
    # threshold lets all pass.
    assert removed["read"] == {"broken_json"}
    assert "low_words" in removed["filter"]
    assert removed["deduplicate"] == {"duplicate_document"}
    assert removed["decontaminate"] == {"contaminated"}
    assert removed["personal"] == removed["quality"] == set()


@pytest.mark.parametrize("step", STEPS)
def test_killed_in_a_step_and_resumed_with_other_workers(
    whole: Path, data_dir: Path, tmp_path: Path, step: str
) -> None:
    path = write_recipe(tmp_path, data_dir)
    config = load(path)
    for name in STEPS[: STEPS.index(step)]:
        # What this test is not about is taken over from the run that it is compared with.
        shutil.copytree(load(whole).output_dir / name, config.output_dir / name)
    process = Program(command(path, step))
    stats = config.output_dir / step
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if any(stats.glob("*/stats/*.json")):
            break
        time.sleep(0.002)
    process.kill()
    done = len(list(stats.glob("*/stats/*.json")))
    total = len(list((load(whole).output_dir / step).glob("*/stats/*.json")))
    assert 0 < done <= total and not is_done(config, step)
    run_step(load(path, executor={"workers": 2}), step)
    expected = {
        k: v for k, v in outputs(whole).items() if STEPS.index(k.split("/")[0]) <= STEPS.index(step)
    }
    assert outputs(path) == expected and any(k.startswith(step) for k in expected)
    assert not list(stats.rglob("*.tmp"))


def test_steps_in_the_wrong_order_are_refused(data_dir: Path, tmp_path: Path) -> None:
    path = write_recipe(tmp_path, data_dir)
    with pytest.raises(RecipeError, match="the step before is not finished.*recipes personal"):
        run_step(load(path), "filter")
    with pytest.raises(RecipeError, match="no section `quality`; its .* are read, personal, fil"):
        run_step(load(path, quality=None), "quality")


def test_changed_settings_are_refused_downstream_too(whole: Path) -> None:
    config = load(whole, deduplicate={"mode": "document", "threshold": 0.6})
    with pytest.raises(RecipeError, match="deduplicate: holds work done with other settings"):
        prepare(config)
    reread = load(whole, read={"shard_megabytes": 0.5})
    with pytest.raises(RecipeError, match="read: holds work done with other settings"):
        prepare(reread)


def test_a_finished_step_knows_other_evaluation_sets(whole: Path, tmp_path: Path) -> None:
    """A list of sets that grew, and a set that did: text of what came is not yet looked for."""
    section = yaml.safe_load(whole.read_text(encoding="utf-8"))["decontaminate"]
    for name, change in (("list", {"task": "more"}), ("set", {})):
        root = tmp_path / name
        shutil.copytree(whole.parent, root)
        questions = root / "questions.jsonl"
        sets = [section["evaluation_sets"][0] | {"path": str(questions)}]
        (root / "sets.yaml").write_text(yaml.safe_dump({"evaluation_sets": sets}))
        shutil.rmtree(root / "out" / "decontaminate")
        changes = {
            "output_dir": str(root / "out"),
            "decontaminate": {"evaluation_sets": str(root / "sets.yaml")},
        }
        run_step(load(whole, **changes), "decontaminate")
        run_step(load(whole, **changes), "decontaminate")  # nothing has changed
        if change:
            sets.append(sets[0] | change)
            (root / "sets.yaml").write_text(yaml.safe_dump({"evaluation_sets": sets}))
        else:
            questions.write_bytes(2 * questions.read_bytes())
        with pytest.raises(RecipeError, match="made from other evaluation sets"):
            run_step(load(whole, **changes), "decontaminate")


def test_mistakes_are_named_before_anything_is_read(data_dir: Path, tmp_path: Path) -> None:
    path = write_recipe(tmp_path, data_dir)
    sources = yaml.safe_load(path.read_text(encoding="utf-8"))["sources"]
    sources[1]["language"] = "vi"
    with pytest.raises(RecipeError, match="no filter profile for language 'vi'"):
        prepare(load(path, sources=sources))
    with pytest.raises(RecipeError, match="no such config file"):
        prepare(load(path, decontaminate={"evaluation_sets": "nowhere.yaml"}))
    assert not (tmp_path / "out" / "read").exists()


def test_nothing_left_is_an_error(data_dir: Path, tmp_path: Path) -> None:
    path = write_recipe(tmp_path, data_dir)
    quality = load(path).quality.model_dump()
    quality["classifiers"]["ko"]["threshold"] = {"value": 1.0}
    with pytest.raises(RecipeError, match="nothing is left of .* documents; low_quality"):
        prepare(load(path, quality=quality))


def test_a_chain_for_a_cluster_is_submitted_whole(data_dir: Path, tmp_path: Path) -> None:
    path = write_recipe(tmp_path, data_dir)
    executor = {"kind": "slurm", "tasks": 3, "slurm": {"partition": "cpu"}}
    names = [(job.name, job.tasks) for job in jobs(load(path, executor=executor))]
    assert names == [
        ("read-0", 3),
        ("read-sums", 1),
        ("personal-0", 3),
        ("personal-sums", 1),
        ("filter-0", 3),
        ("filter-sums", 1),
        ("deduplicate-0", 1),
        ("deduplicate-sums", 1),
        ("quality-0", 1),
        ("quality-1", 3),
        ("quality-sums", 1),
        ("decontaminate-0", 1),
        ("decontaminate-1", 3),
        ("decontaminate-2", 1),
        ("decontaminate-sums", 1),
    ]
