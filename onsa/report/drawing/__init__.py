"""Pictures as SVG, from figures."""
