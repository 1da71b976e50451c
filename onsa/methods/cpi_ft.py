"""Core parameter isolation fine-tuning.

Wang, Liang, Peng 2025, Not All Parameters Are Created Equal: Smart Isolation Boosts Fine-Tuning
Performance, EMNLP 2025, arXiv:2508.21741. What the paper leaves open is a setting here, its default
said in docs/methods/cpi_ft.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from onsa.cores.fusion import ConflictRule, FusionRule, fuse
from onsa.cores.grouping import GroupingRule, group_tasks, jaccard_matrix
from onsa.cores.hold import HoldRule, held_mask
from onsa.cores.order import OrderRule, order_groups
from onsa.cores.saliency import SaliencyRule, core_region
from onsa.cores.transfer import held_out_loss, transfer_matrix
from onsa.methods import method
from onsa.recipe import Settings
from onsa.run import Run, Step
from onsa.training import train
from onsa.weights import Weights

if TYPE_CHECKING:
    from onsa.masks import ParameterMask
    from onsa.tasks import Task
