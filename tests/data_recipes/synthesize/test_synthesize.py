"""Synthesis from seeds to shards, against a server: kills, shares, the floor, the cap."""

import hashlib
import json
import shutil
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

import data_recipes.difficulty.run as difficulty
import data_recipes.synthesize.run as synthesis
import data_recipes.translate.run as translation
from data_recipes.ask.prompts import Prompt
from data_recipes.common.config_files import find_recipe, load_config
from data_recipes.common.errors import RecipeError
from data_recipes.engine.executor_config import ExecutorConfig
from data_recipes.prepare.chain import cleaned
from data_recipes.prepare.config import DataConfig
from data_recipes.prepare.prepare import prepare
from data_recipes.synthesize.config import SynthesizeConfig
from data_recipes.synthesize.run import show, synthesize
from data_recipes.synthesize.seeds import assign, shorten
from data_recipes.toy import documents
from tests.processes import Program

from ..ask.model_server import MODEL, ModelServer, no_fault
from ..hand_made import jsonl, rows_of

SEEDS = 90
BAD = {
    "truncated": {"message": {"content": "끝나지 않은"}, "finish_reason": "length"},
    "refusal": {"message": {"content": "죄송하지만 도와드릴 수 없습니다."}},
    "language": {"message": {"content": "An answer in the wrong language, though asked. " * 6}},
}
GOOD = [t for t in islice(documents("encyclopedia", "ko", 1), 400) if len(t.split()) > 60]


