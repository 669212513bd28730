"""The quality filter from text to shards: training, serving, thresholds, refusals."""

import json
import shutil
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from data_recipes.common.errors import RecipeError
from data_recipes.common.files import sha256_file
from data_recipes.engine.executors import Call, ExecutorConfig, execute
from data_recipes.engine.steps import StepFolder
from data_recipes.quality.apply import QualityStep
from data_recipes.quality.classifier import MODEL, RECIPE, REPORT, Classifier, line_of
from data_recipes.quality.config import QualityConfig
from data_recipes.quality.sample import LineSample
from data_recipes.quality.train import model_dir, train_classifiers
from data_recipes.toy import documents

from ..hand_made import hashes_of, jsonl, rows_of, write_shards_of

DOCUMENTS = 400
# Small numbers: DCLM's make a model of 0.8 GB.
FASTTEXT = {"dimension": 8, "buckets": 5000, "epochs": 10}


def texts(genre: str, language: str, count: int, seed: int = 3) -> list[str]:
    return list(islice(documents(genre, language, seed), count))


def write_inputs(root: Path) -> dict[str, Path]:
    """Korean and English shards, half encyclopedia and half other web text, three of each."""
    for language in ("ko", "en"):
        good = texts("encyclopedia", language, 150, seed=5)
        other = texts("web", language, 150, seed=5)
        mixed = [text for pair in zip(good, other) for text in pair]
        parts = [mixed[i::3] for i in range(3)]
        write_shards_of(root / "read" / f"web_{language}", parts, f"web_{language}", language)
        path = root / f"good_{language}.jsonl"
        path.write_bytes(jsonl(texts("encyclopedia", language, DOCUMENTS)))
        path = root / f"bad_{language}.jsonl"
        path.write_bytes(jsonl(texts("web", language, DOCUMENTS)))
    return {name: root / "read" / name for name in ("web_ko", "web_en")}


def config(root: Path, **changes: object) -> QualityConfig:
    classifiers = {
        language: {
            "positive": [{"path": str(root / f"good_{language}.jsonl")}],
            "negative": [{"path": str(root / f"bad_{language}.jsonl")}],
            "threshold": {"keep_rate": 0.4},
            "fasttext": FASTTEXT,
        }
        for language in ("ko", "en")
    }
    return QualityConfig.model_validate({"classifiers": classifiers, **changes})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("quality")
    given = write_inputs(root)
    work = Call(partial(train_classifiers, config(root), given, root / "quality"))
    execute(work, 1, ExecutorConfig(), root / "quality" / "logs" / "0")
    return root


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained, tmp_path / "copy", dirs_exist_ok=True)
    # The positive text is named by path, and that is where it was.
    return tmp_path / "copy"


def inputs(root: Path) -> dict[str, Path]:
    return {name: root / "read" / name for name in ("web_ko", "web_en")}


def apply(root: Path, settings: QualityConfig, tasks: int = 1) -> QualityStep:
    step = QualityStep(inputs(root), root / "quality", settings)
    execute(step, tasks, ExecutorConfig(workers=tasks), root / "quality" / "logs")
    return step


def report(root: Path, language: str = "ko") -> dict:
    return json.loads((model_dir(root / "quality", language) / REPORT).read_text())


def test_the_good_text_is_kept_and_the_sums_hold(copy: Path, trained: Path) -> None:
    step = apply(copy, config(trained))
    for name, folder in step.outputs.items():
        kept, rejected = (rows_of(folder.root / side) for side in ("kept", "rejected"))
        before = rows_of(copy / "read" / name / "kept")
        assert sorted(r["id"] for r in kept + rejected) == sorted(r["id"] for r in before)
        threshold = report(copy, name[-2:])["threshold"]
        assert all(r["quality"] >= threshold for r in kept)
        good = set(texts("encyclopedia", name[-2:], 150, seed=5))
        # 120 of 300 are kept and 150 are good: a classifier that works keeps good ones only.
        assert len(kept) == 120 and len(good & {r["text"] for r in kept}) >= 115
        assert {r["reason"] for r in rejected} == {"low_quality"}
        assert f"at least {threshold:.6f}" in rejected[0]["detail"]
        assert "quality" not in rejected[0]
        tally = folder.tally()
        assert (tally.documents_kept, tally.documents_rejected) == (120, 180)
        histogram = tally.counts["histograms"][f"quality_{name[-2:]}"]["fraction"]
        assert [sum(histogram[side]) for side in ("kept", "rejected")] == [120, 180]


