"""Scores by their formulas, and ranks that ties cannot flatter."""

import pytest
import torch

from modeling_kormo.graph_vectors import ConvKB, TransE, filtered_ranks


def test_transe_scores_as_its_formula_says() -> None:
    model = TransE(5, 2, 4)
    e, r = model.entity.weight, model.relation.weight
    for h, q, t in ((0, 0, 1), (4, 1, 4)):
        expected = -((e[h] + r[q] - e[t]) ** 2).sum().sqrt()
        score = model(torch.tensor(h), torch.tensor(q), torch.tensor(t))
        torch.testing.assert_close(score, expected)


def test_convkb_scores_as_pykeens_formula_says() -> None:
    """pykeen 1.11 (`convkb_interaction`): per filter f, x_f = h w_f0 + r w_f1 + t w_f2 + b_f; then
    relu, the filters laid end to end, and a linear layer. Weights by hand, loops in place of torch.
    """
    torch.manual_seed(1)
    entities, relations, dim, filters = 4, 2, 3, 2
    model = ConvKB(entities, relations, dim, filters)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter))
    w, b = model.filters.weight.tolist(), model.filters.bias.tolist()
    linear, bias = model.out.weight[0].tolist(), model.out.bias.item()
    for h, r, t in ((0, 0, 1), (3, 1, 2)):
        vectors = [x.tolist() for x in (model.entity.weight[h], model.relation.weight[r])]
        vectors.append(model.entity.weight[t].tolist())
        score, place = bias, 0
        for f in range(filters):
            for d in range(dim):
                x = b[f] + sum(w[f][k] * vectors[k][d] for k in range(3))
                score += linear[place] * max(0.0, x)
                place += 1
        got = model(torch.tensor(h), torch.tensor(r), torch.tensor(t)).item()
        assert got == pytest.approx(score, rel=1e-5)


def test_a_model_that_scores_everything_alike_ranks_in_the_middle() -> None:
    model = TransE(101, 1, 2)
    with torch.no_grad():
        model.entity.weight.zero_()
    facts = torch.tensor([[0, 0, 1]])
    for ranks in filtered_ranks(model, facts, facts):
        assert ranks.tolist() == [1 + 100 / 2]


def test_scores_that_are_no_numbers_rank_last() -> None:
    model, facts = TransE(101, 1, 2), torch.tensor([[0, 0, 1]])
    with torch.no_grad():
        model.relation.weight.fill_(torch.nan)
    for ranks in filtered_ranks(model, facts, facts):
        assert ranks.tolist() == [102]


def test_untrained_vectors_rank_near_chance() -> None:
    torch.manual_seed(0)
    model = TransE(300, 3, 16)
    facts = torch.stack([torch.randint(n, (200,)) for n in (300, 3, 300)], dim=1)
    mrr = torch.cat(filtered_ranks(model, facts, facts)).reciprocal().mean().item()
    chance = sum(1 / n for n in range(1, 301)) / 300  # 0.021
    assert mrr == pytest.approx(chance, abs=0.015)


def test_other_right_answers_do_not_count_against_a_fact() -> None:
    model = TransE(4, 1, 1)
    with torch.no_grad():
        model.entity.weight.copy_(torch.tensor([[0.0], [1.0], [1.1], [5.0]]))
        model.relation.weight.fill_(1.0)
    known = torch.tensor([[0, 0, 1], [0, 0, 2]])
    # Entity 1 scores highest as a tail of 0; without it entity 2 does.
    assert filtered_ranks(model, known[1:], known)[0].tolist() == [1.0]
    assert filtered_ranks(model, known[1:], known[1:])[0].tolist() == [2.0]
