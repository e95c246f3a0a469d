"""Actions that are due while a run trains: log, validate, write samples and images."""

from typing import Any

import numpy as np

from attention_lab.decode.attention_maps import (
  attention_weights,
  labels,
  labels_of_pair,
  per_layer,
)
from attention_lab.decode.map_image import attention_image
from attention_lab.distributed.devices import unreplicate
from attention_lab.training.run import Run
from attention_lab.training.window import Window


def log(run: Run, step: int, spent: float, wait: float) -> dict[str, float]:
  """Record the means over the window, empty it, and return them.

  Args:
    run: the run.
    step: steps taken.
    spent: seconds in training steps since this start, by all runs.
    wait: share of the time spent waiting for batches.
  """
  figures, run.window = run.window.report(), Window.of()
  rate = float(run.experiment.schedule(step - 1))
  speed = run.tokens_per_second(step, spent)
  pace = {"tokens_per_second": speed, "data_wait": wait}
  run.recorder.train(step, figures | {"learning_rate": rate}, pace)
  return figures


def record_validation(
  run: Run, step: int, figures: dict[str, float], batches: int
) -> None:
  """Record metrics of the validation split, with a sample and attention maps.

  Args:
    run: the run.
    step: steps taken.
    figures: the metrics.
    batches: number of batches that they are from; 0 for the whole split.
  """
  run.validation = figures
  run.recorder.validation(step, figures, batches)
  if run.recorder.shows_pictures:
    params = unreplicate(run.state.params)
    run.recorder.picture(step, sample(run, params), attention_images(run, params))


def sample(run: Run, params: Any) -> str | None:
  """Return a continuation of the prompt; None if the model generates no text."""
  return None if run.sampler is None else run.sampler(params)[0]


def attention_images(run: Run, params: Any) -> dict[str, np.ndarray]:
  """Return the attention maps of the first validation example, by place."""
  dataset = run.experiment.dataset
  example = dataset.examples("validation", 0, np.zeros(1, np.int64))
  maps = attention_weights(
    run.experiment, params, example.inputs, example.source, run.attention_weights
  )
  if isinstance(maps, dict):
    assert example.source is not None
    rows = example.source[0], example.inputs[0], example.targets[0]
    axes = labels_of_pair(dataset, *rows)
  else:
    names = labels(dataset, example.inputs[0])
    axes, maps = {"": (names, names)}, {"": maps}
  images = {
    f"attention/{place}".rstrip("/"): attention_image(
      per_layer(maps[place], *both), *both
    )
    for place, both in axes.items()
  }
  return {name: image for name, image in images.items() if image is not None}
