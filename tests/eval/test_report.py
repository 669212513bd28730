"""Reports of real runs."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from data_recipes.common.errors import RecipeError
from eval.__main__ import main
from eval.collect import collect
from eval.published import load_published
from eval.report import build_page
from eval.run_dir import read_results, read_samples
from eval.task_manager import LocalTaskManager

from ..conftest import ROOT
from .chat_models import LIMIT, save_model


class Closed(HTMLParser):
    """Notices elements that are not closed, and addresses of other files."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def markdown(run: Path) -> str:
    return build_page(collect([run])).to_markdown()


def page(run: Path) -> str:
    return build_page(collect([run])).to_html()


def percent(row: dict) -> str:
    """A score as tables have it."""
    low, high = (100 * end for end in row["interval"])
    return f"{100 * row['value']:.1f} ({low:.1f} to {high:.1f})"


def with_published(run: Path, out: Path, **changes: object) -> Path:
    """A copy of a run whose KMMLU-like row stands for the card's."""
    shutil.copytree(run, out)
    results = read_results(out)
    results["rows"][0] |= {"published": "kmmlu"} | changes
    (out / "results.json").write_text(json.dumps(results))
    return out


def test_scores_and_errors_are_those_of_the_run(whole_run: Path) -> None:
    text, html = markdown(whole_run), page(whole_run)
    for row in read_results(whole_run)["rows"]:
        score = percent(row)
        assert re.search(rf"\| {re.escape(row['label'])} \|.*\| {re.escape(score)} \|", text)
        assert score in html
    assert "달력" in html and "달력" in text  # the subjects, in Korean
    assert "## Thinking" in text and "Beside published" not in text
    commit = next(iter(read_results(whole_run)["units"].values()))["environment"]["commit"]
    assert commit in html and "lm_eval 0.4" in html


