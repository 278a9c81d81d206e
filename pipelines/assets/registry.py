"""Everything that can be added to avatarcli: its source, size, hash, license, and what the license permits.

Data only: `pipelines.assets.store` finds and fetches files, `pipelines.prior.importing.networks` reads networks. An unknown
size or hash is None: such a file is never fetched, only named with the way to get it by hand. A license that nobody stated
permits research alone.
"""

import re
from dataclasses import dataclass, replace
from typing import Literal

from pipelines.core.errors import SettingError, UnusableMaterial

Use = Literal["research", "commercial"]
USES = ("research", "commercial")
UNKNOWN = "unknown (treated as research only)"
NVIDIA = "NVIDIA Source Code License for EG3D (non-commercial)"
PANOHEAD = "non-commercial (see the project's page)"
FREE = ("Apache-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause", "MPL-2.0", "CC-BY-4.0", "CC0-1.0")
"""Licenses of weights that permit any use; others may be stated too, these are known."""
BOUND = re.compile(r"non-?commercial|nonfree|research only|\bCC[- ]BY[- ]NC\b|unknown|personal use", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One thing that can be added."""

    name: str
    kind: Literal["published network", "weight"]
    gives: str
    source: str
    """Where a person finds it."""
    license: str
    file: str
    """Its file name."""
    url: str | None = None
    size: int | None = None
    """Bytes."""
    sha256: str | None = None
    home: Literal["weights", "rembg"] = "weights"
    """Whose folder it belongs into."""
    packed_from: int = 0
    """How many files `prior fetch` packs it from, each with a known hash of its own; 0: it is one file."""
    remark: str = ""
    """What else its license does not say."""

    @property
    def permits(self) -> tuple[str, ...]:
        return permits(self.license)

    @property
    def bound(self) -> bool:
        """Whether its license has to be accepted before it is fetched: it does not permit every use."""
        return self.permits != USES

    @property
    def fetchable(self) -> bool:
        return bool(self.packed_from or (self.url and self.size and self.sha256))


def permits(license: str) -> tuple[str, ...]:
    """The uses that a license permits: of a non-commercial, research-only or unknown one `research` alone."""
    return ("research",) if BOUND.search(license) or not license.strip() else USES


def permitted(thing: Entry | str, use: Use) -> bool:
    """Whether an entry, or a license by its name, may be used so."""
    return use in permits(thing if isinstance(thing, str) else thing.license)


def insist(name: str, license: str, use: Use | None) -> None:
    """UnusableMaterial, naming the license, when it forbids the use; None asks nothing."""
    if use is not None and not permitted(license, use):
        raise UnusableMaterial(f"{name} must not be used for {use} work: its license is {license}; choose another one.")


def license_of(stated: str) -> tuple[str, str]:
    """(license, where it is known from) of what a user states: an entry's name or the name of a license."""
    for entry in ENTRIES:
        if stated == entry.name:
            return entry.license, f"registry entry {entry.name}"
    known = {one.lower(): one for one in (*FREE, NVIDIA, "CC-BY-NC-4.0", "unknown")}
    if stated.lower() in known:
        one = known[stated.lower()]
        return (UNKNOWN if one == "unknown" else one), "stated by the user"
    names = [entry.name for entry in ENTRIES if entry.kind == "published network"]
    raise SettingError(f"--license-of {stated}: give one of {', '.join(names)}, or a license: {', '.join(known.values())}.")


def by_sha256(sha256: str) -> Entry | None:
    return next((entry for entry in ENTRIES if entry.sha256 == sha256), None)


def _network(name: str, file: str, gives: str) -> Entry:
    source = "the EG3D models page of NVIDIA's NGC catalog (catalog.ngc.nvidia.com, research/eg3d)"
    return Entry(name=name, kind="published network", file=file, gives=gives, source=source, license=NVIDIA)


TRAINED_ON = "its authors say that the weights were trained on {sets}, whose terms are restrictive: ask before commercial use"
REMARKS = {"birefnet": TRAINED_ON.format(sets="DIS5K among others"), "u2net": TRAINED_ON.format(sets="DUTS among others")}


def _rembg(name: str, license: str) -> Entry:
    return Entry(
        name=name, kind="weight", file=f"{name}.onnx", gives=f"mattes of rembg's {name} (capture --mattes {name})",
        license=license, source="the releases page of github.com/danielgatis/rembg", home="rembg",
        remark=next((words for start, words in REMARKS.items() if name.startswith(start)), ""),
    )  # fmt: skip


def _blazeface(file: str, size: int, sha256: str, gives: str) -> Entry:
    return Entry(
        name=file, kind="weight", file=file, gives=f"{gives} for capture's second detector",
        source="github.com/hollance/BlazeFace-PyTorch", license="Apache-2.0", size=size, sha256=sha256,
        url=f"https://github.com/hollance/BlazeFace-PyTorch/raw/master/{file}",
    )  # fmt: skip


def _fan(name: str, file: str) -> Entry:
    return Entry(
        name=name, kind="weight", file=file, gives="68 landmarks: capture's second opinion toward the profile",
        source="www.adrianbulat.com/downloads/python-fan", license=UNKNOWN,
    )  # fmt: skip


def _lpips(name: str, file: str, size: int, sha256: str, of: str) -> Entry:
    """Of torchvision's file the classifier, of the authors' repository the linear layers on it."""
    linear = name.startswith("lpips-")
    source = "github.com/richzhang/PerceptualSimilarity, lpips/weights/v0.1" if linear else "download.pytorch.org/models"
    remote = f"https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1/{file.split('_')[-1]}"
    return Entry(
        name=name, kind="weight", file=file, gives=f"LPIPS of evaluate: {of}", source=source, size=size, sha256=sha256,
        license="BSD-2-Clause" if linear else UNKNOWN, url=remote if linear else f"https://download.pytorch.org/models/{file}",
    )  # fmt: skip


ENTRIES: tuple[Entry, ...] = (
    _network("eg3d-ffhq512-fixed", "ffhq-fixed-triplanes512-128.pkl", "faces at 512, repaired planes: GAN-Avatar's base"),
    _network("eg3d-ffhq512", "ffhq512-128.pkl", "faces at 512, planes as first released"),
    _network("eg3d-ffhq512-rebalanced", "ffhqrebalanced512-128.pkl", "faces at 512, poses rebalanced"),
    _network("eg3d-ffhq512-64", "ffhq512-64.pkl", "faces at 512 from 64x64 rays"),
    _network("eg3d-ffhq512-rebalanced-64", "ffhqrebalanced512-64.pkl", "faces at 512 from 64x64 rays, poses rebalanced"),
    Entry(
        name="panohead-512", kind="published network", file="easy-khair-180-gpc0.8-trans10-025000.pkl", license=PANOHEAD,
        gives="heads from all sides at 512 (tri-grid)", source="the links on github.com/SizheAn/PanoHead",
    ),
    Entry(
        name="face_landmarker.task", kind="weight", file="face_landmarker.task", license="Apache-2.0", size=3_758_596,
        gives="the 52 blendshapes of the MediaPipe face landmarker instead of the measured channels",
        source="the MediaPipe face landmarker model page (face_landmarker.task, float16, version 1)",
        url="https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/face_landmarker.task",
        sha256="64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
    ),
    Entry(
        name="ict-facekit", kind="weight", file="ict_facekit.npz", license="MIT", packed_from=158,
        gives="the face model under the synthetic people of prior synth",
        source="github.com/ICT-VGL/ICT-FaceKit, folder FaceXModel (about 520 MB, packed into 17)",
    ),
    Entry(
        name="SINet_Softmax.onnx", kind="weight", file="SINet_Softmax.onnx", license="MIT", size=438_815,
        gives="a small portrait matting network, usable as rembg's u2net_custom; no command needs it",
        source="github.com/anilsathyan7/Portrait-Segmentation",
        sha256="932c83e0013e07bbe597fe0007ba5ae6add3fbb6413ca5b81f18b2d410ac7259",
    ),
    _blazeface("blazeface.pth", 420_224, "54ecff653feaaaf1f7d44b6aff28fd2fc50e483a4e847563b6dd261369c43ba4", "faces near by"),
    _blazeface("blazefaceback.pth", 594_825, "e2c03bb3ae45e769eaaa0a7cc7d4f61f54a5e3fbae6367d870166702e7022b11", "faces afar"),
    _blazeface("anchors.npy", 28_800, "a10bb2fb93ab54ca426d6c750bfc3aad685028a16dcf231357d03694f261fd95", "the anchors"),
    _fan("2DFAN4", "2DFAN4-11f355bf06.pth.tar"),
    _fan("3DFAN4", "3DFAN4-7835d9f11d.pth.tar"),
    _lpips("alexnet", "alexnet-owt-7be5be79.pth", 244_408_911,
           "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02", "its classifier, AlexNet"),
    _lpips("lpips-alex", "lpips_alex.pth", 6_009,
           "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0", "its linear layers on AlexNet"),
    _lpips("vgg16", "vgg16-397923af.pth", 553_433_881,
           "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0", "another classifier, VGG-16"),
    _lpips("lpips-vgg", "lpips_vgg.pth", 7_289,
           "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868", "its linear layers on VGG-16"),
    Entry(
        name="st-lpips-alex", kind="weight", file="alex_shift_tolerant.pth", license="BSD-2-Clause", size=9_899_296,
        gives="ST-LPIPS of evaluate", source="the package stlpips-pytorch, where it is found once that is installed",
        sha256="b356b382f96010f77d085ee8343ecd9fd322d0a56e8de2b2d0549fafcad8b9ee",
        remark="another file of the package, models_lpf/downsample.py, is CC BY-NC-SA: avatarcli does not run it",
    ),
    Entry(
        name="feature-network", kind="weight", file="features.pt", license=UNKNOWN,
        gives="KID and FID of prior train as papers state them: --set features=feature-network",
        source="wherever a TorchScript network of image features comes from; papers take the Inception of 2015-12-05",
    ),
    *(_rembg(name, "Apache-2.0") for name in ("u2net_human_seg", "u2net", "u2netp", "isnet-general-use")),
    *(_rembg(name, "MIT") for name in ("birefnet-portrait", "birefnet-general-lite")),
    replace(_rembg("u2net_custom", UNKNOWN), remark="", source="wherever the network comes from; of u2net's form, 320x320 in"),
)  # fmt: skip
