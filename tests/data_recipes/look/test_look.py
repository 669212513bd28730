"""What people look at: the report's page and `inspect`, on a chain that really ran."""

import json
import re
import subprocess
from itertools import islice
from pathlib import Path

import pytest
import yaml
from lxml import html

from data_recipes.look.report import build_report
from data_recipes.prepare import STEPS
from data_recipes.prepare.chain import folder
from data_recipes.prepare.config import DataConfig
from data_recipes.prepare.prepare import prepare
from data_recipes.toy import documents
from tests import processes

from ..hand_made import jsonl, rows_of
from ..prepare.test_chain import load

# Seen in `a` first, then inside other documents of `a` and `b`.
SENTENCE = "이 문단은 여러 문서에 그대로 실려 있어서 처음 한 번만 남고 뒤로는 모두 지워져야 한다."
QUESTION = " ".join(f"낱말{n}" for n in range(20))


def _write_texts(root: Path) -> None:
    stream = {g: documents(g, "ko", 5) for g in ("web", "encyclopedia")}
    texts = [
        text
        for own in stream.values()
        for text in islice((t for t in own if len(t.split()) > 60), 90)
    ]
    files = {
        "a/0": [*texts[:40], f"{texts[40]}\n{SENTENCE}", "너무 짧다."],
        "a/1": [*texts[41:80], f"{texts[80]}\n{SENTENCE}\n{texts[81]}"],
        "b/0": [*texts[82:130], *texts[:10], f"{SENTENCE}\n{texts[130]}"],
        "b/1": [*texts[131:179], f"{texts[179]}\n{QUESTION}\n"],
    }
    for name, own in files.items():
        path = root / f"{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jsonl(own) + b'{broken "<script>alert(1)</script>"\n')
    question = json.dumps({"question": QUESTION}, ensure_ascii=False)
    (root / "questions.jsonl").write_text(question + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def recipe(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe of a run with two Korean sources through every step, to token shards."""
    root = tmp_path_factory.mktemp("finished")
    _write_texts(root)
    values = {
        "output_dir": str(root / "out"),
        "sources": [
            {"name": s, "path": str(root / s), "language": "ko", "licence": "none"} for s in "ab"
        ],
        "read": {"shard_megabytes": 0.06},
        "personal": {},
        "filter": {"profiles": {"ko": "ko_eojeol"}},
        "deduplicate": {"ngram_size": 10},
        "quality": {
            "classifiers": {
                "ko": {
                    "positive": [{"source": "a"}],
                    "negative": [{"source": "b"}],
                    "threshold": {"keep_rate": 0.9},
                    "fasttext": {"dimension": 4, "buckets": 1000, "epochs": 1},
                    "heldout_fraction": 0.4,
                }
            }
        },
        "decontaminate": {
            "evaluation_sets": [
                {"task": "quiz", "path": str(root / "questions.jsonl"), "columns": ["question"]}
            ]
        },
        "tokenizer": {"path": str(data_dir / "tokenizer")},
        "shards": {"heldout_fraction": 0.2},
    }
    path = root / "recipe.yaml"
    path.write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")
    prepare(load(path))
    return path


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_COLOR", "1")
        return processes.run(["-m", "data_recipes", *arguments])


def test_the_page_shows_the_run_and_needs_nothing_else(recipe: Path) -> None:
    config = load(recipe)
    report, problems = build_report(config)
    assert not problems
    page = report.to_html()
    tree = html.fromstring(page)
    assert not re.findall(r"""(?:src|href)=["']?(?:https?:)?//""", page.replace("xlink:href", ""))
    assert [h.text for h in tree.iter("h2")][: 1 + len(STEPS)] == ["Funnel", *STEPS]
    cells = {tuple(td.text_content() for td in tr.iter("td"))[:4] for tr in tree.iter("tr")}
    for source in ("a", "b"):
        tally = folder(config, "filter", source).tally()
        row = ("filter", source, f"{tally.documents_in:,}", f"{tally.documents_kept:,}")
        assert row in cells
    for reason in ("broken_json", "low_words", "duplicate_document", "low_quality", "contaminated"):
        assert reason in page
    assert any(mark.text_content().strip() for mark in tree.iter("mark"))
    # Lengths, then the statistics of each step with any.
    pictures = [image.get("alt") for image in tree.iter("img")]
    assert pictures[0] == "lengths as read and at the end"
    assert {"statistics of ko in filter", "statistics of ko in quality"} <= {*pictures}
    assert "false_positive_rate" in page
    assert tree.get_element_by_id("tokens") is not None


def test_documents_that_do_not_add_up_are_red(recipe: Path) -> None:
    config = load(recipe)
    stats = folder(config, "filter", "a").stats(folder(config, "filter", "a").done()[0])
    whole = stats.read_text()
    stats.write_text(json.dumps(json.loads(whole) | {"documents_kept": 3}))
    try:
        report, problems = build_report(config)
        assert problems and 'class="bad"' in report.to_html()
        result = run("report", "--config", str(recipe))
        assert result.returncode == 1 and "do not add up" in result.stderr
    finally:
        stats.write_text(whole)


def test_inspect_shows_what_was_removed_and_why(recipe: Path) -> None:
    shown = run(
        "inspect", "--config", str(recipe), "--step", "deduplicate", "--removed", "-n", "50"
    )
    assert shown.returncode == 0, shown.stderr
    assert "n-grams were known" in shown.stdout
    assert "{이 문단은" in shown.stdout  # a known n-gram inside a removed paragraph, without colour

    arguments = ("inspect", "--config", str(recipe), "--step", "filter", "--rejected")
    shown = run(*arguments, "--reason", "low_words")
    assert "너무 짧다." in shown.stdout and "at least 38" in shown.stdout
    wrong = run(*arguments, "--reason", "low_wrods")
    assert wrong.returncode == 1 and "low_words" in wrong.stderr

    config: DataConfig = load(recipe)
    name = rows_of(folder(config, "filter", "a").root / "kept")[3]["id"]
    shown = run("inspect", "--config", str(recipe), "--step", "filter", "--id", name)
    assert name in shown.stdout
    missing = run("inspect", "--config", str(recipe), "--step", "filter", "--id", "nobody")
    assert missing.returncode == 1 and "ids look like" in missing.stderr


def test_options_that_are_gone_or_say_nothing_are_refused_by_name() -> None:
    for arguments, said in (
        (("inspect", "--removed", "--find-origin"), "--find-origin is gone: --removed marks"),
        (("inspect", "-n", "0"), "0: must be a whole number of at least 1"),
        (("inspect", "-n", "few"), "few: must be a whole number of at least 1"),
        (("corpus", "--out", "x", "--megabytes", "0"), "--megabytes: 0: must be a number above 0"),
        (("corpus", "--out", "x", "--megabytes", "inf"), "--megabytes: inf: must be a number"),
        (("corpus", "--out", "x", "--megabytes", "8MB"), "--megabytes: 8MB: must be a number"),
        (("prepare", "--config", "x", "--gigabytes", "-3"), "--gigabytes: -3: must be a number"),
        (("packing", "x", "--sequence-length", "0"), "--sequence-length: 0: must be"),
    ):
        refused = run(*arguments)
        assert refused.returncode == 2 and said in refused.stderr


def test_inspect_shows_a_window(recipe: Path) -> None:
    shards = load(recipe).shards_dir / "a" / "train"
    shown = run("inspect", "--shards", str(shards), "--window", "0", "--sequence-length", "64")
    assert shown.returncode == 0, shown.stderr
    assert "64 tokens" in shown.stdout and "document 0" in shown.stdout
    far = run("inspect", "--shards", str(shards), "--window", "99999", "--sequence-length", "64")
    assert far.returncode == 1 and "99999" in far.stderr
