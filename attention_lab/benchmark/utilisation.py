"""How much of what the device can do a training run uses."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import config_dict

from attention_lab.benchmark.flops import matmul_flops
from attention_lab.experiment import assemble


def flops_per_step(
  config: config_dict.ConfigDict, kept: Mapping[str, bytes] = MappingProxyType({})
) -> int:
  """Operations in matrix products that one training step asks for: the model FLOPs.

  Counted as the formulas say, whatever a kernel skips or computes again: without
  rematerialisation, and with every score of the plain formula. Where steps have several
  shapes it is their mean.

  Args:
    config: the configuration.
    kept: the files of the run, as `assemble` takes them.
  """
  plain = config.copy_and_resolve_references()
  plain.kernel, plain.model.rematerialise = "reference", False
  experiment = assemble(plain, kept)
  params = jax.eval_shape(lambda: experiment.init(0))

  def flops(step: int) -> int:
    batch = experiment.dataset.batch("train", step, 1)

    def total(params: Any) -> jax.Array:
      return jnp.sum(experiment.loss(params, None, batch).loss)

    return matmul_flops(jax.value_and_grad(total), params)

  shapes = experiment.dataset.shapes("train", 1)
  whole = sum(count * flops(step) for step, count in shapes.items())
  return int(config.batch_size) * whole // sum(shapes.values())
