"""Profiles: word units never mixed up, mistakes named, every number with its source."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import yaml

from data_recipes.common.config_files import load_config
from data_recipes.common.errors import RecipeError
from data_recipes.common.files import find_differences
from data_recipes.filter.profiles import SHIPPED, FilterConfig, Profile, load_profile


def config(root: Path, profile: Any, language: str = "ko") -> FilterConfig:
    """A filter section, read from a file as recipes are."""
    path = root / "filter.yaml"
    path.write_text(yaml.safe_dump({"profiles": {language: profile}}, allow_unicode=True))
    return load_config(path, FilterConfig, [])


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda p: p.stem)
def test_shipped_profiles_are_valid(path: Path) -> None:
    profile = load_profile(str(path))
    # Without words that stand apart there is nothing to count repetition in.
    assert len(profile.limits) >= (4 if path.stem == "ja_answer" else 16) and profile.language_id
    assert all(limit.source.strip() for limit in profile.limits.values())


def test_the_two_korean_profiles_share_no_word_unit() -> None:
    eojeol, kiwi = load_profile("ko_eojeol"), load_profile("ko_kiwi")
    assert (eojeol.words, kiwi.words) == ("eojeol", "kiwi")
    assert "suffix_word_frac" in eojeol.limits and "stop_words" in kiwi.limits


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"base": "ko_kiwi", "words": "eojeol"}, "the limits were chosen for kiwi words.*85 %"),
        ({"base": "ko_eojeol", "words": "kiwi"}, "the limits were chosen for eojeol words"),
        (
            {"base": "ko_kiwi", "words": "eojeol", "limits_for": "eojeol"},
            "stop_words: in eojeol, particles and endings never stand alone",
        ),
        (
            {"base": "ko_eojeol", "words": "kiwi", "limits_for": "kiwi"},
            "Kiwi takes endings off as words",
        ),
        ({"base": "en", "language": "ko"}, "words of language 'ko' cannot be whitespace"),
        ({"base": "ko_eojeol", "language": "ja"}, "words of language 'ja' cannot be eojeol"),
        ({"base": "ko_eojeol", "suffixes": []}, "needs the list `suffixes`, which is empty"),
        ({"base": "ko_eojeol", "boilerplate": [" "]}, "empty, or with a line end"),
        (
            {"base": "ko_eojeol", "limits": {"dup_line_frak": {"max": 1, "source": "x"}}},
            "did you m",
        ),
        ({"base": "ko_eojeol", "limits": {"words": {"min": 5}}}, "source: Field required"),
        ({"base": "ko_eojeol", "limits": {"words": {"source": "x"}}}, "give `min`, `max` or both"),
        (
            {"base": "ko_eojeol", "limits": {"words": {"min": 5, "max": 1, "source": "x"}}},
            "min 5 is above max 1",
        ),
        ("ko_kivi", "filter profile ko_kivi: no such file; shipped are .*en, .*ko_eojeol, ko_kiwi"),
        ("en", "profiles.ko: that profile is for language 'en'"),
        ({"base": "ko_eojeol", "threshold": 1}, "threshold: Extra inputs"),
        ({"base": "ko_eojeol", "datatrove": []}, "`datatrove` is no more: run datatrove's filter"),
        ({"base": "ko_eojeol", "word_lists": []}, "`word_lists` is no more: phrases"),
        ({"base": "ko_eojeol", "perplexity": {"max": 3}}, "`perplexity` is no more: the quality"),
    ],
)
def test_mistakes_are_refused_with_an_explanation(tmp_path: Path, given: Any, message: str) -> None:
    with pytest.raises(RecipeError, match=f"(?s){message}"):
        config(tmp_path, given)


def test_one_limit_changed_and_the_rest_as_shipped(tmp_path: Path) -> None:
    shipped = load_profile("ko_eojeol")
    changed = config(
        tmp_path,
        {"base": "ko_eojeol", "limits": {"words": {"min": 5, "source": "short"}}},
    ).profiles["ko"]
    assert changed.limits["words"].min == 5
    assert list(changed.limits) == list(shipped.limits)
    same = {n: v for n, v in changed.limits.items() if n != "words"}
    assert same == {n: v for n, v in shipped.limits.items() if n != "words"}


def test_a_changed_profile_is_a_changed_setting(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text((SHIPPED / "ko_eojeol.yaml").read_text())
    before = config(tmp_path, str(path)).model_dump(mode="json")
    assert before == config(tmp_path, str(path)).model_dump(mode="json")
    path.write_text(path.read_text().replace("min: 38", "min: 39"))
    assert before != config(tmp_path, str(path)).model_dump(mode="json")


def test_a_language_without_profile_is_refused() -> None:
    section = FilterConfig(profiles={"ko": "ko_eojeol"})
    section.check_sources({"web_ko": "ko"})
    with pytest.raises(RecipeError, match="source 'web_en': no filter profile for language 'en'"):
        section.check_sources({"web_ko": "ko", "web_en": "en"})


def test_kiwi_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RecipeError, match="pip install 'kiwipiepy==0.21"):
        config(tmp_path, "ko_kiwi")
    assert isinstance(load_profile("ko_kiwi"), Profile)


def test_the_order_of_kinds_is_a_setting() -> None:
    """Of kinds that fit a document the first is taken; that of limits only says what is told."""
    shipped = load_profile("en").model_dump(exclude={"language_id"})
    assert len(shipped["kinds"]) > 1

    def turned(field: str) -> dict[str, Any]:
        return shipped | {field: dict(reversed(shipped[field].items()))}

    was, kinds, limits = (
        {"filter": FilterConfig(profiles={"en": own}).model_dump(mode="json")}
        for own in (shipped, turned("kinds"), turned("limits"))
    )
    (line,) = find_differences(was, kinds)
    assert line.startswith("filter.profiles.en.kinds: were in the order ")
    assert find_differences(was, limits) == []
