"""Loss transfer: what training on one task did to the loss of the others.

A(i→j) = (Lⱼ(base) − Lⱼ(probe i)) / (Lⱼ(base) − Lⱼ(probe j)): 1 where probe i helps task j as much
as j's own probe does, 0 where it does nothing, negative where it harms.
"""

from __future__ import annotations

from collections.abc import Mapping

Losses = Mapping[str, float]  # task -> held-out loss


def transfer_matrix(base: Losses, probes: Mapping[str, Losses]) -> list[list[float]]:
    """A(i→j), rows and columns in the order of `probes`.

    A task whose own probe did not lower its loss has nothing to compare with: its column is 0
    but for the 1 on the diagonal.
    """
    return [[_transfer(base, probes, i, j) for j in probes] for i in probes]


def _transfer(base: Losses, probes: Mapping[str, Losses], i: str, j: str) -> float:
    if i == j:
        return 1.0
    own_gain = base[j] - probes[j][j]
    return (base[j] - probes[i][j]) / own_gain if own_gain > 0 else 0.0
