"""Vectors of a knowledge graph: TransE (Bordes et al. 2013) and ConvKB (Nguyen et al. 2018).

Both score a triple of indices (head, relation, tail), more for likelier ones.
"""

import torch
from torch import Tensor, nn

# ConvKB's own start of its filters: a triple that TransE likes has h + r - t near 0.
_FILTER = (0.1, 0.1, -0.1)
_FILTER_NOISE = 0.01  # our choice, so that filters come apart


class TransE(nn.Module):
    """`-|h + r - t|`: a relation leads from its heads to its tails.

    Args:
        entities: how many.
        relations: how many.
        dim: of the vectors.
    """

    def __init__(self, entities: int, relations: int, dim: int) -> None:
        super().__init__()
        self.entity = nn.Embedding(entities, dim)
        self.relation = nn.Embedding(relations, dim)
        nn.init.xavier_uniform_(self.entity.weight)
        nn.init.xavier_uniform_(self.relation.weight)

    def vectors(self, head: Tensor, relation: Tensor, tail: Tensor) -> tuple[Tensor, ...]:
        """Look up the three vectors, `[..., dim]` each, of indices that broadcast together."""
        found = self.entity(head), self.relation(relation), self.entity(tail)
        return torch.broadcast_tensors(*found)

    def forward(self, head: Tensor, relation: Tensor, tail: Tensor) -> Tensor:
        """Score triples of indices that broadcast together."""
        h, r, t = self.vectors(head, relation, tail)
        return -(h + r - t).norm(dim=-1)


class ConvKB(TransE):
    """`w . relu(conv([h, r, t]))`: filters of 1 by 3 over the three vectors side by side.

    Args:
        entities: how many.
        relations: how many.
        dim: of the vectors.
        filters: how many.
    """

    def __init__(self, entities: int, relations: int, dim: int, filters: int) -> None:
        super().__init__(entities, relations, dim)
        # A filter sees one dimension of the three vectors at a time.
        self.filters = nn.Linear(3, filters)
        self.out = nn.Linear(filters * dim, 1)
        with torch.no_grad():
            start = torch.tensor(_FILTER).expand(filters, 3)
            self.filters.weight.copy_(start + _FILTER_NOISE * torch.randn(filters, 3))
            self.filters.bias.zero_()

    def start_from(self, other: TransE) -> None:
        """Take the vectors of TransE, without which this learns little (as its authors do)."""
        self.entity.load_state_dict(other.entity.state_dict())
        self.relation.load_state_dict(other.relation.state_dict())

    def forward(self, head: Tensor, relation: Tensor, tail: Tensor) -> Tensor:
        """Score triples of indices that broadcast together."""
        maps = torch.relu(self.filters(torch.stack(self.vectors(head, relation, tail), dim=-1)))
        return self.out(maps.transpose(-1, -2).flatten(-2)).squeeze(-1)


def filtered_ranks(
    model: TransE, tested: Tensor, known: Tensor, batch: int = 16
) -> tuple[Tensor, Tensor]:
    """Rank the right tail, and the right head, of each triple among all entities.

    Other right answers are left out ("filtered"). Among equal scores the right one stands in the
    middle: `1 + higher + equal / 2`, `equal` of the others; at their head, a model that scores
    everything alike would be perfect. So would one whose scores are no numbers, if those did not
    count as higher.

    Args:
        model: scores.
        tested: `[n, 3]`, indices of head, relation, tail.
        known: `[m, 3]`, all facts, the tested ones among them.
        batch: triples at a time.

    Returns:
        Ranks of tails and of heads, float `[n]` each; 1 is best.
    """
    entities = torch.arange(model.entity.num_embeddings, device=tested.device)
    right: dict[tuple[int, int, int], list[int]] = {}
    for h, r, t in known.tolist():
        right.setdefault((0, h, r), []).append(t)
        right.setdefault((1, r, t), []).append(h)
    ranks: tuple[list[Tensor], list[Tensor]] = [], []
    with torch.no_grad():
        for rows in tested.split(batch):
            h, r, t = (rows[:, [n]] for n in range(3))
            for side, scores, gold in (
                (0, model(h, r, entities), t),
                (1, model(entities, r, t), h),
            ):
                own = scores.gather(1, gold)
                for number, (a, b, c) in enumerate(rows.tolist()):
                    others = right[(0, a, b) if side == 0 else (1, b, c)]
                    scores[number, others] = -torch.inf
                higher, equal = (~(scores <= own)).sum(1), (scores == own).sum(1)
                ranks[side].append(1 + higher + equal / 2)
    return torch.cat(ranks[0]), torch.cat(ranks[1])
