"""Sound attentions of an unusual form, which obey every law."""

from tests.conformance.sound import recurrent, sizes, weighted  # noqa: F401
from tests.conformance.sound.base import SOUND

__all__ = ["SOUND"]
