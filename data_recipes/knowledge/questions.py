"""Questions whose answer is not in the picture: asked of a graph, and split so that none leaks.

Facts are dealt out, not questions: all tails of a head and relation go to one side, and a question
of two hops is asked only where both of its facts lie on the same side. So no fact that answers a
question in training answers one in a test.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ..read.conversations import about_picture
from .triples import LANGUAGES, Graph
from .wordings import NAMING, PICTURED, RELATIONS, TWO_HOPS, ask

Key = tuple[str, str, str]
# Rows to train on; then tests: facts of training in a wording that was not, facts that were not
# asked for of things that were, and facts of things of which nothing was asked but the name.
SPLITS = ("train", "names", "seen", "unseen_triples", "unseen_entities")
_TRAINED_WORDINGS, _HELD_OUT_WORDING = (0, 1), 2


@dataclass(frozen=True)
class Split:
    """Where each fact belongs.

    Attributes:
        of: split by head and relation; `train` holds those of `seen` too.
        entities: heads of which nothing is asked in training but the name.
    """

    of: dict[tuple[str, str], str] = field(default_factory=dict)
    entities: frozenset[str] = frozenset()


def _is_asked(relation: str) -> bool:
    return relation in RELATIONS and bool(RELATIONS[relation].questions)


def pictured(graph: Graph, has_picture: set[str]) -> list[str]:
    """Return the entities that can be asked about: with a picture, and a fact to ask for."""
    askable = {t.head for t in graph.triples if _is_asked(t.relation)}
    return sorted(askable & has_picture)


def deal(
    graph: Graph, heads: list[str], unseen_triples: float, unseen_entities: float, seed: int
) -> Split:
    """Deal out the facts by chance.

    Args:
        graph: the facts.
        heads: entities with pictures.
        unseen_triples: share of the facts of the other entities, and of facts of the second hop,
            that are kept out of training; each entity keeps one in it.
        unseen_entities: share of the entities whose facts are all kept out.
        seed: of the dealing.
    """
    rng = random.Random(f"knowledge {seed}")
    held_out = frozenset(rng.sample(heads, round(len(heads) * unseen_entities)))
    split: dict[tuple[str, str], str] = {}
    by_head: dict[str, list[str]] = {}
    for triple in graph.triples:
        own = by_head.setdefault(triple.head, [])
        if _is_asked(triple.relation) and triple.relation not in own:
            own.append(triple.relation)
    shown = set(heads)
    for head, relations in by_head.items():
        order = rng.sample(relations, len(relations))
        for number, relation in enumerate(order):
            # Of every thing that is shown one fact stays in training.
            stays = number == 0 and head in shown
            test = rng.random() < unseen_triples and not stays
            split[head, relation] = "unseen_triples" if test else "train"
        if head in held_out:
            split |= {(head, relation): "unseen_entities" for relation in relations}
    return Split(split, held_out)


def _paths(graph: Graph, head: str) -> Iterator[tuple[tuple[str, ...], list[list[Key]]]]:
    """Every path from a head, with the ways to go it: lists of one or two facts."""
    for relation, about in RELATIONS.items():
        if not about.questions or not (tails := graph.tails(head, relation)):
            continue
        yield (relation,), [[(head, relation, tail)] for tail in tails]
        for first, second in TWO_HOPS:
            ways = [
                [(head, first, middle), (middle, second, tail)]
                for middle in (tails if first == relation else ())
                for tail in graph.tails(middle, second)
            ]
            if ways:
                yield (first, second), ways


def _side(ways: list[list[Key]], split: Split) -> str | None:
    """The split that a question belongs to; `None` if its facts lie on both sides."""
    sides = {split.of[fact[:2]] for way in ways for fact in way}
    if "unseen_entities" in sides:
        # The second hop is no fact of the entity, but must not have been trained on either.
        return "unseen_entities" if "train" not in sides else None
    return sides.pop() if len(sides) == 1 else None


def ask_all(graph: Graph, heads: list[str], split: Split) -> dict[str, list[dict[str, Any]]]:
    """Ask everything that can be asked, in both languages.

    Returns:
        Rows by split (`SPLITS`), without pictures: `row["entity"]` says of what there must be one.
        `item` is the same in both languages; `triples` holds all facts that make its answers
        right; `answers` all right ones, the expected one first; `novelty` is the split's name;
        `wording` says whether the sentence was trained on, `answer_seen` whether the answer was;
        `named_question` has a name in place of the picture.
    """
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in SPLITS}
    for head in heads:
        kind = head.partition(":")[0]
        for language in LANGUAGES:
            name = graph.names[head][language]
            rows["names"].append(
                _row(f"name {head}", head, language, NAMING[kind][language], name, "name", [], 0)
            )
        for path, ways in _paths(graph, head):
            side = _side(ways, split)
            if side is None:
                continue
            if side == "train":
                asked = [(side, wording) for wording in _TRAINED_WORDINGS]
                asked.append(("seen", _HELD_OUT_WORDING))
            else:
                asked = [(side, wording) for wording in (_TRAINED_WORDINGS[0], _HELD_OUT_WORDING)]
            for where, wording in asked:
                for language in LANGUAGES:
                    answers = [n for way in ways for n in graph.names[way[-1][2]][language]]
                    question = ask(path, PICTURED[kind][language], language, wording)
                    item = f"{'/'.join(path)} {head} {wording}"
                    facts = list(dict.fromkeys(fact for way in ways for fact in way))
                    row = _row(item, head, language, question, answers, path, facts, len(path))
                    row["named_question"] = ask(path, graph.name(head, language), language, wording)
                    row["wording"] = "held out" if wording == _HELD_OUT_WORDING else "trained"
                    rows[where].append(row | {"novelty": where})
    trained = {(row["language"], row["answers"][0]) for row in rows["train"]}
    for where in ("seen", "unseen_triples", "unseen_entities"):
        for row in rows[where]:
            row["answer_seen"] = (row["language"], row["answers"][0]) in trained
    return rows


def _row(
    item: str,
    head: str,
    language: str,
    question: str,
    answers: Any,
    path: Any,
    facts: Any,
    hops: int,
) -> dict[str, Any]:
    answers = list(dict.fromkeys(answers))
    return {
        "id": f"{item} {language}",
        "item": item,
        "entity": head,
        "images": [],
        "messages": about_picture([(question, answers[0])]),
        "kind": "knowledge" if hops else "name",
        "relation": path if isinstance(path, str) else "/".join(path),
        "language": language,
        "answers": answers,
        "triples": [list(fact) for fact in facts],
        "hops": hops,
    }


def leaks(rows: dict[str, list[dict[str, Any]]]) -> list[Key]:
    """Return facts that answer questions both in training and in a test of unseen ones.

    A fact in the other direction counts as the same where the relation is symmetric.
    """
    trained = {_undirected(tuple(fact)) for row in rows["train"] for fact in row["triples"]}
    return sorted(
        {
            tuple(fact)
            for where in ("unseen_triples", "unseen_entities")
            for row in rows[where]
            for fact in row["triples"]
            if _undirected(tuple(fact)) in trained
        }
    )


def _undirected(fact: Key) -> Key:
    head, relation, tail = fact
    if RELATIONS[relation].symmetric and tail < head:
        return tail, relation, head
    return fact
