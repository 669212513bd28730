"""Tasks read a folder in place of the Hub, or say what is missing and how to fetch it."""

import json
import shutil
from pathlib import Path

import pytest

from data_recipes.common.errors import RecipeError
from eval.local_data import fetch, main
from eval.task_manager import LM_EVAL_TASKS, HubData, LocalTaskManager

from .oracle import Oracle


@pytest.fixture(scope="module")
def haerae(datasets_cache: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The five parts of a group that lm-eval ships, in its schema."""
    root = tmp_path_factory.mktemp("haerae")
    parts = ("general_knowledge", "history", "loan_words", "rare_words", "standard_nomenclature")
    for part in parts:
        folder = root / "HAERAE-HUB" / "HAE_RAE_BENCH" / part
        folder.mkdir(parents=True)
        rows = [{"query": f"{part} {n}", "answer": f"({'ABCDE'[n]})"} for n in range(5)]
        (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return root


def manager(root: Path | None) -> LocalTaskManager:
    return LocalTaskManager(root, folders=[LM_EVAL_TASKS / "haerae", LM_EVAL_TASKS / "kmmlu"])


def test_a_group_of_lm_eval_runs_on_local_data(haerae: Path) -> None:
    import lm_eval

    known = manager(haerae)
    loaded = known.load(["haerae"])
    results = lm_eval.simple_evaluate(
        model=Oracle(loaded["tasks"]), tasks=["haerae"], task_manager=known, bootstrap_iters=0
    )
    assert results["results"]["haerae"]["acc,none"] == 1.0
    assert results["results"]["haerae"]["sample_len"] == 25
    prompts = {s["arguments"][0][0] for s in results["samples"]["haerae_history"]}
    assert prompts == {f"history {n}" for n in range(5)}
    stated = results["configs"]["haerae_history"]["metadata"]["data_set"]
    assert stated == "HAERAE-HUB/HAE_RAE_BENCH (configuration history)"


def test_parquet_gives_the_same_questions(haerae: Path, tmp_path: Path) -> None:
    import datasets

    source = haerae / "HAERAE-HUB" / "HAE_RAE_BENCH" / "history" / "test.jsonl"
    target = tmp_path / "HAERAE-HUB" / "HAE_RAE_BENCH" / "history" / "test.parquet"
    target.parent.mkdir(parents=True)
    datasets.Dataset.from_json(str(source)).to_parquet(target)
    a, b = (manager(root).load(["haerae_history"])["tasks"] for root in (haerae, tmp_path))
    assert list(a["haerae_history"].eval_docs) == list(b["haerae_history"].eval_docs)

    shutil.copy(source, target.parent)
    with pytest.raises(RecipeError, match="split test is there twice"):
        manager(tmp_path).load(["haerae_history"])


def test_what_is_missing_is_named_with_the_command_that_fetches_it(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as error:
        manager(tmp_path).load(["kmmlu_law"])
    for part in ("HAERAE-HUB/KMMLU/Law", "dev.parquet", "test.jsonl", "kmmlu_law", "--task kmmlu"):
        assert part in str(error.value)
    with pytest.raises(RecipeError, match="no such folder"):
        manager(tmp_path / "nowhere")


@pytest.mark.parametrize("content", ['{"query": ', '{"frage": "x", "answer": "(A)"}\n', ""])
def test_files_that_do_not_fit_are_named(
    datasets_cache: None, tmp_path: Path, content: str
) -> None:
    folder = tmp_path / "HAERAE-HUB" / "HAE_RAE_BENCH" / "history"
    folder.mkdir(parents=True)
    (folder / "test.jsonl").write_text(content)
    with pytest.raises(RecipeError, match="HAE_RAE_BENCH/history: task haerae_history cannot use"):
        manager(tmp_path).load(["haerae_history"])


def test_a_data_set_out_of_reach_is_named(datasets_cache: None) -> None:
    with pytest.raises(RecipeError) as error:
        manager(None).load(["haerae"])
    for part in ("haerae_general_knowledge", "HAERAE-HUB/HAE_RAE_BENCH", "eval.local_data --out"):
        assert part in str(error.value)


def test_an_error_in_a_task_is_not_taken_for_missing_data(tmp_path: Path) -> None:
    # Its own file is missing, so the Hub is not to blame.
    (tmp_path / "own.yaml").write_text(
        "task: own\ndataset_path: json\ndataset_kwargs: {data_files: nowhere.jsonl}\n"
        "output_type: multiple_choice\n"
    )
    with pytest.raises(FileNotFoundError):
        LocalTaskManager(None, folders=[tmp_path]).load(["own"])


def test_what_was_fetched_is_read(
    haerae: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A folder of this name in the working directory is what `datasets` takes for the Hub's.
    hub, out = tmp_path / "hub", tmp_path / "out"
    shutil.copytree(haerae / "HAERAE-HUB" / "HAE_RAE_BENCH" / "history", hub / "owner" / "name")
    monkeypatch.chdir(hub)
    data = HubData("owner/name", None)
    half = out / "owner" / "name" / "default.tmp"  # what a killed run leaves
    half.mkdir(parents=True)
    (half / "test.parquet").write_bytes(b"half")
    assert fetch(data, out) == 5
    assert not half.exists()
    assert fetch(data, out) == 0  # there already
    (tmp_path / "own.yaml").write_text(
        "task: own\ndataset_path: owner/name\ntest_split: test\noutput_type: multiple_choice\n"
        'doc_to_text: "{{query}}"\ndoc_to_choice: ["(A)", "(B)", "(C)", "(D)", "(E)"]\n'
        'doc_to_target: "{{answer}}"\n'
    )
    monkeypatch.chdir(tmp_path)
    task = LocalTaskManager(out, folders=[tmp_path]).load(["own"])["tasks"]["own"]
    assert [doc["query"] for doc in task.eval_docs] == [f"history {n}" for n in range(5)]

    with pytest.raises(RecipeError, match="nobody/nothing .* cannot be loaded"):
        fetch(HubData("nobody/nothing", None), out)
    assert not (out / "nobody" / "nothing" / "default").exists()


def test_the_command_wants_to_know_what_to_fetch(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="--suite or --task"):
        main(["--out", str(tmp_path)])
