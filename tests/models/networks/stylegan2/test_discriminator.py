import pytest
import torch

from models.networks.stylegan2.discriminator import minibatch_deviation


def test_minibatch_deviation_worked_number():
    x = torch.stack([torch.zeros(3, 2, 2), torch.full((3, 2, 2), 2.0)])
    assert minibatch_deviation(x, 4)[:, -1].unique().item() == pytest.approx(1)
