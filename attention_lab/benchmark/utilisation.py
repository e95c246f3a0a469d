"""Model FLOPs of a training step: what utilisation is measured by."""

from typing import Any

import jax
import jax.numpy as jnp

from attention_lab.benchmark.flops import matmul_flops
from attention_lab.experiment import Experiment


def flops_per_step(experiment: Experiment, batch_size: int) -> int:
  """Return the model FLOPs of one training step: those of its matrix products.

  They are counted as the formulas have them, whatever a kernel skips or recomputes. If
  batches have several shapes, the result is their mean.

  Args:
    experiment: from `experiment.assemble_plain`.
    batch_size: examples per step, over all devices.
  """
  params = jax.eval_shape(lambda: experiment.init(0))

  def flops(step: int) -> int:
    batch = experiment.dataset.batch("train", step, 1)

    def total(params: Any) -> jax.Array:
      return jnp.sum(experiment.loss(params, None, batch).loss)

    return matmul_flops(jax.value_and_grad(total), params)

  shapes = experiment.dataset.shapes("train", 1)
  whole = sum(count * flops(step) for step, count in shapes.items())
  return batch_size * whole // sum(shapes.values())
