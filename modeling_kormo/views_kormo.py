"""Multi-token prediction: views that also predict later tokens, in training and nowhere else.

View k (from 1) predicts the token k + 1 ahead, with the model's own output head. Three kinds:

- `parallel` (Gloeckle et al., arXiv 2404.19737): a layer beside the last one, on what that reads,
  under the model's own final norm.
- `sequential` (DeepSeek-V3, arXiv 2412.19437): from the hidden state before it and the embedding of
  token k ahead, by a projection and a layer of its own.
- `same`: the very logits of the next token, scored against a later one as well (modded-nanogpt).

A view belongs to the run that trains it: it is no part of the model's config, of `final/` or of an
export, and the model computes without it whatever it computed with it.
"""

from typing import Any, Literal

import torch
from torch import nn

from .configuration_kormo import KORMoConfig
from .loss_kormo import IGNORE_INDEX
from .modeling_kormo import KORMoDecoderLayer, KORMoForCausalLM, KORMoModel, KORMoRMSNorm

Kind = Literal["parallel", "sequential", "same"]
PREFIX = "views."  # of their weights, beside the model's own


def view_labels(labels: torch.Tensor, documents: torch.Tensor, ahead: int) -> torch.Tensor:
    """Shift labels further than by one, without crossing into another document.

    A label of -100 at the first token of a document ends the next token's row there, but not that
    of the one after it: the end of one document would be asked for the second token of the next.

    Args:
        labels: int64 [batch, tokens], not shifted; -100 is not scored.
        documents: int64 [batch, tokens], one number for all tokens of a document.
        ahead: tokens to look ahead, at least 1.

    Returns:
        int64 [batch, tokens], the label `ahead` tokens on, or -100.
    """
    targets = torch.full_like(labels, IGNORE_INDEX)
    own = documents[:, ahead:] == documents[:, :-ahead]
    targets[:, :-ahead] = labels[:, ahead:].where(own, IGNORE_INDEX)
    return targets


class SequentialView(nn.Module):
    """One step further: the state of the view before, and the token that it was to predict."""

    def __init__(self, config: KORMoConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.token_norm, self.state_norm, self.norm = (
            KORMoRMSNorm(width, config.rms_norm_eps) for _ in range(3)
        )
        self.proj = nn.Linear(2 * width, width, bias=False)
        self.layer = KORMoDecoderLayer(config, config.num_hidden_layers - 1)

    def forward(self, tokens: torch.Tensor, state: torch.Tensor, **layer: Any) -> torch.Tensor:
        joined = torch.cat([self.token_norm(tokens), self.state_norm(state)], dim=-1)
        return self.layer(self.proj(joined), **layer)


class PredictionViews(nn.Module):
    """The views of a model that is trained.

    Args:
        config: of the model.
        kind: see above.
        count: of views.
        weight: of each view's loss beside the next token's.
    """

    def __init__(self, config: KORMoConfig, kind: Kind, count: int, weight: float) -> None:
        super().__init__()
        self.kind, self.count, self.weight = kind, count, weight
        if kind == "parallel":
            last = config.num_hidden_layers - 1
            self.layers = nn.ModuleList(KORMoDecoderLayer(config, last) for _ in range(count))
        elif kind == "sequential":
            self.layers = nn.ModuleList(SequentialView(config) for _ in range(count))

    def forward(
        self,
        model: KORMoModel,
        hidden_states: tuple[torch.Tensor, ...],
        input_ids: torch.Tensor,
        labels: torch.Tensor,
        documents: torch.Tensor,
        position_ids: torch.Tensor,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Compute what goes through the output head, next token and views in one.

        Args:
            model: the decoder.
            hidden_states: its own, of which the last is normed and the one before is what the last
                layer reads.
            input_ids: int64 [batch, tokens].
            labels: int64 [batch, tokens], not shifted.
            documents: see `view_labels`.
            position_ids: as the decoder's.
            **kwargs: of packed documents.

        Returns:
            States [batch, (1 + views) tokens, hidden], their targets, and a weight for each.
        """
        last, trunk = hidden_states[-1], hidden_states[-2]
        layer = model.layer_inputs(trunk, position_ids, None, None, **kwargs)
        states, state = [last], last
        for view in range(1, self.count + 1):
            if self.kind == "parallel":
                state = model.norm(self.layers[view - 1](trunk, **layer))
            elif self.kind == "sequential":
                part = self.layers[view - 1]
                # The token that is known by then; nothing at the end of a document.
                later = view_labels(input_ids, documents, view)
                known = later != IGNORE_INDEX
                tokens = model.embed_tokens(later.where(known, 0)) * known.unsqueeze(-1)
                stream = part(tokens.to(state.dtype), state, **layer)
                states.append(part.norm(stream))
                state = stream
                continue
            states.append(state)
        targets = [view_labels(labels, documents, view + 1) for view in range(self.count + 1)]
        weights = torch.full((len(states),), self.weight, dtype=torch.float32, device=labels.device)
        weights[0] = 1.0
        rows = weights.repeat_interleave(labels.shape[1]).expand(labels.shape[0], -1)
        return torch.cat(states, dim=1), torch.cat(targets, dim=1), rows


def attach_views(model: KORMoForCausalLM, kind: Kind, count: int, weight: float, seed: int) -> None:
    """Give a model views, drawn from a stream of their own.

    Built inside the model, they would change what every matrix after them is drawn as, and a run
    with views would be no pair of one without.

    Args:
        model: of any weights, which stay what they are.
        kind: see above.
        count: of views.
        weight: of each.
        seed: of their weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        views = PredictionViews(model.config, kind, count, weight)
        views.apply(model._init_weights)
    model.views = views.to(model.dtype)
