"""The arms at micro size: where facts come from, what is learned, and that a killed run goes on."""

import json
import random
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from torch.nn.functional import cross_entropy

from data_recipes.common.errors import RecipeError
from data_recipes.knowledge.command import KnowledgeConfig, make
from data_recipes.knowledge.triples import Graph, Triple
from data_recipes.knowledge.wordings import teller
from eval.knowledge.__main__ import main as evaluate
from modeling_kormo.knowledge import Looked, load_knowledge_model, make_slots
from modeling_kormo.knowledge_inputs import Asker, question_of
from recipes import experiment, knowledge_vqa
from recipes.engine.metrics import read_metrics
from recipes.kge import train as train_vectors
from recipes.knowledge_config import KgeConfig, KnowledgeVqaConfig
from recipes.knowledge_vqa import train
from recipes.post import knowledge_loss
from recipes.post.knowledge_loss import draw_batch, losses, name_vectors
from recipes.post.knowledge_model import build

_MICRO = {"vocabulary": 400, "hidden_size": 32, "layers": 1, "heads": 2, "picture_size": 16}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Questions of the graph that ships, and vectors that were hardly trained."""
    root = tmp_path_factory.mktemp("knowledge")
    make(KnowledgeConfig(output_dir=root, graph=["world"], picture_size=16, views=2))
    vectors = {
        "size": "test", "triples": root / "data/triples.jsonl", "output_dir": root / "kge",
        "dim": 8, "transe": {"epochs": 1, "learning_rate": 1e-2}, "held_out": 0,
    }  # fmt: skip
    train_vectors(KgeConfig.model_validate(vectors))
    return root


def _config(root: Path, **more: object) -> KnowledgeVqaConfig:
    given = {
        "size": "test",
        "data": root / "data",
        "graph": root / "kge/final",
        "output_dir": root / "vqa",
        "random": _MICRO,
        "steps": 4,
        "batch": 8,
        "learning_rate": 1e-3,
        "log_every": 1,
    }
    return KnowledgeVqaConfig.model_validate(given | more)


def _asker(root: Path, **more: object) -> tuple[Asker, list]:
    config = _config(root, **more)
    asker, _, rows = build(config)
    asker.model.eval()
    return asker, [question_of(row, config.data, config.sees) for row in rows["train"][:6]]


def test_a_relation_is_told_from_the_question_alone(folder: Path) -> None:
    asker, questions = _asker(folder)
    pixels = asker.pixels(questions)
    with torch.no_grad():
        seen, blank = (asker.look(questions, p) for p in (pixels, torch.zeros_like(pixels)))
    assert torch.equal(seen.paths, blank.paths)
    assert not torch.allclose(seen.heads, blank.heads)


def test_the_answer_s_loss_reaches_the_choice_of_facts(folder: Path) -> None:
    asker, questions = _asker(folder)
    losses(asker, questions, None)["answer"].backward()
    for layer in (asker.model.entity_head, asker.model.path_head, asker.model.projector[0]):
        assert layer.weight.grad.abs().sum() > 0
    # Without knowledge it does not, so it is by the facts that it does.
    asker, questions = _asker(folder, arm="none")
    losses(asker, questions, None)["answer"].backward()
    assert asker.model.entity_head.weight.grad is None


def test_only_facts_of_the_graph_are_weighed(folder: Path) -> None:
    asker, _ = _asker(folder, top=2)
    known = asker.model.known
    exists = asker.model.exists
    head = next(h for h in range(len(known.heads)) if not exists[h].all())
    missing = int((~exists[head]).nonzero()[0])
    heads, paths = torch.full((1, len(known.heads)), -9.0), torch.full((1, len(known.paths)), -9.0)
    heads[0, head], paths[0, missing], paths[0, 0] = 9.0, 9.0, 8.0
    weights, chosen, by = asker.model.choose(Looked(heads, paths, heads, None))
    assert weights.sum().item() == pytest.approx(1)
    assert (chosen[0, 0], by[0, 0]) == (head, 0)
    weight = weights[0][(chosen[0] == head) & (by[0] == missing)]
    assert weight.item() == 0


def test_prompts_learn_the_answer_alone_and_hold_their_places(folder: Path) -> None:
    asker, questions = _asker(folder)
    tokenizer = asker.processor.tokenizer
    batch = asker.prompts(questions, [""] * 6, 4, answers=True)
    for number, question in enumerate(questions):
        ids, labels = batch["ids"][number], batch["labels"][number]
        learned = tokenizer.decode(labels[labels != -100])
        assert learned == f"{question.answer}<|EOT|>"
        assert batch["image"][number].sum() == 4 and batch["slot"][number].sum() == 5
        text = tokenizer.decode(ids[~batch["slot"][number] & batch["mask"][number].bool()])
        assert question.text in text and text.count("<image>") == 4


def test_facts_in_words_stand_before_the_question(folder: Path) -> None:
    asker, questions = _asker(folder, arm="text")
    batch = asker.prompts(questions[:1], ["Bern is in Switzerland."], 4, answers=False)
    text = asker.processor.tokenizer.decode(batch["ids"][0])
    assert f"Bern is in Switzerland.\n{questions[0].text}<|EOT|>" in text


def test_each_token_of_an_answer_is_learned_from_those_before_it(folder: Path) -> None:
    asker, questions = _asker(folder, arm="none", sees=False)
    batch = asker.prompts(questions, [""] * 6, 0, answers=True)
    with torch.no_grad():
        logits = asker.model.model(batch["ids"], attention_mask=batch["mask"]).logits
        found = losses(asker, questions, None)["answer"]
    expected = cross_entropy(logits[:, :-1].flatten(0, 1), batch["labels"][:, 1:].flatten())
    torch.testing.assert_close(found, expected)


def test_vectors_of_length_one_are_named_in_any_place_of_an_entity(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asker, graph, _ = build(_config(folder))
    vectors, seen = asker.model.vectors, []
    torch.testing.assert_close(vectors[:-1].norm(dim=1), torch.ones(len(vectors) - 1))
    assert not vectors[-1].any()
    monkeypatch.setattr(knowledge_loss, "_answer_loss", lambda *given: seen.append(given))
    name_vectors(asker, graph, 40, random.Random(0))
    ((_, batch, _, facts),) = seen
    places = set()
    for own, labels in zip(facts, batch["labels"], strict=True):
        (place,) = own.any(dim=1).nonzero().flatten().tolist()
        named = graph.entities[int((vectors == own[place]).all(dim=1).nonzero()[0])]
        said = asker.processor.tokenizer.decode(labels[labels != -100])
        assert said.removesuffix("<|EOT|>") in [graph.name(named, code) for code in ("ko", "en")]
        places.add(place)
    assert places == {0, 2, 4}


@pytest.mark.parametrize(
    ("given", "names", "vectors"),
    [
        ({"arm": "tokens"}, 4, 5), ({"arm": "gold"}, 4, 5), ({"arm": "text"}, 4, 0),
        ({"arm": "tokens", "sees": False}, 0, 5),
    ],
)  # fmt: skip
def test_a_step_has_its_share_of_names_and_of_vectors(
    folder: Path, given: dict[str, object], names: int, vectors: int
) -> None:
    config = _config(folder, batch=20, naming_share=0.2, vector_share=0.25, **given)
    drawn, found = draw_batch(config, {"names": ["name"], "train": ["row"]}, 3)
    assert (drawn.count("name"), drawn.count("row"), found) == (
        names,
        20 - names - vectors,
        vectors,
    )


def test_the_classifier_can_give_every_answer_of_training(folder: Path) -> None:
    config = _config(folder, arm="classifier")
    asker, _, rows = build(config)
    questions = [question_of(row, config.data, True) for row in rows["train"]]
    assert {len(question.facts) for question in questions} == {1, 2}
    assert {question.tail for question in questions} == set(asker.model.known.answers)
    assert (asker.gold(questions) >= 0).all()


def test_padding_changes_no_answer(folder: Path) -> None:
    asker, questions = _asker(folder)
    with torch.no_grad():
        together = asker.look(questions, asker.pixels(questions))
        for n, question in enumerate(questions):
            alone = asker.look([question], asker.pixels([question]))
            torch.testing.assert_close(together.heads[n], alone.heads[0], atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(together.paths[n], alone.paths[0], atol=1e-5, rtol=1e-4)


def test_words_tell_the_fact_that_is_likeliest(folder: Path) -> None:
    asker, questions = _asker(folder, arm="text")
    known = asker.model.known
    row = known.heads.index("country:FR"), known.paths.index("language/family")
    heads, paths = torch.zeros(1, len(known.heads)), torch.zeros(1, len(known.paths))
    heads[0, row[0]] = paths[0, row[1]] = 9.0
    told = asker.told(Looked(heads, paths, heads, None), questions[:1])
    assert told == ["프랑스의 공용어는 프랑스어다. 프랑스어는 로망스어파에 속한다."]


def test_the_right_fact_is_looked_up_in_arm_gold_whatever_the_heads_say(folder: Path) -> None:
    asker, questions = _asker(folder, arm="gold")
    model = asker.model
    with torch.no_grad():
        looked = asker.look(questions, asker.pixels(questions))
        facts = asker.facts(looked, questions)
    for n, (head, path) in enumerate(asker.gold(questions).tolist()):
        assert torch.equal(facts[n], model.vectors[model.slots[head, path]])


def test_arm_gold_gets_the_row_s_own_fact(folder: Path) -> None:
    """Also of several tails not the first, and of an entity that training never showed."""
    asker, questions = _asker(folder, arm="gold")
    known, vectors = asker.model.known, asker.model.vectors
    known.heads.remove("country:CH")  # as if nothing had been asked of it
    fact = ("country:CH", "language", "language:it")
    question = replace(questions[0], head=fact[0], path=fact[1], facts=(fact,))
    rows = [known.entities.index(fact[0]), known.entities.index(fact[2])]
    relation = len(known.entities) + known.relations.index(fact[1])
    with torch.no_grad():
        looked = asker.look([question], asker.pixels([question]))
        (found,) = asker.facts(looked, [question])
    assert torch.equal(found[:3], vectors[[rows[0], relation, rows[1]]])
    assert not found[3:].any()


def test_of_several_ways_one_that_leads_to_the_end_is_taken() -> None:
    names = {name: {"ko": (name,), "en": (name,)} for name in ("land", "a", "b", "kin")}
    facts = (("land", "/r/speaks", "a"), ("land", "/r/speaks", "b"), ("b", "/r/of", "kin"))
    graph = Graph.of((Triple(*fact) for fact in facts), names)
    path = "/r/speaks//r/of"
    slots = make_slots(
        ["land"], ["name", "/r/speaks", path], graph.entities, graph.relations, graph.way
    )
    a, b, kin, land, of, speaks, no = range(7)
    assert slots == [
        [[land, no, no, no, no], [land, speaks, a, no, no], [land, speaks, b, of, kin]]
    ]
    assert teller(graph)("land", path, "en") == "land, /r/speaks: b. b, /r/of: kin."


@pytest.mark.parametrize("arm", ["none", "text", "tokens", "gold", "classifier"])
def test_every_arm_trains_and_answers(folder: Path, tmp_path: Path, arm: str) -> None:
    config = _config(folder, arm=arm, output_dir=tmp_path / "vqa", steps=2)
    final = train(config)
    lines = [json.loads(x) for x in (tmp_path / "vqa/metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2] and lines[0]["answer"] > 0
    out = tmp_path / "eval"
    command = ["x", "--model", str(final), "--data", str(config.data), "--out", str(out)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [*command, "--limit", "6"])
        evaluate()
        # Answers about other pictures are not taken for these.
        record = json.loads((out / "settings.json").read_text())
        record["data"]["manifest.json"] = "of others"
        (out / "settings.json").write_text(json.dumps(record))
        with pytest.raises(RecipeError, match=r"data\..*manifest.json: was"):
            evaluate()
    results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    shares = results["splits"]["unseen_triples"]["groups"]["all"]["all"]
    assert set(shares) == {
        "questions", "pictures", "seen", "blank", "swapped",
        "majority", "question only", "majority by gold triple",
    }  # fmt: skip
    assert set(results["splits"]["seen"]["told"]) == {"entity", "path"}
    assert (out / "report.html").is_file()


def test_a_saved_model_is_the_one_that_was_trained(folder: Path, tmp_path: Path) -> None:
    config = _config(folder, output_dir=tmp_path / "vqa", steps=2)
    made = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(knowledge_vqa, "build", lambda c: made.setdefault("parts", build(c)))
        final = train(config)
    asker = made["parts"][0]
    asker.model.eval()
    again = Asker(load_knowledge_model(final), asker.processor, asker.tell, asker.open_picture)
    rows = made["parts"][2]["train"][:4]
    questions = [question_of(row, config.data, True) for row in rows]
    with torch.no_grad():
        first, second = (losses(a, questions, None) for a in (asker, again))
    assert {k: v.item() for k, v in first.items()} == {k: v.item() for k, v in second.items()}


def test_a_run_that_was_cut_ends_as_one_that_was_not(folder: Path, tmp_path: Path) -> None:
    whole = train(_config(folder, output_dir=tmp_path / "whole"))
    cut = _config(folder, output_dir=tmp_path / "cut", save_every=2)
    done = []

    def dies(*given: object) -> dict:
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(1)
        return losses(*given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(knowledge_loss, "losses", dies)
        with pytest.raises(KeyboardInterrupt):
            train(cut)
    final = train(cut)
    for name in ("knowledge.safetensors", "model.safetensors"):
        assert (whole / name).read_bytes() == (final / name).read_bytes()
    # Nor are steps, whose seconds are added up, told twice.
    assert [line["step"] for line in read_metrics(cut.output_dir)] == [1, 2, 3, 4]


def test_other_data_under_the_same_name_are_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "data", tmp_path / "data")
    config = _config(folder, data=tmp_path / "data", output_dir=tmp_path / "vqa", steps=2)
    train(config)
    for name, old, new in (("names.jsonl", '"id"', '"no"'), ("manifest.json", "16", "32")):
        path = tmp_path / "data" / name
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(old, new))
        with pytest.raises(RecipeError, match=rf"inputs\..*{name}: was"):
            train(config)
        path.write_text(text)
    # A run that began when nobody noted what pictures there were goes on.
    record = tmp_path / "vqa/settings.json"
    settings = json.loads(record.read_text())
    record.write_text(json.dumps({k: v for k, v in settings.items() if k != "inputs"}))
    path.write_text(text.replace(old, new))
    train(config)


def test_bad_input_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="give `init_from` or `random`"):
        _config(folder, random=None)
    with pytest.raises(RecipeError, match="no such file; make it with `kormo data knowledge`"):
        train(_config(folder, data=tmp_path, output_dir=tmp_path / "a"))
    with pytest.raises(RecipeError, match="no vectors; make them with"):
        train(_config(folder, graph=tmp_path, output_dir=tmp_path / "b"))
    with pytest.raises(RecipeError, match="step 2: the gradient is nan; lower learning_rate"):
        train(_config(folder, learning_rate=1e30, output_dir=tmp_path / "nan"))
    with pytest.raises(RecipeError, match="no vision model of kind llava"):
        train(_config(folder, random=None, init_from=tmp_path, output_dir=tmp_path / "c"))


def test_arms_are_an_experiment(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """Trained, asked, compared: by the command that compares all arms."""
    shared = _config(folder, steps=2).model_dump_json(exclude={"size", "output_dir", "arm", "seed"})
    given = {
        "question": "Does it know?",
        "stages": ["knowledge_vqa"],
        "output_dir": str(tmp_path / "out"),
        "baseline": "none",
        "arms": {"none": {"arm": "none"}, "gold": {"arm": "gold"}},
        "seeds": [1, 2],
        "shared": json.loads(shared),
        "measures": ["answers"],
        "decide": {"answers/unseen_triples": 0.05},
    }
    (shipped := tmp_path / "experiments/tiny").mkdir(parents=True)  # so that it can be published
    monkeypatch.setattr("recipes.experiment.CONFIGS", tmp_path)
    (path := shipped / "x.yaml").write_text(yaml.safe_dump(given))
    asked = []

    def run_here(command: list[str]) -> bool:
        ours = "eval.knowledge" not in command
        argv = command[1:] if ours else [*command[2:], "--limit", "2"]
        asked.append(argv)
        monkeypatch.setattr(sys, "argv", argv)
        (knowledge_vqa.main if ours else evaluate)()
        return True

    def start(*more: str) -> str:
        argv = ["experiment", str(path), "--size", "tiny", *more]
        monkeypatch.setattr(sys, "argv", argv)
        capsys.readouterr()
        experiment.main()
        return capsys.readouterr().out

    monkeypatch.setattr("recipes.experiments.train.succeeds", run_here)
    plan = start("--dry-run")
    assert "4 to do, 0 finished" in plan and "knowledge_vqa         8 steps in 4 runs" in plan
    assert plan.count("-m eval.knowledge --model") == 4
    assert "| gold |" in start() and len(asked) == 8
    results = json.loads((tmp_path / "out/results.json").read_text())
    assert results["pairing"]["gold"]["windows"] == "no: arm differs"
    for run in results["runs"]:
        assert run["seconds"] > 0 and run["commit"]
        place = tmp_path / "out" / run["arm"] / str(run["seed"]) / "knowledge_vqa/answers"
        splits = json.loads((place / "results.json").read_text())["splits"]
        share = splits["unseen_triples"]["groups"]["all"]["all"]["seen"]["share"]
        assert run["measures"]["answers/unseen_triples"] == share
    start()
    assert len(asked) == 8  # nothing is left to do
    for name in ("DOCS", "RECORDS"):
        monkeypatch.setattr(f"recipes.experiments.results.{name}", tmp_path / "docs")
    start("--publish")
    assert "| **answers/unseen_triples**: " in (tmp_path / "docs/experiments.md").read_text()
    (place / "results.json").unlink()
    assert "1 to do" in start("--dry-run")
    start()
    assert len(asked) == 9 and asked[-1][0] == "eval.knowledge"
    with pytest.raises(RecipeError, match="budget: is of pretraining"):
        start("budget={tokens: 9}")
