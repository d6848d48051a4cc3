"""Replace submodules of one model instance by wrappers, and restore them."""

from __future__ import annotations

from typing import Any

from torch import nn


class Wrapper(nn.Module):  # type: ignore[misc, unused-ignore]
    """Replacement of the layer `plain`, whose weights it uses; never in training mode."""

    def __init__(self, plain: Any) -> None:
        super().__init__()
        self.plain = plain
        self.training = False


def swap_named(parent: nn.Module, name: str, wrapper: type[Wrapper]) -> int:
    """Wrap the child `name` of `parent`; returns how many were (0 where there is none, or it already is)."""
    child = getattr(parent, name, None)
    if not isinstance(child, nn.Module) or isinstance(child, Wrapper):
        return 0
    setattr(parent, name, wrapper(child))
    return 1


def swap_items(parent: Any, wrapper: type[Wrapper]) -> int:
    """Wrap every layer of a `ModuleList` (or of the empty list that packages use for 'none')."""
    layers = list(parent)
    for index, layer in enumerate(layers):
        if not isinstance(layer, Wrapper):
            parent[index] = wrapper(layer)
    return len(layers)


def restore(model: nn.Module) -> int:
    """Replace every wrapper in `model` by its plain layer; returns how many."""
    count = 0
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Wrapper) and not isinstance(parent, Wrapper):
                setattr(parent, name, child.plain)
                count += 1
    return count
