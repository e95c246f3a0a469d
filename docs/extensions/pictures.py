"""Pictures drawn from the code: influence of tokens, state sizes, architectures."""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
import matplotlib
import numpy as np

from attention_lab.architecture.base.architecture import architectures
from attention_lab.architecture.base.builder import attention_builder
from attention_lab.attention.base.attention import attentions
from attention_lab.block.base import options as model_options
from attention_lab.catalogue.attention import claims, state_bytes
from attention_lab.catalogue.example import settings
from attention_lab.config import get_config, set_text
from attention_lab.conformance.subject import fast_jit
from attention_lab.experiment import assemble
from attention_lab.kernel.mask import Mask
from attention_lab.plugin import spec as specs
from attention_lab.position.base.position import positions

matplotlib.use("svg")
from matplotlib import pyplot as plt

TOKENS = 48
# Options that show the pattern of a sparse attention within these tokens.
SHOWN = {
  "sliding_window": "sliding_window(window=8)",
  "dilated": "dilated(window=4, dilation=3)",
  "block_sparse": "block_sparse(block=4, random_blocks=1)",
}
GREY = "#767676"  # Readable on white and on black.
LENGTHS = tuple(2**n for n in range(7, 17))
STYLE = {
  "svg.hashsalt": "attention_lab",
  "font.size": 9,
  "savefig.transparent": True,
  "figure.constrained_layout.use": True,
  **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor"), GREY),
  **dict.fromkeys(("xtick.color", "ytick.color"), GREY),
}


def draw(folder: Path) -> dict[str, str]:
  """Draw all pictures into a folder; return the Markdown of each, by its key.

  Keys are "kind/name" of the component, and "state sizes".
  """
  folder.mkdir(parents=True, exist_ok=True)
  found = {}
  with plt.rc_context(STYLE):
    for name in attentions:
      found[f"attention/{name}"] = _influence(name, folder)
    found["state sizes"] = _state_sizes(folder)
    for name in architectures:
      found[f"architecture/{name}"] = _architecture(name, folder)
  return found


def _markdown(file: Path, alternative: str, caption: str = "") -> str:
  """Return a picture for pages in components/<kind>/."""
  address = f"../../pictures/{file.name}"
  return f"![{alternative}]({address})" + f"\n\n{caption}" * bool(caption)


def _save(figure: Any, file: Path) -> None:
  figure.savefig(file, metadata={"Date": None})
  plt.close(figure)


def _influence(name: str, folder: Path) -> str:
  spec = SHOWN.get(name, name)
  causal = "causal" in claims(name).kinds
  figure, axes = plt.subplots(figsize=(3.4, 2.9))
  shown = np.ma.masked_equal(influence(spec, causal), 0)
  image = axes.imshow(shown, cmap="viridis", vmin=0, interpolation="nearest")
  axes.set(xlabel="token that is read, j", ylabel="token of the query, i")
  figure.colorbar(image, label="influence")
  file = folder / f"influence-{name}.svg"
  _save(figure, file)
  kind = "causal" if causal else "bidirectional"
  alternative = f"Influence of each token on the output of each query in {spec}"
  caption = (
    f"How much the output of token i of `{spec}` changes with token j, in one {kind} layer "
    f"at its initial parameters without positions: the norm of the gradient, over the "
    f"largest one of the row. White (or the page's colour) is exactly 0."
  )
  return _markdown(file, alternative, caption)


def influence(spec: str, causal: bool) -> np.ndarray:
  """Return the norm of ∂(w·y_i)/∂x_j over the row's largest one: [T, T]."""
  values = dict(get_config().model.to_dict(), d_model=16, num_heads=2)
  options = model_options.from_config(values)
  position = partial(positions["none"], max_length=TOKENS)
  build = attention_builder(specs.parse(spec), options, position, "reference")
  net = hk.transform(lambda x, mask: build()(x, x, mask))
  shape = 2, 1, TOKENS, options.d_model
  at = jnp.arange(TOKENS)[None]
  mask = Mask(at, at, causal=causal)

  def rows(key: jax.Array) -> jax.Array:
    x, w = jax.random.normal(key, shape)
    params = net.init(key, x, mask)

    def row(i: jax.Array) -> jax.Array:
      gradient = jax.grad(
        lambda x: jnp.vdot(w[0, i], net.apply(params, None, x, mask)[0, i])
      )
      return jnp.linalg.norm(gradient(x)[0], axis=-1)

    return jax.lax.map(row, jnp.arange(TOKENS))

  found = np.asarray(fast_jit(rows)(jax.random.key(0)))
  return found / found.max(axis=1, keepdims=True)


