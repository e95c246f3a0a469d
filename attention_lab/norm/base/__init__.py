"""Contract of a normalisation."""

from attention_lab.norm.base.norm import Norm, norms, register_norm

__all__ = ["Norm", "norms", "register_norm"]
