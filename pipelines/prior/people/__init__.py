"""Synthetic people: shape, skin, hair, clothes, pose, light, and the rasterizer that draws them. No network, no GPU."""
