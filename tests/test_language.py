"""Every message in Japanese too: found in the source, looked up in the catalogues."""

from __future__ import annotations
