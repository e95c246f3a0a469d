"""Contract of a block, and code that several blocks share."""

from attention_lab.block.base.block import Block, blocks, register_block

__all__ = ["Block", "blocks", "register_block"]
