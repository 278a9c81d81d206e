"""Random numbers by (seed, step, purpose): a resumed run draws what an unbroken one would."""

import zlib

import torch


def keyed(seed: int, step: int, purpose: str) -> torch.Generator:
    """Random numbers that depend only on what they are for."""
    return torch.Generator().manual_seed(zlib.crc32(f"{seed}/{step}/{purpose}".encode()))
