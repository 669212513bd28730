"""Algorithm 1 on solvers whose skill is known: exactly the right items are kept, and paid for."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from data_recipes.common.config_files import load_config
from data_recipes.common.errors import RecipeError
from data_recipes.common.statistics import wilson
from data_recipes.difficulty.config import DifficultyConfig
from data_recipes.difficulty.run import filter_items
from tests.processes import Program

from ..ask.model_server import ModelServer
from . import population

Servers = dict[str, ModelServer]


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with ExitStack() as running:
        made = {
            name: ModelServer(partial(population.solve, name), model=name)
            for name in population.SKILLS
        }
        made |= {
            name: ModelServer(partial(population.rate, name), model=name)
            for name in ("strict", "mild")
        }
        yield {name: running.enter_context(server.running()) for name, server in made.items()}


def endpoint(server: ModelServer, **settings: Any) -> dict[str, Any]:
    made = server.endpoint(timeout_seconds=30, prompt_price=1.0, completion_price=2.0, **settings)
    return made.model_dump(mode="json")


def recipe(servers: Servers, folder: Path, **settings: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    population.write_items(folder / "items.jsonl")
    values = {
        "output_dir": str(folder / "out"),
        "items": {"path": str(folder / "items.jsonl")},
        "solvers": {name: endpoint(servers[name]) for name in population.SKILLS},
        "samples": population.SAMPLES,
        "judges": {name: endpoint(servers[name]) for name in ("strict", "mild")},
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(values | settings, sort_keys=False))
    return path


def load(path: Path, *overrides: str) -> DifficultyConfig:
    return load_config(path, DifficultyConfig, list(overrides))


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def answered(servers: Servers) -> int:
    return sum(sum(server.answered.values()) for server in servers.values())


@pytest.fixture(scope="module")
def filtered(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = recipe(servers, tmp_path_factory.mktemp("filtered"))
    filter_items(load(path))
    return path.parent / "out"


def test_kept_is_exactly_what_should_be(filtered: Path, servers: Servers) -> None:
    fates = {f"item-{i}": population.expected(i) for i in range(population.ITEMS)}
    counts = Counter(fates.values())
    # Every fate occurs, so none is right by absence.
    assert len(counts) == 7 and min(counts.values()) >= 2, counts
    kept = rows(filtered / "kept.jsonl")
    assert [row["id"] for row in kept] == [i for i, fate in fates.items() if fate == "kept"]
    undecided = {row["id"] for row in rows(filtered / "undecided.jsonl")}
    assert undecided == {i for i, fate in fates.items() if fate.startswith("undecided")}
    for row in kept:
        made = row["difficulty"]
        assert row["source"] == "population" and row["question"].startswith("What is")
        assert {n: s["correct"] for n, s in made["solvers"].items()} == {"small": 0, "large": 0}
        assert made["solvers"]["small"]["verdicts"] == ["wrong", "wrong"]
        assert made["labels"] == {"strict": "hard", "mild": "hard"}
        assert made["one_wrong_answer"]  # these solvers err alike
    # The larger solver is asked only about what the smaller left, and judges about what both left.
    reach = {"large": ("small",), "strict": tuple(population.SKILLS)}
    for name, before in reach.items():
        left = {
            i for i, f in fates.items() if not f.endswith(tuple(f"by {other}" for other in before))
        }
        asked = {f"item-{population.number_in(body)}" for body in servers[name].bodies}
        assert asked == left and 0 < len(left) < population.ITEMS


def test_report_counts_everything(filtered: Path) -> None:
    report = json.loads((filtered / "report.json").read_text())
    fates = [population.expected(i) for i in range(population.ITEMS)]
    reached = list(range(population.ITEMS))
    for gate in report["gates"]:
        own = Counter(fates[i].split(" by ")[0] for i in reached if fates[i].endswith(gate["name"]))
        reached = [i for i in reached if not fates[i].endswith(gate["name"])]
        assert (gate["dropped"], gate["undecided"]) == (own["dropped"], own["undecided"])
        assert gate["kept"] == len(reached)
        answers = gate["spent"]["answers"]
        assert sum(gate["answers"].values()) == answers == 2 * gate["items"]
        assert gate["spent"]["cost"] == pytest.approx(answers * (10 * 1.0 + 5 * 2.0) / 1e6)
    first = report["gates"][0]["answers"]
    assert first["unreadable"] == first["truncated"] == population.ITEMS // 25
    assert report["labels"]["unreadable / hard"] == fates.count("undecided by labels")
    for domain, name in enumerate(population.DOMAINS):
        row = report["domains"][name]
        assert row["kept"] == fates[domain::2].count("kept") and row["items"] == 150
        assert tuple(row["interval"]) == wilson(row["kept"], 150)
    page = (filtered / "report.md").read_text()
    assert "## kept" in page and "## dropped by large" in page


def test_retention_is_what_the_skills_predict(filtered: Path) -> None:
    report = json.loads((filtered / "report.json").read_text())
    items = range(population.ITEMS)
    # Flawed answers do not depend on skill: the items that have one are left out.
    clean = [i for i in items if not any(population.flawed(s, i, 0) for s in population.SKILLS)]
    missed = [
        (1 - population.chance("small", i)) ** 2 * (1 - population.chance("large", i)) ** 2
        for i in clean
    ]
    found = sum(population.expected(i).endswith(("kept", "by labels")) for i in clean)
    low, high = wilson(found, len(clean))
    assert low < sum(missed) / len(clean) < high and high - low < 0.15
    assert report["gates"][1]["kept"] >= found > 20


def test_killed_it_goes_on_and_asks_nothing_twice(
    servers: Servers, filtered: Path, tmp_path: Path
) -> None:
    path = recipe(servers, tmp_path)
    command = ["-m", "data_recipes", "difficulty", "--config", path]
    before, kills = answered(servers), 0
    for at in (150, 700):
        process = Program(command)
        while answered(servers) - before < at and process.poll() is None:
            time.sleep(0.002)
        kills += process.poll() is None
        process.kill()
    assert kills == 2
    filter_items(load(path))
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    needed = sum(gate["spent"]["answers"] for gate in report["gates"])
    # Only what was under way when it was killed: 8 connections an endpoint.
    assert 0 <= answered(servers) - before - needed <= kills * 16
    assert (tmp_path / "out" / "kept.jsonl").read_bytes() == (filtered / "kept.jsonl").read_bytes()
    # Killed while it wrote an outcome: half a line. Nothing is asked for it.
    log = tmp_path / "out" / "outcomes" / "done" / "2-large.jsonl"
    log.write_bytes(log.read_bytes()[:-300])
    done = answered(servers)
    filter_items(load(path))
    assert answered(servers) == done
    assert (tmp_path / "out" / "kept.jsonl").read_bytes() == (filtered / "kept.jsonl").read_bytes()


def test_without_judges_the_solvers_decide(
    servers: Servers, filtered: Path, tmp_path: Path
) -> None:
    path = recipe(servers, tmp_path, judges={})
    # The answers are those of the run above: only the outcomes are made again.
    (tmp_path / "out").mkdir()
    (filtered / "answers").rename(tmp_path / "out" / "answers")
    done = answered(servers)
    filter_items(load(path))
    (tmp_path / "out" / "answers").rename(filtered / "answers")
    fates = [population.expected(i) for i in range(population.ITEMS)]
    left = sum(fate.endswith(("kept", "by labels")) for fate in fates)
    assert answered(servers) == done
    assert len(rows(tmp_path / "out" / "kept.jsonl")) == left > fates.count("kept")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples": 1, "max_correct": 1}, "keeps every item"),
        ({"judges": None}, "judges"),
        ({"sandbox": {"seconds": 5}}, "`sandbox` is no more: code is not judged"),
        ({"prompts": {"code": "prompts/value.jinja"}}, "prompts: `code` is no more: code"),
        ({"prompts": {"value": "prompts/nothing.jinja"}}, "no such template"),
        ({"prompts": {"value": "prompts/choice.jinja"}}, "its variables are choices, question"),
        ({"cap": 0.0001}, "cap"),
        ({"items": {"embedded": {"count": 10**6, "split": "test"}}}, "lower count"),
    ],
)
def test_bad_recipes_say_what_to_do(
    servers: Servers, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = recipe(servers, tmp_path, **change)
    with pytest.raises(RecipeError, match=message):
        filter_items(load(path))


def test_other_settings_do_not_mix(servers: Servers, filtered: Path) -> None:
    with pytest.raises(RecipeError, match="other settings .*max_correct"):
        filter_items(load(filtered.parent / "recipe.yaml", "max_correct=1"))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"type": "essay"}, "items.jsonl:301: type"),
        ({"answer": ""}, "no answer"),
        ({"type": "choice", "choices": ["a", "b"], "answer": "C"}, "none of A, B"),
        ({"type": "code", "answer": "", "tests": ["assert f(1)"]}, "301: type: .*no longer judged"),
        ({"id": "item-7"}, "two items have the id 'item-7'"),
        ({"type": "free"}, "grader"),
        ({"difficulty": {}}, "not yet seen"),
    ],
)
def test_bad_items_are_named(
    servers: Servers, tmp_path: Path, row: dict[str, Any], message: str
) -> None:
    path = recipe(servers, tmp_path)
    good = {"type": "value", "domain": "math", "question": "How many?", "answer": "4"}
    with (tmp_path / "items.jsonl").open("a") as file:
        file.write(json.dumps(good | row) + "\n")
    with pytest.raises(RecipeError, match=message):
        filter_items(load(path))


def test_what_no_checker_can_decide_is_not_wrong(tmp_path: Path) -> None:
    answer = r"\int_0^1 f(x)\,dx + C"
    item = {"id": "integral", "type": "value", "domain": "calculus", "question": "What?"}
    (tmp_path / "items.jsonl").write_text(json.dumps(item | {"answer": answer}))
    with ExitStack() as running:
        solvers = {}
        for name in ("one", "two"):
            server = ModelServer(lambda body: r"It is \boxed{F(1) - F(0) + C}.", model=name)
            solvers[name] = endpoint(running.enter_context(server.running()))
        filter_items(
            DifficultyConfig(
                output_dir=tmp_path / "out",
                items={"path": tmp_path / "items.jsonl"},
                solvers=solvers,
                judges={},
            )
        )
    # By both solvers wrong would be kept, as a hard item.
    assert not rows(tmp_path / "out" / "kept.jsonl")
    (undecided,) = rows(tmp_path / "out" / "undecided.jsonl")
    assert undecided["difficulty"]["solvers"]["one"]["verdicts"] == ["unreadable"]


def test_graders_compare_free_answers(tmp_path: Path) -> None:
    def write(body: dict[str, Any]) -> str:
        prompt = body["messages"][-1]["content"]
        if "Student's answer" in prompt:
            return "incorrect" if "because of cheese" in prompt else "unsure"
        if "moon" in prompt:
            return "It shines because of cheese."
        return "Snow."

    items = [
        {
            "id": "moon",
            "type": "free",
            "question": "Why does the moon shine?",
            "answer": "Sunlight",
        },
        {"id": "white", "type": "free", "question": "What is white?", "answer": "Snow"},
    ]
    path = tmp_path / "items.jsonl"
    path.write_text("".join(json.dumps(i | {"domain": "mixed"}) + "\n" for i in items))
    with ModelServer(write, model="one").running() as one:
        with ModelServer(write, model="two").running() as two:
            config = DifficultyConfig(
                output_dir=tmp_path / "out",
                items={"path": path},
                solvers={"one": endpoint(one), "two": endpoint(two)},
                judges={},
                grader=endpoint(one),
            )
            filter_items(config)
    kept = {row["id"]: row for row in rows(tmp_path / "out" / "kept.jsonl")}
    assert set(kept) == {"moon"}
    undecided = rows(tmp_path / "out" / "undecided.jsonl")
    assert [row["difficulty"]["solvers"]["one"]["verdicts"] for row in undecided] == [["ungraded"]]
