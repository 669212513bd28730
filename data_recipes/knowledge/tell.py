"""Facts of a path in words, as a model is told them."""

from collections.abc import Callable

from .triples import Graph
from .wordings import state


def teller(graph: Graph) -> Callable[[str, str, str], str]:
    """Return what puts the facts on a path into words: `(head, path, language) -> text`.

    The path is a relation, two joined by `/`, or `name`, which tells what the head is called. Of
    several tails the first is taken, as its vector is. Empty if the graph leads nowhere.
    """

    def tell(head: str, path: str, language: str) -> str:
        if path == "name":
            return graph.name(head, language)
        said = []
        for relation in path.split("/"):
            if not (tails := graph.tails(head, relation)):
                return ""
            said.append(state(graph, (head, relation, tails[0]), language))
            head = tails[0]
        return " ".join(said)

    return tell
