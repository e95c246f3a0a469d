"""A stand-in for lm_eval, whose dependencies the suite does not install."""

import importlib.util
from types import ModuleType, SimpleNamespace

INSTALLED = importlib.util.find_spec("lm_eval") is not None


def simple_evaluate(model, tasks):
  """Return results of a shape like the library's, of one request."""
  request = SimpleNamespace(args=("abc|", "abc"))
  ((score, _),) = model.loglikelihood([request])
  return {"results": {task["task"]: {"log_probability": score} for task in tasks}}


def modules():
  """Return the modules, by name, that stand for lm_eval and its base class."""
  found = {name: ModuleType(name) for name in ("lm_eval", "lm_eval.api")}
  found["lm_eval"].simple_evaluate = simple_evaluate
  return found | {"lm_eval.api.model": SimpleNamespace(LM=type("LM", (), {}))}
