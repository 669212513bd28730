"""The runner as a user starts it: from start to end, killed, continued, and given bad input."""

import itertools
import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from data_recipes.common.errors import RecipeError
from data_recipes.common.statistics import mean_interval
from eval.__main__ import main
from eval.local_model import load_tokenizer
from eval.measure import interval_of
from eval.plan import make_plan
from eval.run_dir import read_results, read_samples
from eval.task_manager import LocalTaskManager
from modeling_kormo import KORMoForCausalLM
from modeling_kormo.vision import (
    build_processor,
    build_vision_model,
    load_vision_tokenizer,
    save_vision_model,
)
from tests import processes
from tests.processes import Program
from tests.vision_models import random_tower

from .chat_models import LIMIT, quick, save_model


def fails(*arguments: object) -> str:
    with pytest.raises(SystemExit) as error:
        main([str(one) for one in arguments])
    assert str(error.value).startswith("error: ")
    return str(error.value)


def answers(run: Path) -> dict[str, list[dict]]:
    """All that was asked and answered."""
    return {unit: list(read_samples(run, unit)) for unit in read_results(run)["units"]}


def scores(run: Path) -> list[tuple]:
    rows = read_results(run)["rows"]
    return [(r["task"], r["think"], r["value"], r["stderr"], r["items"]) for r in rows]


def test_every_question_is_asked_once_in_each_way(whole_run: Path) -> None:
    results, asked = read_results(whole_run), answers(whole_run)
    assert [(r["task"], r["think"]) for r in results["rows"]] == [
        ("kmmlu_mini", False),
        ("mmlu_mini", False),
        ("ko_reasoning_mini", False),
        ("ko_reasoning_mini", True),
        ("reasoning_mini_en", False),
        ("reasoning_mini_en", True),
    ]
    for records in asked.values():
        assert [record["doc_id"] for record in records] == list(range(LIMIT))
    template = "<|BOT|>assistant\n<think>\n"
    prompts = {unit: records[0]["prompt"] for unit, records in asked.items()}
    assert prompts["ko_reasoning_mini-think"].endswith(template)
    assert prompts["ko_reasoning_mini"].endswith(f"{template}\n</think>\n\n")
    assert prompts["kmmlu_mini_calendar"].count("정답：") == 6  # five examples, and no chat
    assert "<|BOT|>" not in prompts["kmmlu_mini_calendar"]


def test_a_model_that_sees_answers_as_its_language_model(
    model: Path, whole_run: Path, tmp_path: Path
) -> None:
    tokenizer = load_vision_tokenizer(str(model))
    language = KORMoForCausalLM.from_pretrained(model)
    seeing = build_vision_model(language, random_tower(), tokenizer, "llava")
    processor = build_processor(tokenizer, random_tower().config, "llava")
    save_vision_model(seeing, processor, tmp_path / "sees")
    main(quick(tmp_path / "sees", tmp_path / "run"))
    assert scores(tmp_path / "run") == scores(whole_run)
    assert answers(tmp_path / "run") == answers(whole_run)


def test_a_group_is_the_mean_over_its_questions(whole_run: Path) -> None:
    row = read_results(whole_run)["rows"][0]
    records = [record for unit in row["units"] for record in read_samples(whole_run, unit)]
    assert row["items"] == len(records) == LIMIT * len(row["units"]) >= 12
    values = [record["metrics"]["acc"] for record in records]
    assert row["value"] == pytest.approx(sum(values) / len(values)) and 0 < sum(values)


def test_questions_of_a_kind_are_a_cluster_in_the_run(whole_run: Path) -> None:
    rows = {(row["task"], row["think"]): row for row in read_results(whole_run)["rows"]}
    asked = answers(whole_run)
    for unit in ("ko_reasoning_mini", "reasoning_mini_en"):
        row, records = rows[unit, False], asked[unit]
        clusters = [record["cluster"] for record in records]  # named in the task's metadata
        values = [record["metrics"]["right"] for record in records]
        assert row["interval"] == list(mean_interval(values, clusters))
    plain = rows["mmlu_mini", False]
    records = [record for unit in plain["units"] for record in asked[unit]]
    assert not any("cluster" in record for record in records)
    assert plain["interval"] == list(mean_interval([r["metrics"]["acc"] for r in records]))


