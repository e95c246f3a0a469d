"""Figures of report.html, as SVG in the colours of the page."""