def _state_sizes(folder: Path) -> str:
  """Draw the size of the decode state by length; equal curves are one."""
  model = model_options.from_config(get_config().model.to_dict())
  curves: dict[tuple[int, ...], list[str]] = {}
  for name in attentions:
    if "causal" in claims(name).kinds:
      sizes = tuple(state_bytes(name, LENGTHS, model))
      curves.setdefault(sizes, []).append(name)
  figure, axes = plt.subplots(figsize=(7.5, 5))
  lines = sorted(curves.items(), reverse=True, key=lambda item: item[0][-1])
  colours = plt.get_cmap("turbo")(np.linspace(0.1, 0.9, len(lines)))
  for (sizes, names), colour in zip(lines, colours, strict=True):
    label = ", ".join(names)
    axes.loglog(LENGTHS, sizes, label=label, color=colour, base=2)
  axes.set(xlabel="tokens", ylabel="bytes per sequence and layer")
  axes.grid(alpha=0.3)
  figure.legend(loc="outside lower center", ncols=1, frameon=False, fontsize=8)
  file = folder / "state-sizes.svg"
  _save(figure, file)
  return _markdown(file, "Size of the decode state of each causal attention by length")


def _architecture(name: str, folder: Path) -> str:
  """Draw the modules of an architecture in the order of their calls, with shapes."""
  modules = calls(name)
  height = 0.34
  figure, axes = plt.subplots(figsize=(6, height * len(modules) + 0.4))
  for i, (path, shape, size) in enumerate(modules):
    indent = 0.25 * path.count("/")
    box = plt.Rectangle((indent, -i), 6 - indent, 0.8, fill=False, edgecolor=GREY)
    axes.add_patch(box)
    parameters = f", {size:,} parameters" if size else ""
    axes.text(indent + 0.1, -i + 0.4, path.rpartition("/")[2], va="center")
    axes.text(5.9, -i + 0.4, f"{shape}{parameters}", va="center", ha="right")
  axes.set(xlim=(0, 6.05), ylim=(-len(modules) + 0.9, 1))
  axes.axis("off")
  file = folder / f"architecture-{name}.svg"
  _save(figure, file)
  caption = (
    "Its modules in the order of their calls, indented by nesting, with the shape of their "
    "output and their parameters, in the default model; of equal layers, the first."
  )
  return _markdown(file, f"Modules of {name}, in order", caption)


def calls(architecture: str) -> list[tuple[str, str, int]]:
  """Return path, output shape and number of parameters of each module, in order."""
  config = get_config()
  for key, value in settings(architectures, architecture).items():
    set_text(config, "architecture.name" if key == "architecture" else key, value)
  experiment = assemble(config)
  found: dict[str, str] = {}

  def record(method: Callable[..., Any], args: Any, kwargs: Any, context: Any) -> Any:
    if context.method_name == "__init__":  # It has no name yet.
      return method(*args, **kwargs)
    path = context.module.module_name
    found.setdefault(path, "")
    result = method(*args, **kwargs)
    if hasattr(result, "shape"):  # The outermost method ends last.
      found[path] = " × ".join(map(str, result.shape))
    return result

  with hk.intercept_methods(record):
    params = jax.eval_shape(lambda: experiment.init(0))
  root = next(iter(params)).partition("/")[0]
  sizes = {
    path: sum(math.prod(x.shape) for x in each.values())
    for path, each in params.items()
  }
  return [
    (path, shape, sum(n for p, n in sizes.items() if f"{p}/".startswith(f"{path}/")))
    for path, shape in found.items()
    if path.partition("/")[0] == root
    and path.count("/") <= 2
    and not _is_later_layer(path)
  ]


def _is_later_layer(path: str) -> bool:
  layers = [word for word in path.split("/") if "layer_" in word]
  return any(not word.endswith("_0") for word in layers)
