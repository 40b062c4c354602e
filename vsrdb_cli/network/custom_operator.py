"""Register PyTorch operators without loading PyTorch's compiler.

`torch.library.custom_op` loads it at the first call of an operator, which takes two seconds of
every process that restores; the steps that it consists of do not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import torch

P = ParamSpec("P")
R = TypeVar("R")


def custom_operator(
    name: str, fake: Callable[..., R]
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Create a decorator that registers a function as the operator `vsrdb::NAME` on all devices.

    Args:
        name: of the operator.
        fake: makes results of the right shapes and types, without numbers, for what traces.
    """

    def register(compute: Callable[P, R]) -> Callable[P, R]:
        qualified = f"vsrdb::{name}"
        schema = torch.library.infer_schema(compute, mutates_args=())
        torch.library.define(qualified, schema, tags=torch.Tag.pt2_compliant_tag)
        torch.library.impl(qualified, "default", compute)
        torch.library.register_fake(qualified, fake)
        return cast("Callable[P, R]", getattr(torch.ops.vsrdb, name).default)

    return register