def test_bits_of_subjects_are_no_percent(whole_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(whole_run, tmp_path / "run")
    results = read_results(run)
    row = next(r for r in results["rows"] if r["group"] and len(r["units"]) > 1)
    row |= {"metric": "gold_bits,none", "value": 4.9, "interval": [4.8, 5.0], "floor": 5.9}
    for key in row["units"]:
        unit = results["units"][key]
        unit["metrics"] = {"gold_bits,none": 4.928, "floor_bits,none": 5.913}
        unit["intervals"] = {"gold_bits,none": [4.8, 5.056]}
    results["rows"] = [row]
    (run / "results.json").write_text(json.dumps(results))
    text = markdown(run)
    assert text.count("4.928 (4.800 to 5.056), floor 5.913") == len(row["units"])
    assert "492.8" not in text
    # Bits are neither right nor wrong.
    assert "shown" not in text and "Wrong answers" not in text


def test_wrong_answers_are_shown_as_they_are(whole_run: Path) -> None:
    content = collect([whole_run])
    wrong = dict(content.wrong)
    shown = wrong["ko_reasoning_mini (thinking)"]
    assert len(shown) == LIMIT  # a random model
    records = {r["doc_id"]: r for r in read_samples(whole_run, "ko_reasoning_mini-think")}
    for failure in shown:
        record = records[failure.doc_id]
        assert record["prompt"].endswith(failure.prompt.removeprefix("… "))
        assert failure.target == str(record["target"]).strip()
    for failure in wrong["kmmlu_mini"]:
        record = list(read_samples(whole_run, failure.unit))[failure.doc_id]
        assert record["metrics"]["acc"] == 0 and failure.answer != failure.target
        assert failure.target == record["choices"][record["target"]].strip()


def test_published_scores_stand_beside_what_was_measured_alike(
    whole_run: Path, tmp_path: Path
) -> None:
    same = markdown(with_published(whole_run, tmp_path / "same"))
    assert re.search(r"\| kmmlu_mini \|.*\| 46.5 \| 38.5 \|", same)
    other = markdown(with_published(whole_run, tmp_path / "other", shots=0))
    assert "46.5" not in other
    unknown = with_published(whole_run, tmp_path / "unknown", published="click")
    assert "55.3?" in markdown(unknown)
    thought = with_published(whole_run, tmp_path / "thought", think=True)
    assert "46.5" not in markdown(thought)


def test_what_a_model_writes_cannot_change_the_page(whole_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(whole_run, tmp_path / "run")
    path = run / "tasks" / "ko_reasoning_mini.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    for record in records:
        record["responses"] = [["<script>alert(1)</script>\n```\n| a | b |\u202e"]]
    path.write_text("\n".join(json.dumps(record) for record in records) + "\n")
    html, text = page(run), markdown(run)
    assert "<script>" not in html and "&lt;script&gt;" in html and "\u202e" not in html
    assert "````\n<script>" in text


def test_runs_beside_each_other(
    model: Path, whole_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = save_model(tmp_path / "second" / "final", seed=1)
    out = tmp_path / "run"
    arguments = [f"--model={other}", "--task=mmlu_mini", f"--limit={LIMIT}", f"--out={out}"]
    main([*arguments, f"--beside={whole_run}"])
    printed = capsys.readouterr().out
    ours, theirs = (
        next(r for r in read_results(run)["rows"] if r["task"] == "mmlu_mini")
        for run in (out, whole_run)
    )
    expected = [percent(row) for row in (ours, theirs)]
    line = next(line for line in printed.splitlines() if line.startswith("mmlu_mini"))
    assert re.split(r" {2,}", line)[-2:] == expected
    fewer = tmp_path / "fewer"
    main([*arguments[:2], f"--limit={LIMIT - 1}", f"--out={fewer}", f"--beside={whole_run}"])
    line = next(
        line for line in capsys.readouterr().out.splitlines() if line.startswith("mmlu_mini")
    )
    assert f"  {ours['items'] * (LIMIT - 1) // LIMIT}; {theirs['items']}  " in line
    with pytest.raises(SystemExit, match="no such file"):
        main([*arguments, f"--beside={tmp_path}"])


def test_a_ladder_is_one_report_with_a_plot(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = save_model(tmp_path / "second" / "final", seed=1)
    out = tmp_path / "ladder"
    tasks = ["--task=mmlu_mini_high_school_geography", "--task=ko_reasoning_mini", "--think=both"]
    main(["ladder", str(model), str(other), f"--out={out}", "--limit=2", *tasks])
    printed = capsys.readouterr().out
    assert re.search(r"task +asked +questions +random +second", printed)
    html = (out / "report.html").read_text(encoding="utf-8")
    assert "Wrong answers of second" in html
    parser = Closed()
    parser.feed(html)
    assert not parser.open and parser.addresses
    pictures = [one for one in parser.addresses if not one.startswith("#")]
    assert pictures and all(one.startswith("data:image/png;base64,") for one in pictures)
    thinking = collect([out / "random", out / "second"]).thinking
    assert [(run, task) for run, task, _ in thinking] == [
        ("random", "ko_reasoning_mini"),
        ("second", "ko_reasoning_mini"),
    ]
    with pytest.raises(SystemExit, match="share the name random"):
        main(["ladder", str(model), str(model), f"--out={out}"])


def test_a_whole_suite_has_an_average_beside_the_cards(whole_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(whole_run, tmp_path / "run")
    results = read_results(run)
    published = load_published()
    row = results["rows"][0]
    names = list(published.korean)
    results["rows"] = [
        row | {"task": name, "label": name, "published": name, "value": number / 10}
        for number, name in enumerate(names)
    ]
    (run / "results.json").write_text(json.dumps(results))
    mean = 100 * sum(range(len(names))) / 10 / len(names)
    line = next(x for x in markdown(run).splitlines() if "average of the card's 9 Korean" in x)
    assert f"| {mean:.1f} |" in line
    beside = [x for x in markdown(run).splitlines() if "average of the card's 9 Korean" in x][1]
    assert f"| {next(iter(published.averages('korean').values())):.1f}? |" in beside
    results["rows"].pop()
    (run / "results.json").write_text(json.dumps(results))
    assert "average of" not in markdown(run)


def test_the_report_and_the_docs_say_how_a_task_differs(whole_run: Path, tmp_path: Path) -> None:
    docs = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    index = LocalTaskManager(folders=[]).task_index
    said = {
        (e.cfg["metadata"] or {}).get("protocol") for e in index.values() if "metadata" in e.cfg
    }
    said.discard(None)
    assert len(said) == 6 and all(one in docs for one in said)
    run = shutil.copytree(whole_run, tmp_path / "run")
    results = read_results(run)
    results["units"][results["rows"][0]["units"][0]]["protocol"] = "asked otherwise"
    (run / "results.json").write_text(json.dumps(results))
    assert "kmmlu_mini: asked otherwise" in markdown(run)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rows": []}, "it has no rows"),
        ({"units": {}}, "its units are not all"),
        ({"metrics": None}, "lacks one of alias, items, metrics, environment"),
        ({"environment": "this machine"}, "lacks one of"),
    ],
)
def test_results_that_cannot_be_shown_are_one_line(
    whole_run: Path, tmp_path: Path, change: dict, said: str
) -> None:
    run = shutil.copytree(whole_run, tmp_path / "run")
    results = read_results(run)
    unit = results["units"][results["rows"][0]["units"][0]]
    (results if change.keys() <= results.keys() else unit).update(change)
    (run / "results.json").write_text(json.dumps(results))
    with pytest.raises(RecipeError, match=f"results.json: .*{said}.*start the evaluation again"):
        collect([run])
