"""Facts as triples of entities and a relation, with names in both languages at both ends."""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..common.errors import RecipeError
from ..common.files import open_staged

LANGUAGES = ("ko", "en")
# By language, what an entity is called; the first is its name, the others are right answers too.
Names = dict[str, tuple[str, ...]]


@dataclass(frozen=True, order=True)
class Triple:
    """A fact.

    Attributes:
        head: id of an entity, `kind:code`, as `country:FR`.
        relation: from it, a key of `wordings.RELATIONS` where questions are asked.
        tail: id of the entity that it leads to.
        source: where the fact is from.
        licence: of the source.
    """

    head: str
    relation: str
    tail: str
    source: str = ""
    licence: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        return self.head, self.relation, self.tail


@dataclass(frozen=True)
class Graph:
    """Facts, each once, and the names of all entities in them.

    Attributes:
        triples: sorted.
        names: by entity, with a name in every language.
    """

    triples: tuple[Triple, ...]
    names: dict[str, Names]

    @staticmethod
    def of(triples: Iterable[Triple], names: dict[str, Names]) -> "Graph":
        """Keep each fact once, and only those whose both ends have a name in both languages."""
        named = {
            entity for entity, own in names.items() if all(own.get(code) for code in LANGUAGES)
        }
        kept = {t.key: t for t in triples if t.head in named and t.tail in named}
        ends = {end for head, _, tail in kept for end in (head, tail)}
        return Graph(tuple(sorted(kept.values())), {end: names[end] for end in sorted(ends)})

    @cached_property
    def _tails(self) -> dict[tuple[str, str], list[str]]:
        found: dict[tuple[str, str], list[str]] = defaultdict(list)
        for triple in self.triples:
            found[triple.head, triple.relation].append(triple.tail)
        return found

    @property
    def entities(self) -> list[str]:
        return sorted(self.names)

    @cached_property
    def relations(self) -> list[str]:
        return sorted({triple.relation for triple in self.triples})

    def tails(self, head: str, relation: str) -> list[str]:
        """Return what a relation leads to from an entity; often nothing."""
        return self._tails.get((head, relation), [])

    def way(self, head: str, path: str) -> list[tuple[str, str, str]]:
        """Return the first way along a path, a relation or two joined by `/`, as facts.

        Of several tails it takes the first that leads to the end; empty if none does.
        """
        # Names of relations may have a `/` of their own, as ConceptNet's do.
        for relation in self.relations:
            if path != relation and not path.startswith(f"{relation}/"):
                continue
            rest = path[len(relation) + 1 :]
            for tail in self.tails(head, relation):
                further = self.way(tail, rest) if rest else []
                if further or not rest:
                    return [(head, relation, tail), *further]
        return []

    def name(self, entity: str, language: str) -> str:
        """Return what an entity is called first."""
        return self.names[entity][language][0]


def join(graphs: Iterable[Graph]) -> Graph:
    """Join graphs; of an entity that several name, the names of all, those of the first first."""
    triples: list[Triple] = []
    names: dict[str, Names] = {}
    for graph in graphs:
        triples += graph.triples
        for entity, own in graph.names.items():
            before = names.get(entity, {})
            names[entity] = {
                code: tuple(dict.fromkeys((*before.get(code, ()), *own[code])))
                for code in LANGUAGES
            }
    return Graph.of(triples, names)


def write_triples(path: Path, graph: Graph) -> None:
    """Write a JSONL file, one fact a line, that `read_triples` reads back as it was."""
    with open_staged(path) as handle:
        for t in graph.triples:
            row = {
                "head": t.head, "relation": t.relation, "tail": t.tail,
                "names": {"head": graph.names[t.head], "tail": graph.names[t.tail]},
                "source": t.source, "licence": t.licence,
            }  # fmt: skip
            handle.write(json.dumps(row, ensure_ascii=False) + "\n")


def read_triples(path: Path) -> Graph:
    """Read a file of `write_triples`.

    Raises:
        RecipeError: no such file, or a line that is no fact with names at both ends.
    """
    if not path.is_file():
        raise RecipeError(f"{path}: no such file of triples; `kormo data knowledge` writes one")
    triples, names = [], {}
    # Bytes: a text also parts at U+2028, which a name may hold.
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            row = json.loads(line)
            triples.append(
                Triple(*(row[k] for k in ("head", "relation", "tail", "source", "licence")))
            )
            for end in ("head", "tail"):
                own = row["names"][end]
                names[row[end]] = {code: tuple(own[code]) for code in LANGUAGES}
        except (ValueError, KeyError, TypeError) as error:
            raise RecipeError(
                f"{path} line {number}: no triple with head, relation, tail, source, licence and "
                f"names.head and names.tail in ko and en ({error!r})"
            ) from error
    return Graph.of(triples, names)
