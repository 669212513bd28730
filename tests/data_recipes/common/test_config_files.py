"""Config files: bases, overrides, and errors that say what to do."""

import argparse
from pathlib import Path

import pytest
from pydantic import Field

from data_recipes.common.config_files import (
    Licence,
    Strict,
    add_overrides,
    apply_override,
    config_chain,
    load_config,
    read_yaml,
    refuse_options,
)
from data_recipes.common.errors import RecipeError


class Inner(Strict):
    rate: float = Field(gt=0)
    mixture: dict[str, float] = {}


class Outer(Strict):
    inner: Inner
    items: list[Inner] = []
    name: str = "x"


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_base_is_merged_but_a_mixture_is_replaced(tmp_path: Path) -> None:
    write(tmp_path / "base.yaml", "inner: {rate: 1, mixture: {a: 1, b: 2}}\nname: base\n")
    path = write(tmp_path / "top.yaml", "base: base.yaml\ninner: {mixture: {c: 3}}\n")
    config = load_config(path, Outer, ["inner.rate=2.5e-3"])
    assert config == Outer(inner=Inner(rate=0.0025, mixture={"c": 3}), name="base")


def test_a_chain_of_bases_is_listed_and_a_circle_refused(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    root = write(tmp_path / "root.yaml", "name: root\nweights: {a: 1}\ninner: {rate: 1}\n")
    middle = write(tmp_path / "below" / "middle.yaml", "base: ../root.yaml\nweights: {b: 2}\n")
    top = write(tmp_path / "top.yaml", "base: below/middle.yaml\ninner: {rate: 2}\n")
    assert read_yaml(top) == {"name": "root", "weights": {"b": 2}, "inner": {"rate": 2}}
    assert [p.resolve() for p in config_chain(top)] == [top, middle, root]
    write(root, "base: top.yaml\n")
    with pytest.raises(RecipeError, match="leads back to itself"):
        read_yaml(top)


def test_all_errors_are_named_at_once(tmp_path: Path) -> None:
    path = write(tmp_path / "a.yaml", "inner: {rat: 1, rate: -1}\nitems: [{rtae: 1}]\nnmae: 3\n")
    with pytest.raises(RecipeError) as caught:
        load_config(path, Outer, [])
    message = str(caught.value)
    assert str(path) in message
    assert "inner.rat: unknown key; did you mean 'rate'" in message
    assert "inner.rate: Input should be greater than 0 (given: -1)" in message
    assert "items.0.rtae: unknown key; did you mean 'rate'" in message
    assert "nmae: unknown key; did you mean 'name'" in message


def test_a_key_of_another_section_is_named_with_it(tmp_path: Path) -> None:
    path = write(tmp_path / "a.yaml", "inner: {rate: 1}\nrate: 2\nmixtur: {}\n")
    with pytest.raises(RecipeError) as caught:
        load_config(path, Outer, [])
    assert "rate: unknown key; did you mean 'inner.rate'?" in str(caught.value)
    assert "mixtur: unknown key; did you mean 'inner.mixture'?" in str(caught.value)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--rate", "1e-3"], "--rate: .* set as inner.rate=1e-3$"),
        (["--inner-rate=2"], "--inner-rate: .* set as key=value"),
        (["--inner.rate=2"], "--inner.rate: .* set as inner.rate=2$"),
        (["name=y", "--rate"], "--rate: .* set as inner.rate=VALUE$"),
    ],
)
def test_an_option_that_is_a_key_of_the_yaml(words: list[str], said: str) -> None:
    parser = argparse.ArgumentParser()
    add_overrides(parser, "inner.rate=2")
    _, unknown = parser.parse_known_intermixed_args(words)
    with pytest.raises(RecipeError, match=said):
        refuse_options(Outer, unknown, words)


def test_the_licence_in_both_spellings() -> None:
    class Source(Strict):
        licence: Licence

    assert Source(licence="MIT") == Source.model_validate({"license": "MIT"})
    assert Source(licence="MIT").model_dump() == {"licence": "MIT"}


def test_a_key_of_an_earlier_version_is_refused_with_what_to_do(tmp_path: Path) -> None:
    class Section(Strict):
        dropped = {"old": "say it with `rate`"}
        rate: float = 1

    class Recipe(Strict):
        section: Section | None = None

    path = write(tmp_path / "a.yaml", "section: {old: 1}\n")
    with pytest.raises(RecipeError, match="section: `old` is no more: say it with `rate`"):
        load_config(path, Recipe, [])
    # The names are no keys themselves, and belong to their own section alone.
    for text in ("section: {dropped: {}}", "old: 1"):
        with pytest.raises(RecipeError, match="unknown key"):
            load_config(write(tmp_path / "b.yaml", text), Recipe, [])


def test_overrides_set_nested_values_and_refuse_nonsense() -> None:
    values: dict = {"a": 1}
    apply_override(values, "b.c=[1, two]")
    assert values == {"a": 1, "b": {"c": [1, "two"]}}
    apply_override(values, "b.d.e.f=3")
    apply_override(values, "b.d.e.g=4")
    assert values["b"] == {"c": [1, "two"], "d": {"e": {"f": 3, "g": 4}}}
    for bad in ("novalue", "=1", "a.b=1", "x={"):
        with pytest.raises(RecipeError, match="override"):
            apply_override(values, bad)


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no such config"):
        read_yaml(tmp_path / "nowhere.yaml")
    with pytest.raises(RecipeError, match="not valid YAML"):
        read_yaml(write(tmp_path / "a.yaml", "a: [1"))
    with pytest.raises(RecipeError, match="expected `key: value`"):
        read_yaml(write(tmp_path / "b.yaml", "- 1\n"))
    with pytest.raises(RecipeError, match=r"nobase\.yaml"):
        read_yaml(write(tmp_path / "c.yaml", "base: nobase.yaml\n"))


def test_an_exponent_makes_a_number(tmp_path: Path) -> None:
    class Counts(Strict):
        tokens: int
        rate: float
        name: str

    path = write(tmp_path / "a.yaml", "tokens: 1.8e12\nrate: 7e-4\nname: e9\n")
    assert load_config(path, Counts, []) == Counts(tokens=1_800_000_000_000, rate=7e-4, name="e9")
    assert load_config(path, Counts, ["tokens=+2E3", "rate=1e3"]).tokens == 2000
    for bad in ("1e-1", "1.5e0"):
        with pytest.raises(RecipeError, match="tokens"):
            load_config(path, Counts, [f"tokens={bad}"])