def test_tasks_do_not_show(copy: Path, trained: Path, tmp_path: Path) -> None:
    shutil.copytree(copy, tmp_path / "two")
    one = apply(copy, config(trained))
    two = apply(tmp_path / "two", config(trained), tasks=2)
    for name in one.outputs:
        hashes = hashes_of(one.outputs[name].root)
        assert hashes == hashes_of(two.outputs[name].root) and len(hashes) == 6
        assert one.outputs[name].tally().counts == two.outputs[name].tally().counts


def test_training_again_gives_the_same_bytes(trained: Path, tmp_path: Path) -> None:
    train_classifiers(config(trained), inputs(trained), tmp_path / "quality")
    for language in ("ko", "en"):
        for name in (MODEL, RECIPE, REPORT):
            old = model_dir(trained / "quality", language) / name
            assert sha256_file(old) == sha256_file(model_dir(tmp_path / "quality", language) / name)
    other = tmp_path / "other"
    train_classifiers(config(trained, seed=1), inputs(trained), other)
    assert sha256_file(model_dir(other, "ko") / MODEL) != sha256_file(
        model_dir(trained / "quality", "ko") / MODEL
    )


def test_what_was_in_memory_does_not_show(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """fastText does not set all of its weights before it trains them."""
    monkeypatch.setenv("MALLOC_PERTURB_", "85")
    train_classifiers(config(trained), inputs(trained), tmp_path / "quality")
    for language in ("ko", "en"):
        old, new = (model_dir(d / "quality", language) / MODEL for d in (trained, tmp_path))
        assert sha256_file(old) == sha256_file(new)


def test_a_sample_is_the_same_in_any_order(tmp_path: Path) -> None:
    keys = [f"key {n}" for n in range(3000)]
    found = []
    for name, stream in (("a", keys), ("b", keys[::-1]), ("c", keys + keys)):
        with LineSample(tmp_path / name, 300, seed=1) as sample:
            for key in stream:
                sample.add(key, key.upper())
            found.append(list(sample.lines(sample.hashes())))
        assert not (tmp_path / name).exists()
    assert found[0] == found[1] == found[2] and len(set(found[0])) == 300
    # Uniform: the mean place is 1,500, with a standard error of 50.
    places = [int(line.split()[1]) for line in found[0]]
    assert 1300 < np.mean(places) < 1700 and places != sorted(places)
    with LineSample(tmp_path / "d", 300, seed=2) as sample:
        for key in keys:
            sample.add(key, key)
        assert len(set(sample.lines(sample.hashes())) & {f.lower() for f in found[0]}) < 100


def test_the_model_carries_its_recipe_and_its_report(trained: Path) -> None:
    directory = model_dir(trained / "quality", "ko")
    assert {p.name for p in directory.iterdir()} == {MODEL, RECIPE, REPORT, "histogram.png"}
    recipe = json.loads((directory / RECIPE).read_text())
    assert recipe["model_sha256"] == sha256_file(directory / MODEL)
    arguments = recipe["fasttext"]["arguments"]
    assert (arguments["minn"], arguments["maxn"], arguments["thread"]) == (2, 4, 1)
    assert arguments["lr"] == 0.1 and arguments["wordNgrams"] == 2
    files = recipe["sources"]["positive"][0]
    assert files["documents_read"] == DOCUMENTS
    size = (trained / "good_ko.jsonl").stat().st_size
    assert files["contents"] == [["good_ko.jsonl", size]]
    counts = recipe["documents"]
    for name in ("positive", "negative"):
        split = counts["training"][name] + counts["heldout"][name]
        assert split == min(counts["sampled"].values())
        assert 20 <= counts["heldout"][name] < counts["training"][name] / 4
    english = json.loads((model_dir(trained / "quality", "en") / RECIPE).read_text())
    assert english["fasttext"]["arguments"]["maxn"] == 0

    found = report(trained)
    heldout = found["heldout"]
    assert heldout["positive_kept"] + heldout["positive_lost"] == counts["heldout"]["positive"]
    assert heldout["negative_kept"] + heldout["negative_removed"] == counts["heldout"]["negative"]
    assert 0.9 < heldout["roc_auc"] <= 1
    assert found["keep_rate"] == pytest.approx(0.4, abs=1 / 300)
    assert sum(found["histograms"]["incoming"]) == found["incoming_documents_sampled"] == 300
    assert sum(found["histograms"]["positive"]) == counts["heldout"]["positive"]
    above, below = (found["around_threshold"][side] for side in ("kept", "removed"))
    assert len(above) == len(below) == 10
    assert above[0]["score"] >= found["threshold"] > below[0]["score"]
    assert [x["score"] for x in above] == sorted(x["score"] for x in above)
    assert [x["score"] for x in below] == sorted((x["score"] for x in below), reverse=True)
    # The texts are those of the ids.
    by_id = {r["id"]: r["text"] for r in rows_of(trained / "read" / "web_ko" / "kept")}
    assert all(by_id[x["id"]].startswith(x["text"]) for x in above + below)


def test_a_document_is_served_as_it_was_trained(trained: Path) -> None:
    """Line ends separate words, and fastText's own spellings do not cut a text short."""
    classifier = Classifier(model_dir(trained / "quality", "en"))
    good, bad = (texts(genre, "en", 1)[0] for genre in ("encyclopedia", "web"))
    assert "\n" in good
    one_line = good.replace("\n", " ")
    joined = good.replace("\n", "")
    scores = classifier.scores([good, one_line, good.replace("\n", "\r\n"), joined])
    assert scores[0] == scores[1] == scores[2] != scores[3]
    # Read to the end: what follows decides.
    cut = classifier.scores([f"{good} </s> {bad * 9}", f"{good} {bad * 9}", good])
    assert abs(cut[0] - cut[1]) < 0.1 < cut[2] - cut[0]
    assert classifier.scores([""]).dtype == np.float32


@pytest.mark.parametrize(
    "text",
    ["a\nb", "x __label__positive y", "____label____", "</s>", "<</s>/s>", "a\x85b\u2028c\x0bd"],
)
def test_a_line_means_nothing_but_text_to_fasttext(text: str) -> None:
    line = line_of(text)
    assert len(line.splitlines()) == 1 and line_of(line) == line
    assert "__label__" not in line and "</s>" not in line


def test_labels_spelled_in_training_text_are_text(trained: Path, tmp_path: Path) -> None:
    path = tmp_path / "good.jsonl"
    marked = [f"{t} __label__negative </s> __label__x" for t in texts("encyclopedia", "en", 300)]
    path.write_bytes(jsonl(marked))
    classifier = config(trained).classifiers["en"].model_dump(exclude_unset=True)
    classifier["positive"] = [{"path": str(path)}]
    settings = QualityConfig.model_validate(
        {"classifiers": {"en": classifier}, "pass_languages": ["ko"]}
    )
    train_classifiers(settings, inputs(trained), tmp_path / "quality")
    loaded = Classifier(model_dir(tmp_path / "quality", "en"))
    assert sorted(loaded._model.getLabels("strict")[0]) == [
        "__label__negative",
        "__label__positive",
    ]
    assert report(tmp_path, "en")["heldout"]["roc_auc"] > 0.9


def test_raw_text_may_be_the_negative_class(trained: Path, tmp_path: Path) -> None:
    """As in DCLM: no `negative`; what is also positive is no negative."""
    own = tmp_path / "good.jsonl"
    own.write_bytes(jsonl(texts("encyclopedia", "en", 150, seed=5) + texts("web", "en", 150, 9)))
    settings = config(trained).model_dump(exclude_unset=True)
    del settings["classifiers"]["ko"], settings["classifiers"]["en"]["negative"]
    settings["classifiers"]["en"]["positive"] = [{"path": str(own)}, {"source": "web_en"}]
    settings["pass_languages"] = ["ko"]
    settings = QualityConfig.model_validate(settings)
    with pytest.raises(RecipeError, match=r"0 positive documents held out .* at least 20"):
        train_classifiers(settings, inputs(trained), tmp_path / "quality")
    assert not model_dir(tmp_path / "quality", "en").exists()
    positive = [{"path": str(own)}]
    english = settings.classifiers["en"].model_dump(exclude_unset=True)
    english |= {"positive": positive, "heldout_fraction": 0.3}
    settings = settings.model_copy(
        update={"classifiers": {"en": type(settings.classifiers["en"])(**english)}}
    )
    train_classifiers(settings, inputs(trained), tmp_path / "quality")
    counts = json.loads((model_dir(tmp_path / "quality", "en") / RECIPE).read_text())["documents"]
    assert counts["sampled"] == {"positive": 300, "negative": 300}
    assert counts["in_both"] == {"negative": 150}
    assert counts["training"]["negative"] + counts["heldout"]["negative"] == 150


def test_a_cap_bounds_the_classes(trained: Path, tmp_path: Path) -> None:
    settings = config(trained).model_dump(exclude_unset=True)
    for classifier in settings["classifiers"].values():
        classifier |= {"max_documents": 150, "heldout_fraction": 0.3}
    train_classifiers(QualityConfig.model_validate(settings), inputs(trained), tmp_path / "quality")
    recipe = json.loads((model_dir(tmp_path / "quality", "ko") / RECIPE).read_text())
    assert recipe["documents"]["sampled"] == {"positive": 150, "negative": 150}


def test_a_language_without_classifier_passes_only_by_name(copy: Path, trained: Path) -> None:
    settings = config(trained).model_dump(exclude_unset=True)
    korean = settings["classifiers"].pop("ko")
    with pytest.raises(RecipeError, match=r"'web_ko': no quality classifier for language 'ko'"):
        QualityConfig.model_validate(settings).check_sources({"web_en": "en", "web_ko": "ko"})
    with pytest.raises(RecipeError, match="no quality classifier for language 'ko'"):
        apply(copy, QualityConfig.model_validate(settings))
    settings["pass_languages"] = ["ko"]
    step = apply(copy, QualityConfig.model_validate(settings))
    rows = rows_of(step.outputs["web_ko"].root / "kept")
    assert len(rows) == 300 and {r["quality"] for r in rows} == {None}
    assert step.outputs["web_ko"].tally().counts["passed"] == {"ko": 300}
    assert len(rows_of(step.outputs["web_en"].root / "kept")) == 120
    settings["classifiers"]["ko"] = korean
    with pytest.raises(ValueError, match="in `pass_languages`"):
        QualityConfig.model_validate(settings)
    korean["negative"] = [{"source": "web_kr"}]
    del settings["pass_languages"]
    with pytest.raises(RecipeError, match="unknown source 'web_kr'"):
        QualityConfig.model_validate(settings).check_sources({"web_en": "en", "web_ko": "ko"})


def test_other_settings_and_other_text_are_noticed(copy: Path, trained: Path) -> None:
    before = model_dir(copy / "quality", "ko").stat().st_mtime_ns
    train_classifiers(config(trained), inputs(copy), copy / "quality")
    assert model_dir(copy / "quality", "ko").stat().st_mtime_ns == before
    with pytest.raises(RecipeError, match=r"other settings \(seed\)"):
        train_classifiers(config(trained, seed=3), inputs(copy), copy / "quality")
    folder = StepFolder(copy / "read" / "web_ko")
    shard = folder.shards()[0]
    folder.kept(shard).unlink()
    with pytest.raises(RecipeError, match=r"other settings \(incoming\)"):
        train_classifiers(config(trained), inputs(copy), copy / "quality")


def test_a_given_model_is_used_and_checked(trained: Path, tmp_path: Path) -> None:
    directory = tmp_path / "given"
    shutil.copytree(model_dir(trained / "quality", "ko"), directory)
    given = {"model": str(directory), "threshold": {"keep_rate": 0.2}}
    settings = {"classifiers": {"ko": given}, "pass_languages": ["en"]}
    parsed = QualityConfig.model_validate(settings)
    train_classifiers(parsed, inputs(trained), tmp_path / "quality")
    made = model_dir(tmp_path / "quality", "ko")
    assert sha256_file(made / MODEL) == sha256_file(directory / MODEL)
    found = json.loads((made / REPORT).read_text())
    assert found["keep_rate"] == pytest.approx(0.2, abs=1 / 300) and "heldout" not in found

    given["threshold"] = {"precision": 0.9}
    with pytest.raises(ValueError, match="by precision needs the labelled held-out set"):
        QualityConfig.model_validate(settings)
    given |= {"threshold": {"keep_rate": 0.2}, "max_documents": 5}
    with pytest.raises(ValueError, match="leave out max_documents"):
        QualityConfig.model_validate(settings)
    with pytest.raises(ValueError, match="either `positive`"):
        QualityConfig.model_validate({"classifiers": {"ko": {"threshold": {"keep_rate": 0.2}}}})

    whole = (directory / MODEL).read_bytes()
    (directory / MODEL).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(RecipeError, match="checksum differs"):
        train_classifiers(parsed, inputs(trained), tmp_path / "other")
    assert not model_dir(tmp_path / "other", "ko").exists()
    (directory / RECIPE).unlink()
    with pytest.raises(RecipeError, match="training.json: no such file"):
        train_classifiers(parsed, inputs(trained), tmp_path / "other")


def test_a_damaged_model_stops_the_step(copy: Path, trained: Path) -> None:
    path = model_dir(copy / "quality", "en") / MODEL
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(RecipeError, match="model.bin: not the model"):
        apply(copy, config(trained))
    path.unlink()
    with pytest.raises(RecipeError, match="no such quality classifier"):
        apply(copy, config(trained))


def test_too_little_training_is_said(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = config(trained).model_dump(exclude_unset=True)
    for classifier in settings["classifiers"].values():
        classifier["fasttext"] = {**FASTTEXT, "epochs": 1, "learning_rate": 0.01}
        classifier["threshold"] = {"value": 0.5}
    train_classifiers(QualityConfig.model_validate(settings), inputs(trained), tmp_path / "quality")
    assert capsys.readouterr().out.count("raise fasttext.epochs") == 2
