"""Muon: orthogonalised momentum (Jordan, 2024; Liu et al., arXiv:2502.16982)."""

from typing import Annotated, Any

import jax
import optax
from optax import contrib

from attention_lab.optimizer.base import decay
from attention_lab.optimizer.base.optimizer import Decays, register_optimizer
from attention_lab.plugin.ranges import NonNegative, Range, Share
from attention_lab.schedule.base.schedule import Schedule

# Modules whose matrices are no linear maps between hidden vectors.
NOT_HIDDEN = ("logits", "convolution")


def is_hidden(path: Any, leaf: Any) -> bool:
  """Return whether a parameter is the matrix of a linear layer, but not of the last one."""
  module, name = path[0].key.rsplit("/", 1)[-1], path[-1].key
  matrix = leaf.ndim - decay.is_stacked(path) == 2
  return matrix and name == "w" and module not in NOT_HIDDEN


def labels(params: Any) -> Any:
  """Return the name of the optimizer of each parameter."""
  return jax.tree_util.tree_map_with_path(
    lambda *each: "muon" if is_hidden(*each) else "adamw", params
  )


def axes(params: Any) -> Any:
  """Return the axes of each matrix; those of equal layers are stacked."""
  return jax.tree_util.tree_map_with_path(
    lambda path, _: contrib.MuonDimensionNumbers(
      int(decay.is_stacked(path)), 1 + decay.is_stacked(path)
    ),
    params,
  )


@register_optimizer("muon")
def muon(
  learning_rate: Schedule,
  decays: Decays = decay.matrices,
  beta: Share = 0.95,  # β, decay of the momentum M.
  nesterov: bool = True,  # Whether to orthogonalise a mixture of M and the gradient.
  ns_steps: Annotated[int, Range(1, 101)] = 5,  # Newton-Schulz iterations.
  rms: NonNegative = 0.2,  # ρ, about the root mean square of a step's entries over η.
  b1: Share = 0.9,  # β_1 of AdamW.
  b2: Share = 0.95,  # β_2 of AdamW.
  eps: Share = 1e-8,  # ε of both.
  weight_decay: NonNegative = 0.1,  # λ of both.
) -> optax.GradientTransformation:
  """Return Muon for the matrices of hidden layers, and AdamW for all other parameters.

  The momentum of a matrix [A, B] is orthogonalised and scaled so that the root mean square
  of its entries is about ρ; at 0.2, learning rate and decay can be those of AdamW
  (arXiv:2502.16982, section 2.2). Embeddings decay, too; biases and scales do not.

  Equation:
    M_t = β M_{t-1} + (1 - β) G_t
    W_t = W_{t-1} - η_t (ρ √(max(A, B)) orthogonal(M_t) + λ W_{t-1})
  """
  matrices = contrib.muon(
    learning_rate,
    ns_steps=ns_steps,
    beta=beta,
    eps=eps,
    nesterov=nesterov,
    weight_decay=weight_decay,
    muon_weight_dimension_numbers=axes,
    consistent_rms=rms,
  )
  others = optax.adamw(
    learning_rate, b1, b2, eps, weight_decay=weight_decay, mask=decays
  )
  return optax.partition({"muon": matrices, "adamw": others}, labels)
