"""onsa (音叉): tune one pre-trained model for several tasks without losing any of them."""

from __future__ import annotations

__version__ = "0.1.0"
