"""High dynamic range footage (HLG and PQ, what phones record by default) as the SDR picture a player would show.

Notable choices: display light in the sense of ITU-R BT.2408: HLG is shown on a screen of 1000 cd/m2 with system gamma 1.2, PQ
is what it says; white is 203 cd/m2, or 100 cd/m2 in clips that never get brighter than that. Up to a knee all is linear, so
faces look as in SDR footage; above it highlights of all three colors together roll off to the brightest light of the clip. The
whole way is one table of 33^3 colors, because looking up is several times cheaper than computing, and because the ffmpeg inside
PyAV has no zscale, without which its tonemap filter cannot be fed.
"""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

HDR_WHITE, SDR_WHITE = 203.0, 100.0
"""cd/m2 of diffuse white: of HDR production (BT.2408), and of an SDR screen (BT.2035)."""
HLG_PEAK, HLG_GAMMA = 1000.0, 1.2
"""cd/m2 of the screen HLG is meant for, and its system gamma. It acts on each color alone, as an SDR camera's and screen's do
(and as in ffmpeg's zscale); on luminance alone, as BT.2100 has it for HDR screens, skin comes out paler than in SDR."""
KNEE = 0.8
"""Share of white up to which light is reproduced linearly."""
TABLE = 33
DEEP = "gbrp16le"
"""What the table is looked up for: ffmpeg has vector code for planar colors of 16 bits, not of 10 (5 ms instead of 17)."""
BT709_FROM_BT2020 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])
"""Linear light, BT.2087."""


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """How a clip is shown: the same for all its frames, else it would flicker."""

    transfer: str
    """`hlg` or `pq`."""
    white: float = HDR_WHITE
    """cd/m2 that become full white, but for the roll-off."""
    peak: float = HLG_PEAK
    """cd/m2 of the brightest light of the clip."""


def light(signal: np.ndarray, transfer: str) -> np.ndarray:
    """cd/m2 [...,3] of HDR signals [...,3] in 0..1 (BT.2100), BT.2020 primaries.

    A gray of 203 cd/m2 has the HLG signal 0.75 and the PQ signal 0.581.
    """
    signal = np.clip(signal, 0, 1)
    if transfer == "pq":
        root = signal ** (32 / 2523)
        return 10_000 * (np.maximum(root - 107 / 128, 0) / (2413 / 128 - 2392 / 128 * root)) ** (16384 / 2610)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    return HLG_PEAK * scene**HLG_GAMMA


def exposure(transfer: str, lights: np.ndarray) -> Exposure:
    """How a clip is shown whose pixels have the lights [...,3] (a sample)."""
    brightest = lights.max(-1) if lights.size else np.array([HLG_PEAK])
    usual, peak = np.percentile(brightest, [99.9, 99.99])
    white = SDR_WHITE if usual <= 1.05 * SDR_WHITE else HDR_WHITE
    return Exposure(transfer=transfer, white=white, peak=max(float(peak), white))


def shown(lights: np.ndarray, asked: Exposure) -> np.ndarray:
    """SDR signals [...,3] in 0..1 (BT.709 primaries, gamma 2.4 of BT.1886) of BT.2020 light [...,3] in cd/m2."""
    color = np.maximum(lights @ BT709_FROM_BT2020.T / asked.white, 0)
    most = np.maximum(color.max(-1, keepdims=True), 1e-9)
    return np.clip(color * rolled_off(most, asked.peak / asked.white) / most, 0, 1) ** (1 / 2.4)


def rolled_off(value: np.ndarray, peak: float) -> np.ndarray:
    """`value` v up to the knee k, beyond it k + (1-k) f((v-k)/(1-k)), f(t) = t (1 + t/T^2) / (1 + t), which ends at 1."""
    if peak <= 1.001:
        return np.minimum(value, 1.0)
    reach = (peak - KNEE) / (1 - KNEE)
    above = np.clip((value - KNEE) / (1 - KNEE), 0, reach)
    return np.where(value <= KNEE, value, KNEE + (1 - KNEE) * above * (1 + above / reach**2) / (1 + above))


class ToneMapper:
    """Frames of one size, HDR in, uint8 [H,W,3] RGB out; the table is applied by ffmpeg's `lut3d` inside this process."""

    def __init__(self, width: int, height: int, asked: Exposure):
        from av.filter import Graph

        self.size = width, height
        self._graph: Any = Graph()
        with TemporaryDirectory(prefix="avatarcli-") as folder:
            table = Path(folder) / "table.cube"
            table.write_text(cube(asked))
            nodes = [
                self._graph.add_buffer(width=width, height=height, format=DEEP, time_base=Fraction(1, 1000)),
                self._graph.add("lut3d", f"file={_escaped(table)}:interp=tetrahedral"),
                self._graph.add("buffersink"),
            ]  # fmt: skip
            for one, other in zip(nodes, nodes[1:], strict=False):
                one.link_to(other)
            self._graph.configure()

    def __call__(self, frame: Any) -> np.ndarray:
        deep = _deep(frame, *self.size)
        deep.pts, deep.time_base = None, Fraction(1, 1000)
        self._graph.push(deep)
        return self._graph.pull().reformat(format="gbrp", threads=1).to_ndarray()


def lights_of(frame: Any, transfer: str, longest_side_px: int = 256) -> np.ndarray:
    """cd/m2 [H,W,3] of a frame made small."""
    scale = min(1.0, longest_side_px / max(frame.width, frame.height))
    small = _deep(frame, max(2, round(frame.width * scale)), max(2, round(frame.height * scale)))
    green, blue, red = (np.frombuffer(bytes(plane), np.uint16).reshape(plane.height, -1) for plane in small.planes)
    return light(np.dstack([red, green, blue])[:, : small.width] / 65535.0, transfer)


def cube(asked: Exposure) -> str:
    """The table in the text form of .cube files: red runs fastest."""
    grid = np.linspace(0, 1, TABLE)
    blue, green, red = np.meshgrid(grid, grid, grid, indexing="ij")
    colors = shown(light(np.stack([red, green, blue], -1), asked.transfer), asked).reshape(-1, 3)
    return f"LUT_3D_SIZE {TABLE}\n" + "\n".join(f"{r:.5f} {g:.5f} {b:.5f}" for r, g, b in colors.tolist()) + "\n"


def _deep(frame: Any, width: int, height: int) -> Any:
    """Planar RGB of 16 bits at another size; frames that do not name their matrix are BT.2020."""
    from av.video.reformatter import ColorRange, Colorspace, Interpolation

    matrix = Colorspace.BT2020 if int(frame.colorspace) in (0, 2) else None
    method = Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
    return frame.reformat(
        width=width, height=height, format=DEEP, src_colorspace=matrix, dst_color_range=ColorRange.JPEG,
        interpolation=method, threads=1,
    )  # fmt: skip


def _escaped(path: Path) -> str:
    return str(path).replace("\\", "/").replace(":", "\\\\:").replace("'", "\\\\\\'")
