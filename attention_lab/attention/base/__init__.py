"""Contract of an attention, and code that several attentions share."""

from attention_lab.attention.base.attention import (
  Attention,
  attentions,
  register_attention,
)

__all__ = ["Attention", "attentions", "register_attention"]
