"""A snapshot with the official structure becomes a prior: every number, the configuration, the picture; nothing is executed."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from models.camera import Camera
from models.eg3d.config import TINY128, UNIT, EG3DConfig
from models.eg3d.generator import EG3D
from models.networks import dual_discriminator
from models.networks.dual_discriminator import DualDiscriminator
from models.published import axes_of
from pipelines.artifacts.family import config_of
from pipelines.artifacts.prior import Prior, load_prior
from pipelines.assets.registry import NVIDIA
from pipelines.core.errors import SettingError, UnusableMaterial
from pipelines.core.files import read_json
from pipelines.core.stage import Report, Silent
from pipelines.prior.importing.networks import ImportSettings, import_prior
from pipelines.prior.importing.snapshot import Module, read_snapshot
from pipelines.prior.importing.storages import Tensor
from pipelines.train.networks import make_networks
from pipelines.train.settings import TrainSettings
from tests.material import shared
from tests.published import axes_matrices, write_snapshot

SMALL = replace(
    UNIT, static_planes=False, basis_planes=0, density_prior=None, dynamic_gain=1.0, superresolution_channels=None, w_dim=16,
    ray_start=2.25, ray_end=3.3, c_gen_conditioning_zero=False, neural_rendering_resolution=8,
)  # fmt: skip
"""The official structure with a few thousand parameters."""


def networks(config: EG3DConfig) -> tuple[EG3D, DualDiscriminator]:
    torch.manual_seed(1)
    generator, discriminator = EG3D(config), DualDiscriminator(config)
    with torch.no_grad():
        for tensor in (*generator.state_dict().values(), *discriminator.state_dict().values()):
            if tensor.shape != (4, 4):
                tensor.add_(0.01 * torch.randn_like(tensor))
    return generator, discriminator


def imported(folder: Path, config: EG3DConfig = SMALL, *, without: str = "", **changes: Any) -> tuple[Report, Prior]:
    """The small network written and imported; `changes` of rendering options."""
    generator, discriminator = networks(config)
    source = write_snapshot(folder / "network.pkl", generator, discriminator, trace=folder / "trace", **changes)
    report = import_prior(source, folder / "ffhq.prior", ImportSettings(), Silent())
    assert not (folder / "trace").exists()
    return report, load_prior(str(folder / "ffhq.prior"))


def same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> bool:
    return list(ours) == list(theirs) and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_full_snapshot_is_read_to_the_bit(tmp_path: Path) -> None:
    generator, discriminator = networks(TINY128)
    source = write_snapshot(tmp_path / "network.pkl", generator, discriminator, trace=tmp_path / "trace")
    snapshot = read_snapshot(source)
    official = json.loads(shared("goldens/eg3d/names_tiny128.json").read_text())
    states = {name: snapshot.state(name) for name in snapshot.networks}
    assert {name: len(state) for name, state in states.items()} == {"G": 178, "D": 74, "G_ema": 178}
    for name, module in (("G", generator), ("D", discriminator), ("G_ema", generator)):
        state = {key: torch.tensor(value) for key, value in states[name].items() if key != "dataset_label_std"}
        ours = module.state_dict()
        assert state.keys() == ours.keys()
        assert all(torch.equal(state[key], ours[key]) for key in ours)
        assert {f"{name[0]}.{key}": list(value.shape) for key, value in state.items()}.items() <= official.items()
    assert len(set(snapshot.sources.values())) == 4
    assert not (tmp_path / "trace").exists()


@torch.no_grad()
def test_the_prior_renders_the_same_image(tmp_path: Path) -> None:
    generator, discriminator = networks(TINY128)
    source = write_snapshot(tmp_path / "network.pkl", generator, discriminator, trace=tmp_path / "trace")
    import_prior(source, tmp_path / "ffhq.prior", ImportSettings(), Silent())
    prior = load_prior(str(tmp_path / "ffhq.prior"))
    assert prior.weights is not None and prior.discriminator is not None
    assert config_of(prior) == TINY128
    again, judge = EG3D(config_of(prior)), DualDiscriminator(config_of(prior))
    again.load_state_dict(load_file(prior.weights), strict=True)
    judge.load_state_dict(load_file(prior.discriminator), strict=True)
    camera, z = Camera.frontal(distance=2.7, focal=4.2647), torch.randn(1, TINY128.z_dim)
    before, after = (one.synthesis(one.mapping(z, camera.label()), camera) for one in (generator, again))
    assert torch.equal(before.image, after.image)
    assert torch.equal(discriminator(before, camera).logits, judge(after, camera).logits)
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("judged", ["MaskDiscriminator", "MaskBranchDiscriminator"])
def test_panohead(tmp_path: Path, judged: str) -> None:
    from models.panohead.config import PANOHEAD_TINY128
    from models.panohead.generator import PanoHead

    config = replace(PANOHEAD_TINY128, plane_resolution=32, channel_base=128, channel_max=8, decoder_hidden=8)
    torch.manual_seed(2)
    generator, judge = PanoHead(config), getattr(dual_discriminator, judged)(config)
    source = write_snapshot(tmp_path / "network.pkl", generator, judge, trace=tmp_path / "trace")
    import_prior(source, tmp_path / "heads.prior", ImportSettings(license_of="panohead-512"), Silent())
    prior = load_prior(str(tmp_path / "heads.prior"))
    assert prior.family == "panohead" and prior.weights is not None and prior.discriminator is not None
    assert config_of(prior) == replace(config, judged_mask="branch" if "Branch" in judged else "channel")
    assert same(dict(sorted(load_file(prior.weights).items())), dict(sorted(generator.state_dict().items())))
    assert same(dict(sorted(load_file(prior.discriminator).items())), dict(sorted(judge.state_dict().items())))
    assert not (tmp_path / "trace").exists()


def test_a_body_that_comes_along_is_left_out(tmp_path: Path) -> None:
    from models.portrait3d.config import PORTRAIT_TINY128
    from models.portrait3d.discriminator import PoseDiscriminator
    from models.portrait3d.generator import Portrait3D

    config = replace(
        PORTRAIT_TINY128, plane_resolution=32, channel_base=128, channel_max=8, decoder_hidden=8, body="smpl",
        pose_hidden=(16, 8),
        judged_pose_hidden=(16, 8), discriminator_channel_base=None, discriminator_channel_max=16, compat_unmirrored_label=True,
    )  # fmt: skip
    generator, judge = Portrait3D(config), PoseDiscriminator(config)
    source = write_snapshot(tmp_path / "network.pkl", generator, judge, trace=tmp_path / "trace")
    import_prior(source, tmp_path / "heads.prior", ImportSettings(), Silent())
    prior = load_prior(str(tmp_path / "heads.prior"))
    assert prior.family == "portrait3d" and config_of(prior) == config
    assert prior.weights is not None and prior.discriminator is not None
    assert same(dict(sorted(load_file(prior.weights).items())), dict(sorted(generator.state_dict().items())))
    assert same(dict(sorted(load_file(prior.discriminator).items())), dict(sorted(judge.state_dict().items())))
    assert prior.extra["imported"]["left_out"] == [
        "renderer.aligned_SMPL.model.faces_tensor", "renderer.aligned_SMPL.model.v_template", "renderer.face_mask",
    ]  # fmt: skip
    assert prior.frame.prior_from_head[1, 3] == pytest.approx(0.124) and prior.frame.matte_region == "head and shoulders"
    assert prior.extra["frontal_camera"]["focal"] == pytest.approx(6.5104, abs=1e-3)
    assert not (tmp_path / "trace").exists()


def test_the_folder_says_where_it_comes_from(tmp_path: Path) -> None:
    report, prior = imported(tmp_path)
    record = prior.extra["imported"]
    assert (report.status, prior.name, prior.family, prior.license) == (
        "done",
        "ffhq",
        "eg3d",
        "unknown (treated as research only)",
    )
    assert record["file"] == "network.pkl" and len(record["sha256"]) == 64
    assert record["contents"] == ["G", "D", "G_ema", "training_set_kwargs", "augment_pipe"]
    assert np.allclose(record["dataset_label_std"], np.linspace(0, 1, 25))
    assert "anna" not in (prior.folder / "prior.json").read_text() + (prior.folder / "stage.json").read_text()
    assert {path.name for path in prior.folder.iterdir()} == {
        "prior.json", "stage.json", "landmarks.npz", "weights.safetensors", "discriminator.safetensors",
    }  # fmt: skip


def test_the_head_space_is_that_of_ffhq(tmp_path: Path) -> None:
    prior, quick = imported(tmp_path)[1], load_prior("quick")
    assert (prior.meters_per_unit, prior.crop_extent) == (0.37, 0.6331)
    assert np.allclose(prior.landmarks * 0.37, quick.landmarks * quick.meters_per_unit, atol=1e-6)
    assert prior.extra["imported"]["landmarks_measured"] is False
    assert "not measured" in prior.origin


def test_a_missing_c_scale_means_zero(tmp_path: Path) -> None:
    assert config_of(imported(tmp_path, c_scale=None)[1]).c_scale == 0


@pytest.mark.parametrize("name", ["eg3d_released", "eg3d_fixed67", "panohead"])
def test_planes_are_recognized(tmp_path: Path, name: str) -> None:
    assert config_of(imported(tmp_path, replace(SMALL, plane_axes=name))[1]).plane_axes == name


def test_planes_of_the_reference_vectors() -> None:
    with np.load(shared("goldens/eg3d/planes.npz")) as arrays:
        released = arrays["generate_planes/out/axes"]
        panohead = arrays["project_onto_planes_panohead_axes/in/axes"]
    assert axes_of(renderer(released), None) == "eg3d_released"
    assert axes_of(renderer(panohead), None) == "panohead"
    assert np.array_equal(axes_matrices("eg3d_released").numpy(), released)


def renderer(axes: np.ndarray) -> Module:
    return Module("ImportanceRenderer", {"plane_axes": Tensor(axes.astype(np.float32), False)})


def test_unknown_planes_have_to_be_stated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    turned = axes_matrices("eg3d_released")[[1, 0, 2]]
    monkeypatch.setattr("tests.published.axes_matrices", lambda name: turned)
    with pytest.raises(UnusableMaterial, match="--plane-axes"):
        imported(tmp_path)
    assert not (tmp_path / "ffhq.prior").exists()
    stated = ImportSettings(plane_axes="eg3d_fixed67")
    import_prior(tmp_path / "network.pkl", tmp_path / "ffhq.prior", stated, Silent())
    assert config_of(load_prior(str(tmp_path / "ffhq.prior"))).plane_axes == "eg3d_fixed67"


def test_stated_planes_do_not_override_known_ones(tmp_path: Path) -> None:
    imported(tmp_path)
    with pytest.raises(SettingError, match="says eg3d_fixed67"):
        import_prior(tmp_path / "network.pkl", tmp_path / "b.prior", ImportSettings(plane_axes="panohead"), Silent())


@pytest.mark.parametrize(
    "config",
    [
        replace(SMALL, w_dim=24, mapping_layers=3, mapping_hidden=12, mapping_embed=10),
        replace(SMALL, ray_start="auto", ray_end="auto", white_back=True, box_warp=1.6, disparity_space_sampling=True),
        replace(SMALL, image_size=64, superresolution="8XDC", sr_antialias=False),
        replace(SMALL, neural_rendering_resolution=16, compat_inplace_raw=True, discriminator_channel_max=6, disc_c_noise=1.0),
        replace(SMALL, superresolution_channels=(8, 4), decoder_lr_mul=0.5, c_gen_conditioning_zero=True),
    ],
)
def test_configurations(tmp_path: Path, config: EG3DConfig) -> None:
    assert config_of(imported(tmp_path, config)[1]) == config


def renamed(state: dict[str, Any]) -> None:
    state["new.bias"] = state.pop("backbone.mapping.fc0.bias")


def short(state: dict[str, Any]) -> None:
    state["decoder.net.0.bias"] = state["decoder.net.0.bias"][:1]


def infinite(state: dict[str, Any]) -> None:
    state["decoder.net.0.bias"] = np.full_like(state["decoder.net.0.bias"], np.inf)


def filtered(state: dict[str, Any]) -> None:
    state["backbone.synthesis.b4.resample_filter"] = np.ones((4, 4), np.float32)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (renamed, "backbone.mapping.fc0.bias is missing; new.bias is unknown"),
        (short, r"decoder.net.0.bias is \(1,\) and not \(8,\)"),
        (infinite, "not finite"),
        (filtered, "another filter"),
    ],
)
def test_another_network_is_refused_by_its_first_differences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[dict[str, Any]], None], said: str
) -> None:
    from pipelines.prior.importing import snapshot

    true = snapshot.Snapshot.state

    def changed(self: Any, name: str) -> dict[str, Any]:
        state = true(self, name)
        if name == "G_ema":
            change(state)
        return state

    monkeypatch.setattr(snapshot.Snapshot, "state", changed)
    with pytest.raises(UnusableMaterial, match=said):
        imported(tmp_path)
    assert not list(tmp_path.glob("ffhq.prior*"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"clamp_mode": "relu"}, "another density activation"), ({"box_warp": float("nan")}, "box_warp that is not a number"),
        ({"ray_start": "auto"}, "one automatic ray limit"), ({"depth_resolution": 10**6}, "depth_resolution"),
    ],
)  # fmt: skip
def test_options_that_are_not_understood_are_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UnusableMaterial, match=said):
        imported(tmp_path, **changes)


def test_an_unknown_super_resolution_is_refused(tmp_path: Path) -> None:
    generator, judge = networks(SMALL)
    source = write_snapshot(tmp_path / "network.pkl", generator, judge, trace=tmp_path / "trace")
    source.write_bytes(source.read_bytes().replace(b"SuperresolutionHybrid2X", b"SuperresolutionHybrid9X"))
    with pytest.raises(UnusableMaterial, match="SuperresolutionHybrid9X"):
        import_prior(source, tmp_path / "ffhq.prior", ImportSettings(), Silent())


def test_the_generator_alone(tmp_path: Path) -> None:
    generator, _ = networks(SMALL)
    source = write_snapshot(tmp_path / "network.pkl", generator, None, trace=tmp_path / "trace")
    import_prior(source, tmp_path / "ffhq.prior", ImportSettings(), Silent())
    assert load_prior(str(tmp_path / "ffhq.prior")).discriminator is None
    generator, judge = networks(SMALL)
    source = write_snapshot(tmp_path / "both.pkl", generator, judge, trace=tmp_path / "trace")
    import_prior(source, tmp_path / "alone.prior", ImportSettings(generator_only=True), Silent())
    assert load_prior(str(tmp_path / "alone.prior")).discriminator is None


def test_the_same_import_is_unchanged_and_another_needs_leave(tmp_path: Path) -> None:
    imported(tmp_path)
    source, out = tmp_path / "network.pkl", tmp_path / "ffhq.prior"
    before = (out / "prior.json").read_bytes()
    assert import_prior(source, out, ImportSettings(), Silent()).status == "unchanged"
    stated = ImportSettings(license_of="eg3d-ffhq512-fixed")
    with pytest.raises(SettingError, match="--overwrite"):
        import_prior(source, out, stated, Silent())
    assert (out / "prior.json").read_bytes() == before
    assert import_prior(source, out, stated, Silent(), overwrite=True).status == "done"
    assert read_json(out / "prior.json")["license"] == NVIDIA


@pytest.mark.parametrize(("license", "fits"), [("eg3d-ffhq512", False), (None, False), ("Apache-2.0", True)])
def test_commercial_use_is_refused_where_the_license_forbids_it(tmp_path: Path, license: str | None, fits: bool) -> None:
    source = write_snapshot(tmp_path / "network.pkl", *networks(SMALL), trace=tmp_path / "trace")
    settings = ImportSettings(license_of=license, use="commercial")
    if fits:
        assert import_prior(source, tmp_path / "ffhq.prior", settings, Silent()).status == "done"
        assert import_prior(source, tmp_path / "ffhq.prior", replace(settings, use=None), Silent()).status == "unchanged"
    else:
        for _ in range(2):
            with pytest.raises(UnusableMaterial, match="license is (NVIDIA|unknown)"):
                import_prior(source, tmp_path / "ffhq.prior", settings, Silent())
            import_prior(source, tmp_path / "ffhq.prior", replace(settings, use="research"), Silent())


def test_a_changed_file_of_the_folder_is_noticed(tmp_path: Path) -> None:
    imported(tmp_path)
    path = tmp_path / "ffhq.prior" / "discriminator.safetensors"
    path.write_bytes(path.read_bytes()[:-4] + b"\1\2\3\4")
    with pytest.raises(UnusableMaterial, match="sha256"):
        load_prior(str(tmp_path / "ffhq.prior"))


def test_training_starts_from_the_imported_networks(tmp_path: Path) -> None:
    prior = imported(tmp_path)[1]
    generator, judges, begun = make_networks(prior, TrainSettings(prior=str(prior.folder), paint=0), "cpu")
    truth, judge = networks(SMALL)
    assert same(generator.state_dict(), truth.state_dict()) and same(judges["image"].network.state_dict(), judge.state_dict())
    assert "Generator and discriminator start from the prior ffhq" in begun
    assert generator.mapping(torch.randn(2, SMALL.z_dim)).shape == (2, generator.latent.num_ws, 16)
    assert generator.config.volume.limits == "box"


def test_an_imported_prior_is_fine_tuned(tmp_path: Path) -> None:
    from pipelines.train.context import Batches
    from pipelines.train.frames import load_frames
    from pipelines.train.steps import train_step
    from pipelines.train.trainer import make_trainer
    from tests.worlds import quick_view, write_solid_capture

    prior = imported(tmp_path)[1]
    settings = TrainSettings(prior=str(prior.folder))
    generator, discriminator, _ = make_networks(prior, settings, "cpu")
    dataset = quick_view(write_solid_capture(tmp_path / "a.capture"))
    frames = load_frames(dataset, "train", generator.image_size, prior.landmarks, "cpu")
    trainer = make_trainer(generator, discriminator, frames, settings.finetune, 0)
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    figures = train_step(trainer, Batches(frames, generator, settings.finetune), settings.finetune, steps=4, seed=0)
    assert all(np.isfinite(value) for value in figures.values())
    after = generator.state_dict()
    moved = [name for name in before if not torch.equal(before[name], after[name])]
    assert any(name.startswith("backbone.synthesis") for name in moved)
    assert all((after[name] - before[name]).abs().max() < 0.1 for name in moved)
