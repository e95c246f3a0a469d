"""How much of what the device can do a training run uses."""

from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import config_dict

from attention_lab.experiment import assemble
from attention_lab.flops import matmul_flops


def flops_per_step(config: config_dict.ConfigDict) -> int:
  """Operations in matrix products that one training step asks for: the model FLOPs.

  Counted as the formulas say, whatever a kernel skips or computes again: without
  rematerialisation, and with every score of the plain formula.
  """
  plain = config.copy_and_resolve_references()
  plain.kernel, plain.model.rematerialise = "reference", False
  experiment = assemble(plain)
  params = jax.eval_shape(lambda: experiment.init(0))
  batch = experiment.dataset.batch("train", 0, 1)

  def total(params: Any) -> jax.Array:
    return jnp.sum(experiment.loss(params, None, batch).loss)

  return int(config.batch_size) * matmul_flops(jax.value_and_grad(total), params)
