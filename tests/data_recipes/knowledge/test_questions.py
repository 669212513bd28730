"""Questions of the graph that ships: right sentences, and no fact on both sides of a split."""

import copy
from collections import defaultdict

import pytest

from data_recipes.knowledge.questions import ask_all, deal, leaks, pictured
from data_recipes.knowledge.triples import LANGUAGES
from data_recipes.knowledge.wordings import RELATIONS, ask, state
from data_recipes.knowledge.world import world_flags, world_graph

_TESTS = ("seen", "unseen_triples", "unseen_entities")


@pytest.fixture(scope="module", params=[0, 1, 2])
def rows(request: pytest.FixtureRequest) -> dict:
    graph = world_graph()
    heads = pictured(graph, set(world_flags()))
    return ask_all(graph, heads, deal(graph, heads, 0.25, 0.15, request.param))


def _facts(rows: list[dict]) -> set[tuple]:
    return {tuple(fact) for row in rows for fact in row["triples"]}


def test_training_and_tests_of_unseen_facts_share_none(rows: dict) -> None:
    assert all(len(rows[name]) > 20 for name in ("train", *_TESTS))
    trained = _facts(rows["train"])
    assert leaks(rows) == []
    for name in ("unseen_triples", "unseen_entities"):
        assert not trained & _facts(rows[name])
    assert _facts(rows["seen"]) <= trained
    # A head and relation with several tails is one fact: to know one of them is to know the answer.
    pairs = {fact[:2] for fact in trained}
    assert not any(fact[:2] in pairs for fact in _facts(rows["unseen_triples"]))


def test_a_planted_leak_is_found(rows: dict) -> None:
    leaky = copy.deepcopy(rows)
    leaky["train"].append(leaky["unseen_triples"][0])
    fact = tuple(leaky["unseen_triples"][0]["triples"][0])
    assert fact in leaks(leaky)
    # So is one whose other direction was trained on.
    border = [["country:FR", "neighbour", "country:DE"]]
    leaky = {
        "train": [{"triples": border}],
        "unseen_triples": [{"triples": [border[0][::-1]]}],
        "unseen_entities": [],
    }
    assert leaks(leaky) == [tuple(border[0][::-1])]


def test_unseen_entities_are_only_named_in_training(rows: dict) -> None:
    unseen = {row["entity"] for row in rows["unseen_entities"]}
    assert unseen and not unseen & {row["entity"] for row in rows["train"]}
    assert unseen <= {row["entity"] for row in rows["names"]}
    # Things of unseen facts were asked about, else the test would be of two novelties at once.
    seen = {row["entity"] for row in rows["train"]}
    assert {row["entity"] for row in rows["unseen_triples"]} <= seen


def test_an_item_is_the_same_in_both_languages(rows: dict) -> None:
    for name in ("train", *_TESTS):
        by_item = defaultdict(list)
        for row in rows[name]:
            by_item[row["item"]].append(row)
        for pair in by_item.values():
            assert [row["language"] for row in pair] == list(LANGUAGES)
            assert pair[0]["triples"] == pair[1]["triples"]
            assert len(pair[0]["triples"][0]) == 3 and pair[0]["hops"] in (1, 2)


def test_no_question_names_what_is_shown_or_its_answer(rows: dict) -> None:
    graph = world_graph()
    for name in ("train", *_TESTS):
        for row in rows[name]:
            question = row["messages"][0]["content"][1]["text"]
            assert graph.name(row["entity"], row["language"]) not in question
            assert graph.name(row["entity"], row["language"]) in row["named_question"]
            # A mark that was not resolved would be learned.
            assert not set("[]{}") & set(question + row["named_question"])


def test_no_true_answer_is_taught_as_the_only_one_or_counted_wrong() -> None:
    graph = world_graph()
    # Of several tails the first is taught: Quechua and Aymara are official in parts of Peru only,
    # and Russia lies on two continents.
    assert graph.tails("country:PE", "language") == ["language:es"]
    assert graph.tails("country:RU", "continent") == []
    # "Which language family?" is answered by the branch and by what it is a branch of.
    for family in ("romance", "germanic", "celtic", "slavic", "baltic", "indo_aryan"):
        names = graph.names[f"family:{family}"]
        assert "인도유럽어족" in names["ko"][1:] and "Indo-European" in names["en"][1:]


def test_particles_fit_the_word_before_them() -> None:
    graph = world_graph()
    assert ask(("capital",), "프랑스", "ko", 2) == "프랑스는 어느 도시를 수도로 삼는가?"
    assert ask(("capital",), "독일", "ko", 2) == "독일은 어느 도시를 수도로 삼는가?"
    assert ask(("language", "script"), "태국", "ko", 0) == "태국의 공용어는 어떤 문자로 적는가?"
    assert state(graph, ("country:FR", "capital", "city:FR"), "ko") == "프랑스의 수도는 파리다."
    assert state(graph, ("country:AT", "capital", "city:AT"), "ko") == "오스트리아의 수도는 빈이다."
    both = ("country:FR", "neighbour", "country:DE"), ("country:DE", "neighbour", "country:FR")
    assert [state(graph, fact, "ko") for fact in both] == [
        "프랑스는 독일과 맞닿아 있다.",
        "독일은 프랑스와 맞닿아 있다.",
    ]
    side = state(graph, ("country:JP", "drives_on", "side:left"), "ko")
    assert side == "일본에서는 길의 왼쪽으로 차를 몬다."
    assert state(graph, ("country:NL", "capital", "city:NL"), "en").startswith(
        "The capital of the Netherlands"
    )


def test_every_relation_of_the_graph_can_be_told() -> None:
    graph = world_graph()
    for triple in graph.triples:
        for language in LANGUAGES:
            assert graph.name(triple.tail, language) in state(graph, triple.key, language)
    borders = {t.key for t in graph.triples if RELATIONS[t.relation].symmetric}
    assert borders and all((t, r, h) in borders for h, r, t in borders)
