"""The figures of a comparison, as SVG in the colours of the page that holds them."""
