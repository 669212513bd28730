"""Language identification: the package's own scores, and models that users bring."""

from pathlib import Path

import pytest
from py3langid.langid import MODEL_FILE, LanguageIdentifier

from data_recipes.common.errors import RecipeError
from data_recipes.filter.language_id import LangidDetector, load_detector
from data_recipes.filter.profiles import LanguageId
from data_recipes.quality.fit import fit

from ..hand_made import some_texts
from .odd_texts import ODD


def identify(**values: object) -> LanguageId:
    return LanguageId.model_validate({"min": 0.5, "source": "test", **values})


def test_scores_are_those_of_py3langid() -> None:
    texts = [text[:length] for text in some_texts(40) for length in (9, 60, 500)]
    texts += [*ODD, "", "12", "ALL CAPITALS OF IT", "Das ist ein Satz.", "Это предложение.", "ÉTÉ"]
    slow = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    labels, scores = LangidDetector().detect(texts)
    expected = [slow.classify(text) for text in texts]
    assert labels == [label for label, _ in expected]
    assert scores == pytest.approx([score for _, score in expected], abs=1e-4)
    assert len(set(labels)) > 5


def test_a_fasttext_model(tmp_path: Path) -> None:
    lines = [
        f"__label__{'kor_Hang' if i % 2 else 'eng_Latn'} {' '.join(text.split())[:200]}\n"
        for i, text in enumerate(some_texts(200))
    ]
    (tmp_path / "train.txt").write_text("".join(lines), encoding="utf-8")
    arguments = {
        "lr": 1.0,
        "epoch": 25,
        "minn": 1,
        "maxn": 2,
        "dim": 8,
        "bucket": 2000,
        "thread": 1,
    }
    fit(tmp_path / "train.txt", tmp_path / "lid.bin", arguments)
    config = identify(model=str(tmp_path / "lid.bin"), label="kor_Hang")
    texts = some_texts(20, seed=77)
    labels, scores = load_detector(config).detect(["", *texts])
    assert labels[1:] == ["kor_Hang" if i % 2 else "eng_Latn" for i in range(20)]
    assert (scores[1:] > 0.9).all()
    with pytest.raises(RecipeError, match="knows no label 'ko'.*eng_Latn, kor_Hang"):
        load_detector(identify(model=config.model, label="ko"))


def test_wrong_models_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="py3langid knows no label 'korean'"):
        load_detector(identify(label="korean"))
    with pytest.raises(ValueError, match="lid.bin: no such fastText model"):
        identify(model="lid.bin", label="ko")
    (tmp_path / "x.bin").write_text("no model")
    with pytest.raises(RecipeError, match="x.bin: not a fastText model"):
        load_detector(identify(model=str(tmp_path / "x.bin"), label="ko"))