def write(body: dict[str, Any]) -> str | dict[str, Any]:
    """A document of the corpus, or something bad, by what was asked."""
    number = int(hashlib.sha256(body["messages"][0]["content"].encode()).hexdigest()[:8], 16)
    if number % 4 == 0:
        return BAD[list(BAD)[number // 4 % len(BAD)]]
    return GOOD[number % len(GOOD)]


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer(write).running() as running:
        yield running


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seeds")
    texts = list(islice(documents("web", "ko", 2), SEEDS))
    for part in range(2):
        (folder / f"{part}.jsonl").write_bytes(jsonl(texts[part::2]))
    return folder


def recipe(server: ModelServer, seeds: Path, root: Path, /, **changes: Any) -> dict[str, Any]:
    endpoint = {
        "base_url": server.url,
        "model": MODEL,
        "concurrency": 4,
        "backoff_seconds": 0.01,
        "prompt_price": 100,
        "completion_price": 100,
    }
    return {
        "output_dir": str(root),
        "seeds": [{"name": "web_ko", "path": str(seeds), "language": "ko", "licence": "none"}],
        "max_seed_characters": 2000,
        "styles": {
            "plain": {"template": "prompts/korean_rewrite/plain.jinja", "weight": 2},
            "questions": {"template": "prompts/korean_rewrite/questions.jinja"},
        },
        "synthesizers": {
            "warm": endpoint | {"sampling": {"max_tokens": 99, "temperature": 0.9}, "weight": 2},
            "cold": endpoint | {"sampling": {"max_tokens": 99, "temperature": 0.1}},
        },
        "validation": {
            "language": "ko",
            "filter": {"profiles": {"ko": "ko_answer"}},
            "min_characters": 100,
            "max_characters": 5000,
        },
        "floor": {"acceptance": 0.2, "after": 40},
        "licence": "Apache-2.0",
    } | changes


def load(server: ModelServer, seeds: Path, root: Path, /, **changes: Any) -> SynthesizeConfig:
    return SynthesizeConfig.model_validate(recipe(server, seeds, root, **changes))


def rows(root: Path, outcome: str) -> list[dict[str, Any]]:
    files = sorted((root / "text" / outcome).rglob("*.jsonl"))
    return [json.loads(line) for path in files for line in path.read_text("utf-8").splitlines()]


def contents(root: Path) -> dict[str, bytes]:
    text = root / "text"
    return {str(p.relative_to(text)): p.read_bytes() for p in sorted(text.rglob("*.jsonl"))}


def test_from_seeds_to_shards(
    server: ModelServer, seeds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = load(server, seeds, tmp_path / "out")
    synthesize(config)
    kept, rejected = rows(tmp_path / "out", "kept"), rows(tmp_path / "out", "rejected")
    assert len(kept) + len(rejected) == SEEDS == len({r["seed_id"] for r in kept + rejected})
    asked = {body["messages"][0]["content"]: write(body) for body in server.bodies}
    assert len(asked) == SEEDS
    # Every good answer is kept and every bad one is not, with its reason and its words.
    assert sorted(r["text"] for r in kept) == sorted(
        text.strip() for text in asked.values() if isinstance(text, str)
    )
    assert {r["reason"] for r in rejected} == set(BAD)
    assert all(r["text"] == BAD[r["reason"]]["message"]["content"] for r in rejected)
    for row in kept + rejected:
        style = config.styles[row["style"]]
        assert row["prompt_sha256"] == style.sha256
        assert row["model"] == MODEL and row["usage"]["completion_tokens"] == 5
        assert row["sampling"] == config.synthesizers[row["synthesizer"]].sampling.fields()
    said = capsys.readouterr().out
    assert f"paid for {SEEDS} answers" in said and "truncated" in said
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    total = Counter(r["synthesizer"] for r in kept)
    for name, styles in report["outcomes"].items():
        assert sum(o.get("accepted", 0) for o in styles.values()) == total[name] > 0

    # On through filter, deduplication and shards.
    data = {
        "output_dir": str(tmp_path / "data"),
        **yaml.safe_load((tmp_path / "out" / "sources.yaml").read_text()),
        "filter": {"profiles": {"ko": "ko_eojeol"}},
        "deduplicate": {"mode": "document", "threshold": 0.8},
        "tokenizer": {"bpe_entries": 600, "megabytes": 0.1, "weights": {"out_warm": 1}},
        "shards": {"heldout_fraction": 0.1},
    }
    manifests = prepare(DataConfig.model_validate(data))
    assert {name: m["train"].synthesizer for name, m in manifests.items()} == {
        "out_warm": "warm",
        "out_cold": "cold",
    }
    assert {m["train"].licence for m in manifests.values()} == {"Apache-2.0"}
    folders = cleaned(DataConfig.model_validate(data))
    by_text = {row["text"]: row for row in kept}
    survivors = [row for f in folders.values() for row in rows_of(f.root / "kept")]
    assert len(survivors) > len(kept) / 4
    for row in survivors:
        origin = by_text[row["text"]] | json.loads(row["metadata"])
        assert origin["seed_id"].startswith("web_ko/") and len(origin["request_id"]) == 64
    # A finished run asks nothing.
    count = len(server.bodies)
    synthesize(config)
    assert len(server.bodies) == count


def test_killed_runs_and_other_tasks_write_the_same(
    server: ModelServer, seeds: Path, tmp_path: Path
) -> None:
    server.delay = 0.02
    small = {"read": {"shard_megabytes": 0.02}}
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe(server, seeds, tmp_path / "killed", **small)))
    command = ["-m", "data_recipes", "synthesize", "--config", path]
    kills = 0
    for at in (10, 45):
        process = Program(command)
        while sum(server.answered.values()) < at and process.poll() is None:
            time.sleep(0.005)
        kills += process.poll() is None
        process.kill()
    assert kills == 2
    synthesize(load(server, seeds, tmp_path / "killed", **small))
    under_way = sum(s["concurrency"] for s in recipe(server, seeds, path)["synthesizers"].values())
    assert SEEDS <= sum(server.answered.values()) <= SEEDS + kills * under_way

    server.delay = 0
    config = load(server, seeds, tmp_path / "whole", **small)
    config = config.model_copy(update={"executor": ExecutorConfig(workers=2, tasks=3)})
    synthesize(config)
    whole = contents(tmp_path / "whole")
    assert whole == contents(tmp_path / "killed")
    assert len(whole) >= 2 * 2 * 3 and sum(map(len, whole.values())) > 10_000
    # Other rules need no new answers, only a new judgement.
    count = sum(server.asked.values())
    stricter = config.model_copy(
        update={"validation": config.validation.model_copy(update={"min_characters": 400})}
    )
    with pytest.raises(RecipeError, match=r"other settings \(validation\)"):
        synthesize(stricter)
    shutil.rmtree(tmp_path / "whole" / "text")
    synthesize(stricter)
    assert sum(server.asked.values()) == count
    assert 0 < len(rows(tmp_path / "whole", "kept")) < len(rows(tmp_path / "killed", "kept"))


def test_assignment_meets_the_shares_and_adding_one_moves_only_its_own() -> None:
    ids = [f"web/{i}.jsonl:{i * 7}" for i in range(20_000)]
    weights = {"a": 3.0, "b": 1.0}
    first = {i: assign(i, "synthesizer", weights) for i in ids}
    assert Counter(first.values())["a"] / len(ids) == pytest.approx(0.75, abs=0.01)
    assert first == {i: assign(i, "synthesizer", dict(reversed(weights.items()))) for i in ids}
    wider = {i: assign(i, "synthesizer", weights | {"c": 1.0}) for i in ids}
    moved = [i for i in ids if wider[i] != first[i]]
    assert {wider[i] for i in moved} == {"c"}
    assert len(moved) / len(ids) == pytest.approx(0.2, abs=0.01)
    # Style and synthesizer are drawn apart.
    both = Counter((first[i], assign(i, "style", {"x": 1.0, "y": 1.0})) for i in ids)
    assert both["a", "x"] / len(ids) == pytest.approx(0.375, abs=0.01)


def test_the_floor_stops_a_synthesizer_that_writes_nothing_of_use(
    server: ModelServer, seeds: Path, tmp_path: Path
) -> None:
    server.write = lambda body: BAD["refusal"] if body["temperature"] < 0.5 else write(body)
    server.delay = 0.05
    config = load(server, seeds, tmp_path, floor={"acceptance": 0.2, "after": 10})
    with pytest.raises(RecipeError) as error:
        synthesize(config)
    assert "synthesizer 'cold': 0.0% of" in str(error.value)
    assert "refusal" in str(error.value) and "answers are kept" in str(error.value)
    assert len(server.bodies) < SEEDS
    assert not list((tmp_path / "text").rglob("*.jsonl"))


def test_a_server_that_refuses_everything_is_named_and_asked_again_when_it_is_mended(
    server: ModelServer, seeds: Path, tmp_path: Path
) -> None:
    server.faults = lambda prompt, tries: "400"
    config = load(server, seeds, tmp_path, floor={"acceptance": 0.2, "after": 1000})
    with pytest.raises(RecipeError, match="refused every request, one with: HTTP 400: prompt is"):
        synthesize(config)
    server.faults = no_fault
    shutil.rmtree(tmp_path / "text")
    synthesize(config)
    assert len(rows(tmp_path, "kept")) > 10


def test_the_cap_holds_over_shards_and_tasks(
    server: ModelServer, seeds: Path, tmp_path: Path
) -> None:
    each = 15 * 100 / 1e6
    settings = {"read": {"shard_megabytes": 0.02}, "executor": {"tasks": 2}}
    with pytest.raises(RecipeError, match="raise the cap and run the same command"):
        synthesize(load(server, seeds, tmp_path, cap=30 * each, **settings))
    paid = len(server.bodies)
    assert 5 < paid < 30 + 8
    synthesize(load(server, seeds, tmp_path, cap=2 * SEEDS * each, **settings))
    assert len(server.bodies) == SEEDS
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["spent"]["cost"] == pytest.approx(SEEDS * each)


def test_equal_seeds_are_paid_once_and_written_once(server: ModelServer, tmp_path: Path) -> None:
    text = next(documents("web", "ko", 2))
    (tmp_path / "seeds.jsonl").write_bytes(jsonl([text, *[f" {text} "] * 3]))
    config = load(server, tmp_path / "seeds.jsonl", tmp_path / "out")
    one = {name: value for name, value in list(config.styles.items())[:1]}
    model = {"warm": config.synthesizers["warm"]}
    server.write = lambda body: GOOD[0]
    synthesize(config.model_copy(update={"styles": one, "synthesizers": model}))
    assert len(server.bodies) == 1 == len(rows(tmp_path / "out", "kept"))
    assert [r["reason"] for r in rows(tmp_path / "out", "rejected")] == ["duplicate"] * 3


def test_reasoning_rows_are_documents_of_their_parts(server: ModelServer, tmp_path: Path) -> None:
    (tmp_path / "seeds.jsonl").write_bytes(jsonl(["What is two and two?"], column="question"))
    thoughts = "The question asks for the sum of two and two. Two plus two makes four."
    answer = "둘에 둘을 더하면 넷이 됩니다. 따라서 답은 4입니다."
    server.write = lambda body: {
        "message": {"content": answer, "reasoning_content": thoughts},
        "finish_reason": "stop",
    }
    source = {"name": "q", "path": str(tmp_path / "seeds.jsonl"), "text_column": "question"}
    validation = {
        "language": "ko",
        "reasoning_language": "en",
        "filter": {"profiles": {"ko": "ko_answer", "en": "en_answer"}},
        "min_characters": 10,
        "max_characters": 500,
    }
    synthesize(
        load(
            server,
            tmp_path,
            tmp_path / "out",
            seeds=[source | {"language": "en", "licence": "none"}],
            styles={"solve": {"template": "prompts/reasoning/solve.jinja"}},
            form="reasoning",
            validation=validation,
        )
    )
    # Its think tags are tokens only in a source that has a template.
    (made,) = yaml.safe_load((tmp_path / "out" / "sources.yaml").read_text())["sources"]
    assert made["template"] == "{text}"
    (row,) = rows(tmp_path / "out", "kept")
    assert row["text"] == f"What is two and two?\n<think>\n{thoughts}\n</think>\n\n{answer}"
    assert (row["question"], row["reasoning"], row["answer"]) == (
        "What is two and two?",
        thoughts,
        answer,
    )


def test_prompts_can_be_looked_at_without_a_server(
    seeds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = ModelServer()
    gone.url = "http://127.0.0.1:9/v1"
    config = load(gone, seeds, tmp_path)
    show(config, 2)
    said = capsys.readouterr().out
    assert said.count("--- web_ko/0.jsonl:") == 2 and "존댓말" in said
    with pytest.raises(RecipeError, match="nothing answers at http://127.0.0.1:9/v1"):
        synthesize(config)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"form": "reasoning"}, "form reasoning and validation.reasoning_language go together"),
        ({"styles": {"a": {"template": "nowhere.jinja"}}}, "nowhere.jinja: no such template"),
        ({"styles": {"a": {"template": "{bad}"}}}, "bad.jinja: its variables are seed, text"),
        ({"styles": {"a": {"template": "{broken}"}}}, "broken.jinja: not a Jinja template"),
        ({"synthesizers": {"a/b": {}}}, "String should match pattern"),
        ({"synthesizers": {"a": {"base_url": "localhost:8000"}}}, "String should match pattern"),
        ({"cap": 5, "free": True}, "a spending cap needs prices: give warm"),
        ({"sampling": {"max_tokens": 5, "extra": {"n": 4}}}, "n: not for `extra`"),
    ],
)
def test_mistakes_in_a_recipe_are_found_at_the_start(
    seeds: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    for name, text in (("bad", "{{ text }} {{ seed }}"), ("broken", "{% if %}")):
        (tmp_path / f"{name}.jinja").write_text(text)
    server = ModelServer()
    server.url = "http://127.0.0.1:9/v1"
    values = recipe(server, seeds, tmp_path)
    if changes.pop("free", False):
        for price in ("prompt_price", "completion_price"):
            del values["synthesizers"]["warm"][price]
    if sampling := changes.pop("sampling", None):
        values["synthesizers"]["warm"]["sampling"] = sampling
    text = json.dumps(values | changes)
    for name in ("bad", "broken"):
        text = text.replace(f"{{{name}}}", str(tmp_path / f"{name}.jinja"))
    (tmp_path / "recipe.yaml").write_text(text)
    with pytest.raises(RecipeError) as error:
        load_config(tmp_path / "recipe.yaml", SynthesizeConfig, [])
    assert message in str(error.value)


def test_long_seeds_are_cut_between_words() -> None:
    assert shorten(" 하나 둘 셋 ", 100) == "하나 둘 셋"
    assert shorten("하나 둘 셋", 5) == "하나 둘"
    assert shorten("하나 둘 셋", 3) == "하나"
    assert shorten("가나다라마", 3) == "가나다"


@pytest.mark.parametrize("room", [synthesis, difficulty, translation], ids=lambda r: r.__name__)
def test_a_name_finds_a_shipped_recipe_or_lists_them(room: ModuleType) -> None:
    shipped = sorted(path.stem for path in room.CONFIGS.glob("*.yaml"))
    assert find_recipe(shipped[0], room.CONFIGS) == room.CONFIGS / f"{shipped[0]}.yaml"
    with pytest.raises(RecipeError, match=f"--config nothere: .*{', '.join(shipped)}"):
        room.run(Namespace(config="nothere", executor=None, overrides=[], show=None))


def test_a_template_cannot_run_code(tmp_path: Path) -> None:
    owned, path = tmp_path / "owned", tmp_path / "evil.jinja"
    path.write_text(
        "{% for c in text.__class__.__mro__[1].__subclasses__() if c.__name__ == 'catch_warnings' "
        f"%}}{{{{ c()._module.__builtins__['__import__']('os').system('touch {owned}') }}}}"
        "{% endfor %}"
    )
    with pytest.raises(RecipeError, match="evil.jinja: not a usable prompt"):
        Prompt(path, tmp_path, {"text"}).messages(text="hello")
    assert not owned.exists()
    path.write_text("{% for i in range(10**9) %}{{ text }}{% endfor %}")
    with pytest.raises(RecipeError, match="evil.jinja: not a usable prompt"):
        Prompt(path, tmp_path, {"text"}).messages(text="hello")
