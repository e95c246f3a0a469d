"""Exact dot-product attention, computed in whichever way is fast here."""
