import torch

from models.networks.stylegan2.synthesis import Synthesis, block_channels


def test_channels_worked_numbers():
    assert [block_channels(size, 32768, 512) for size in (4, 64, 128, 256)] == [512, 512, 256, 128]


def test_every_w_matters_and_noise_is_what_the_call_says():
    torch.manual_seed(0)
    network = Synthesis(w_dim=6, resolution=16, image_channels=3, channel_base=64, channel_max=8)
    ws = torch.randn(1, network.num_ws, 6, requires_grad=True)
    assert network.num_ws == 6
    (gradient,) = torch.autograd.grad(network(ws, "const").square().sum(), ws)
    assert (gradient.abs().amax((0, 2)) > 0).all()
    for name, parameter in network.named_parameters():
        if name.endswith("noise_strength"):
            parameter.data.fill_(1.0)
    assert torch.equal(network(ws, "const"), network(ws, "const"))
    assert not torch.equal(network(ws, "random"), network(ws, "random"))
    assert not torch.equal(network(ws, "none"), network(ws, "const"))
