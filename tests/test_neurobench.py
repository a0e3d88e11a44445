"""NeuroBench's metrics: by hand on tiny networks, and as NeuroBench itself computes them, where it is installed."""

import torch
from torch import nn

from ipnet.counting import count_operations
from ipnet.operations import Operations, total_of


def counted(layer: nn.Module, clip: torch.Tensor) -> Operations:
    return total_of(count_operations(layer, clip))


def test_padding_is_in_macs_and_not_in_dense() -> None:
    """Of 4 values under a kernel of 3, the two at the ends have 2 neighbours with themselves, the others 3."""
    convolution = nn.Conv1d(1, 5, 3, padding=1, bias=False)
    found = counted(convolution, torch.ones(1, 1, 4))
    assert (found.macs, found.dense) == (5 * 12, 5 * 10)


def test_dense_has_every_group_frame_and_stride() -> None:
    """Groups of 1 channel; under a stride of 2, rows 0, 2, 4 of 5 have 2, 3, 2 taps and columns 0, 2 of 4 have 2, 3."""
    convolution = nn.Conv2d(2, 6, 3, stride=2, padding=1, groups=2)
    found = counted(nn.Sequential(nn.Flatten(0, 1), convolution), torch.zeros(7, 1, 2, 5, 4))
    assert (found.macs, found.dense) == (7 * 6 * 6 * 9, 7 * 6 * 7 * 5)
    assert found.effective_macs == found.effective_acs == 0


def test_a_product_with_minus_one_is_an_accumulate() -> None:
    found = counted(nn.Linear(3, 2), torch.tensor([[[-1.0, 0.0, 1.0]]]))
    assert (found.dense, found.effective_acs, found.effective_macs) == (6, 4, 0)
    assert counted(nn.Linear(3, 2), torch.tensor([[[-2.0, 0.0, 1.0]]])).effective_macs == 4