def test_clusters_of_two_tasks_are_apart() -> None:
    """Also where they have one name, and where a question has none but its number."""
    asked = [("a", 1.0), ("a", 0.0), (None, 1.0)], [("a", 1.0), (None, 1.0), (None, 0.0)]
    units = [
        [
            {"doc_id": i, "filter": "none", "metrics": {"acc": value}, "cluster": cluster}
            for i, (cluster, value) in enumerate(own)
        ]
        for own in asked
    ]
    values = [value for own in asked for _, value in own]
    apart = mean_interval(values, ["0a", "0a", "02", "1a", "11", "12"])
    assert interval_of(units, "acc,none") == apart != mean_interval(values)


def test_killed_and_continued_equals_uninterrupted(
    model: Path, whole_run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    command = ["-m", "eval", *quick(model, out)]
    process = Program(command)
    finished: dict[Path, int] = {}
    deadline = time.monotonic() + 120
    while len(finished) < 3:
        assert process.poll() is None and time.monotonic() < deadline
        finished = {p: p.stat().st_mtime_ns for p in (out / "tasks").glob("*.json")}
        time.sleep(0.01)
    process.kill()
    finished = {p: p.stat().st_mtime_ns for p in (out / "tasks").glob("*.json")}
    assert not (out / "results.json").exists(), "the run was over before it was killed"

    result = processes.run(command)
    assert result.returncode == 0, result.stderr
    units = len(read_results(out)["units"])
    assert f"{len(finished)} of {units} tasks are done" in result.stdout
    assert f"[{units - len(finished)}/{units - len(finished)}]" in result.stderr
    assert {p: p.stat().st_mtime_ns for p in finished} == finished  # none was run again
    assert scores(out) == scores(whole_run) and answers(out) == answers(whole_run)
    assert "report.html" in result.stdout


def test_a_finished_run_loads_no_model(
    model: Path, whole_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eval.run.load_model", lambda *_, **__: pytest.fail("loaded"))
    before = scores(whole_run)
    main(quick(model, whole_run))
    assert scores(whole_run) == before


def test_changed_model_or_settings_are_refused(
    model: Path, whole_run: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole_run, run)
    message = fails(*quick(model, run)[:-1], "--limit=3")
    assert f"limit: was {LIMIT}, is 3" in message and "--out" in message
    assert "dtype: was 'float32', is 'bfloat16'" in fails(*quick(model, run), "--dtype=bfloat16")
    other = shutil.copytree(model, tmp_path / "other")
    save_model(other, seed=1)
    message = fails(*quick(other, run))
    assert "sha256 of model.safetensors: was" in message and "config.json" not in message
    suite = tmp_path / "fewer.yaml"
    suite.write_text(
        "name: fewer\ndescription: d\ntasks:\n"
        "  - {task: kmmlu_mini_calendar, shots: 2, metric: acc, reason: r}\n"
    )
    message = fails(f"--model={model}", f"--suite={suite}", f"--out={run}", f"--limit={LIMIT}")
    assert "kmmlu_mini_calendar.json" in message and "shots: was 5, is 2" in message


@pytest.mark.parametrize(("field", "was"), [("items_in_all", 7), ("version", "0.5")])
def test_answers_about_other_data_are_refused(
    model: Path, whole_run: Path, tmp_path: Path, field: str, was: Any
) -> None:
    """As of another --data-dir, or of a task that was changed."""
    run = tmp_path / "run"
    shutil.copytree(whole_run, run)
    path = run / "tasks" / "kmmlu_mini_calendar.json"
    saved = json.loads(path.read_text())
    path.write_text(json.dumps(saved | {field: was}))
    message = fails(*quick(model, run))
    assert str(path) in message and f"{field}: was {was!r}, is {saved[field]!r}" in message
    path.write_text(json.dumps({k: v for k, v in saved.items() if k != field}))
    main(quick(model, run))  # a record of before


def test_names_that_do_not_exist_are_refused_with_a_suggestion(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "did you mean 'quick'" in fails(f"--model={model}", "--suite=quik")
    # Ours are enough to choose from; reading those of lm-eval takes ten seconds.
    monkeypatch.setattr("eval.plan.task_manager", lambda *_: LocalTaskManager(folders=()))
    assert "did you mean 'kmmlu_mini'" in fails(f"--model={model}", "--task=kmmlu_minni")
    assert "nothing to evaluate" in fails(f"--model={model}")
    assert "no config.json" in fails("--model", model.parent, "--suite=quick")
    assert "final/ is" in fails("--model", model.parent, "--suite=quick")
    assert "neither a directory" in fails("--model=no/such-model", "--suite=quick")
    checkpoint = tmp_path / "checkpoint-320"
    checkpoint.mkdir()
    shutil.copy(model / "config.json", checkpoint)
    message = fails("--model", checkpoint, "--suite=quick")
    assert f"kormo export --as kormo {checkpoint} OUT" in message and "final/" in message
    with pytest.raises(RecipeError, match="no tokenizer, as in a checkpoint"):
        load_tokenizer(str(checkpoint))
    assert "--batch-size 0" in fails("--model", model, "--task=mmlu_mini", "--batch-size=0")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{task: mmlu_mini, shots: 5, metric: ac, reason: r}", "reports no metric 'ac'"),
        ("{task: mmlu_mini, shots: 5, metric: acc, think: on, reason: r}", "set think: off"),
        (
            "{task: mmlu_mini, shots: 5, metric: acc, published: mmllu, reason: r}",
            "did you mean 'mmlu'",
        ),
        (
            "{task: mmlu_mini, shots: 5, metric: acc, cluster: passage, reason: r}",
            "mmlu_mini: no column 'passage', .*there are .*question",
        ),
    ],
)
def test_suites_that_cannot_work_are_refused(tmp_path: Path, row: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"name: mine\ndescription: d\ntasks:\n  - {row}\n".replace("on,", "'on',"))
    with pytest.raises(RecipeError, match=message):
        make_plan([str(path)], [])


def test_data_out_of_reach_is_named_with_the_command(model: Path, tmp_path: Path) -> None:
    message = fails(f"--model={model}", "--task=kormo_kobalt", f"--data-dir={tmp_path}")
    assert "KoBALT" in message
    assert "python -m eval.local_data --out DIR --task kormo_kobalt" in message


def test_models_that_cannot_chat_or_think_are_refused(model: Path, tmp_path: Path) -> None:
    mute = shutil.copytree(model, tmp_path / "mute")
    tokenizer = AutoTokenizer.from_pretrained(mute)
    tokenizer.chat_template = None
    (mute / "chat_template.jinja").unlink()
    tokenizer.save_pretrained(mute)
    asked = ["--task=ko_reasoning_mini", "--limit=1"]
    assert "no chat template" in fails(f"--model={mute}", f"--out={tmp_path / 'a'}", *asked)
    # It can still be asked in plain text.
    main([f"--model={mute}", f"--out={tmp_path / 'b'}", "--task=mmlu_mini", "--limit=1"])

    endless = shutil.copytree(model, tmp_path / "endless")
    for path in endless.glob("*.json"):
        path.write_text(path.read_text().replace("</think>", "</thought>"))
    out = f"--out={tmp_path / 'c'}"
    assert "no token </think>" in fails(f"--model={endless}", out, *asked, "--think=both")
    assert not list((tmp_path / "c" / "tasks").iterdir())  # refused before anything was asked


def test_think_on_the_command_line_replaces_that_of_the_suite() -> None:
    def thinks(mode: str) -> list[tuple[str, bool]]:
        plan = make_plan(["quick"], [], mode)
        return [(row.task, row.units[0].think) for row in plan.rows if row.units[0].chat]

    assert [think for _, think in thinks("off")] == [False] * 2
    assert [think for _, think in thinks("on")] == [True] * 2


def test_an_unfinished_write_is_not_taken_for_a_result(model: Path, tmp_path: Path) -> None:
    tasks = tmp_path / "run" / "tasks"
    tasks.mkdir(parents=True)
    (tasks / "mmlu_mini_high_school_geography.json.tmp").write_text('{"task": "mm')
    (tasks / "mmlu_mini_high_school_geography.jsonl").write_text('{"doc_id": 99}\n')
    task = "--task=mmlu_mini_high_school_geography"
    main([f"--model={model}", f"--out={tmp_path / 'run'}", task, "--limit=1"])
    [record] = read_samples(tmp_path / "run", "mmlu_mini_high_school_geography")
    assert record["doc_id"] == 0
    assert json.loads((tasks / "mmlu_mini_high_school_geography.json").read_text())["items"] == 1


def test_sampled_answers_are_repeated_seeded_and_averaged(model: Path, tmp_path: Path) -> None:
    asked = [f"--model={model}", "--task=ko_reasoning_mini", "--task=mmlu_mini", "--limit=3"]
    drawn = ["--gen-kwargs", "do_sample=true", "temperature=2.0", "max_gen_toks=4"]
    for name, *more in (("a", "--seed=1"), ("b", "--seed=1"), ("c", "--seed=2")):
        main([*asked, *drawn, "--repeats=2", f"--out={tmp_path / name}", *more])
    a, b, c = (answers(tmp_path / name) for name in "abc")
    assert a == b and a["ko_reasoning_mini"] != c["ko_reasoning_mini"]
    for mine, other in zip(a["ko_reasoning_mini"], c["ko_reasoning_mini"], strict=True):
        assert len(mine["responses"]) == len(other["responses"]) == 2
        # The second answer of seed 1 is the first of seed 2.
        assert mine["responses"][1] == other["responses"][0]
    unit = next(unit for unit in a if unit.startswith("mmlu_mini"))
    assert a[unit] == c[unit]  # likelihoods are asked once
    message = fails(*asked, *drawn, "--repeats=3", "--seed=1", f"--out={tmp_path / 'a'}")
    assert "repeats: was 2, is 3" in message


def test_a_score_is_the_mean_over_repeats() -> None:
    from data_recipes.common.statistics import standard_error
    from eval.measure import run_unit
    from eval.plan import AnswerSampling, Unit
    from eval.reasoning import as_turn

    from .oracle import Oracle

    tasks = LocalTaskManager(folders=[]).load(["ko_reasoning_mini"])["tasks"]
    asked = itertools.count()

    def at_first_right(task: Any, doc: dict[str, Any]) -> str:
        said = doc["answer"] if next(asked) < 3 else "모르겠습니다"
        return as_turn(f"답은 {said}", False)

    task = tasks["ko_reasoning_mini"]
    task.config.metadata["protocol"] = "asked otherwise"
    found, records = run_unit(
        Oracle(tasks, say=at_first_right),
        task,
        Unit("ko_reasoning_mini", 0, False, False),
        5,
        AnswerSampling(repeats=2),
    )
    assert found["metrics"]["right,none"] == 0.3 and next(asked) == 10
    means = [record["metrics"]["right"] for record in records]
    assert means == [0.5, 0.5, 0.5, 0.0, 0.0]
    assert found["metrics"]["right_stderr,none"] == standard_error(means)[0] > 0
    assert found["protocol"] == "asked otherwise"


def test_repeats_score_the_mean_and_its_error_over_questions() -> None:
    from data_recipes.common.statistics import mean_interval
    from eval.measure import _record, interval_of

    def sample(doc_id: int, right: float) -> dict:
        return {
            **{"doc_id": doc_id, "doc_hash": "h", "filter": "none", "arguments": [("?",)]},
            **{"target": "1", "resps": [["1"]], "filtered_resps": ["1"]},
            **{"metrics": ["right"], "right": right, "doc": {"kind": doc_id // 2, "text": ""}},
        }

    pairs = [(1.0, 0.0), (1.0, 1.0), (0.0, 0.0), (0.0, 1.0)]
    records = [_record([sample(n, own) for own in pair], None) for n, pair in enumerate(pairs)]
    means = [record["metrics"]["right"] for record in records]
    assert means == [0.5, 1.0, 0.0, 0.5]
    assert interval_of([records], "right,none") == mean_interval(means)
    # Of 6 wrong ones nothing is known to within 39 points (Wilson), not to within 0.
    wrong = [_record([sample(n, 0.0)], None) for n in range(6)]
    low, high = interval_of([wrong], "right,none")
    assert low == 0 and high == pytest.approx(0.3903, abs=1e-4)
    # Two clusters of equal questions are two questions.
    twice = [_record([sample(n, float(n // 2))], "kind") for n in range(4)]
    alone = [_record([sample(n, float(n // 2))], None) for n in range(4)]
    assert interval_of([twice], "right,none") == mean_interval([0.0, 0.0, 1.0, 1.0], [0, 0, 1, 1])
    (low, high), (low_alone, high_alone) = (
        interval_of([one], "right,none") for one in (twice, alone)
    )
    assert high - low > high_alone - low_alone
    # Without a passage each is by itself.
    apart = [_record([sample(n, float(n // 2))], "text") for n in range(4)]
    assert len({record["cluster"] for record in apart}) == 4


def test_a_damaged_file_is_named_with_its_remedy(
    model: Path, whole_run: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(whole_run, tmp_path / "run")
    (run / "results.json").write_text('{"rows": [')
    message = fails("compare", run, run)
    assert "results.json: damaged" in message and "finished tasks are kept" in message
    (run / "results.json").unlink()
    unit = next((run / "tasks").glob("*.json"))
    unit.write_text("{}")
    assert f"{unit}: damaged" in (message := fails(*quick(model, run))) and "delete it" in message
    unit.unlink()
    main(quick(model, run))
    assert scores(run) == scores(whole_run)
    samples = unit.with_suffix(".jsonl")
    samples.write_text(samples.read_text()[:-20])
    assert f"{samples}: damaged in line {LIMIT}" in fails("compare", run, run)
