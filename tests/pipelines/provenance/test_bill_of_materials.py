"""The bill of materials: complete, from records alone, and honest where they say nothing."""

from pathlib import Path
from typing import Any

import pytest

from pipelines.assets.registry import NVIDIA, UNKNOWN
from pipelines.core.errors import UnusableMaterial
from pipelines.core.files import read_json, write_json
from pipelines.provenance import bill_of_materials
from pipelines.provenance.bill_of_materials import Item, bill, ffmpeg_item, ffmpeg_license, forbidden, package_license
from tests.tiny import write_tiny_avatar


@pytest.fixture
def avatar(tmp_path: Path) -> Path:
    return write_tiny_avatar(tmp_path / "tiny.avatar")


def change(avatar: Path, part: str, **values: Any) -> None:
    record = read_json(avatar / "avatar.json")
    write_json(avatar / "avatar.json", record | {part: record[part] | values})


def of(items: list[Item], kind: str) -> dict[str, Item]:
    return {item.name: item for item in items if item.kind == kind}


def test_a_whole_bill(avatar: Path) -> None:
    change(avatar, "capture", mattes="mediapipe", cameras="colmap_scene")
    items = bill(avatar)
    assert of(items, "prior")["quick"].license == "Apache-2.0"
    models = of(items, "model")
    assert set(models) == {
        "face_detection_short_range.tflite", "face_detection_full_range_sparse.tflite", "face_landmark_with_attention.tflite",
        "selfie_segmentation.tflite",
    }  # fmt: skip
    assert all(item.sha256 and len(item.sha256) == 64 for item in models.values())
    tools = of(items, "tool")
    assert tools["COLMAP (pycolmap)"].role == "cameras of this capture"
    packages = of(items, "package")
    assert packages["torch"].license.startswith(("BSD", "Apache")) and packages["numpy"].version
    assert {"mediapipe", "typer", "safetensors", "protobuf"} <= set(packages)
    assert forbidden(items, "commercial") == [] and forbidden(items, "research") == []


def test_what_records_do_not_say_is_unknown_and_forbids(avatar: Path) -> None:
    change(avatar, "prior", sha256="0" * 64)
    items = bill(avatar)
    assert of(items, "prior")["quick"].license == UNKNOWN
    assert "mattes: unknown" in of(items, "model")
    assert {item.name for item in forbidden(items, "commercial")} == {"quick", "mattes: unknown"}


def test_a_recorded_prior_license_counts(avatar: Path) -> None:
    change(avatar, "prior", name="ffhq", license=NVIDIA, origin="Imported.")
    item = of(bill(avatar), "prior")["ffhq"]
    assert (item.license, item.role, item.commercial) == (NVIDIA, "Imported.", False)


@pytest.mark.parametrize(("mattes", "free"), [("u2net", True), ("u2net_custom", False), ("mediapipe", True)])
def test_models_of_the_mattes(avatar: Path, mattes: str, free: bool) -> None:
    change(avatar, "capture", mattes=mattes, cameras="landmark_pose")
    items = bill(avatar)
    assert (not forbidden(items, "commercial")) is free
    assert ("selfie_segmentation.tflite" in of(items, "model")) is (mattes == "mediapipe")
    assert "not used for this capture" in of(items, "tool")["COLMAP (pycolmap)"].role


def test_the_capture_beside_it_is_asked(avatar: Path) -> None:
    folder = avatar.parent / "tiny.capture"
    write_json(
        folder / "capture.json",
        {"schema": 1, "settings": {"mattes": {"model": "birefnet-portrait"}}, "camera": {"method": "colmap_scene"}},
    )
    write_json(folder / "stage.json", {"fingerprint": "0" * 64})
    assert of(bill(avatar), "model")["birefnet-portrait"].license == "MIT"
    write_json(folder / "stage.json", {"fingerprint": "9" * 64})
    assert "mattes: unknown" in of(bill(avatar), "model")


def test_blendshapes_name_their_model(avatar: Path) -> None:
    change(avatar, "expression", space="blendshapes")
    assert of(bill(avatar), "model")["face_landmarker.task"].sha256


def test_no_avatar_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UnusableMaterial, match="avatar.json is missing"):
        bill(tmp_path)


@pytest.mark.parametrize(
    ("switches", "license"),
    [
        ("--enable-gpl --enable-version3", "GPL-3.0-or-later"), ("--enable-gpl", "GPL-2.0-or-later"),
        ("--enable-version3", "LGPL-3.0-or-later"), ("--enable-libx", "LGPL-2.1-or-later"), ("", UNKNOWN),
        ("--enable-nonfree --enable-gpl", "built with --enable-nonfree: may not be passed on"),
    ],
)  # fmt: skip
def test_ffmpegs_license_follows_its_switches(switches: str, license: str) -> None:
    assert ffmpeg_license(switches) == license


def test_the_ffmpeg_that_is_here() -> None:
    item = ffmpeg_item()
    assert item.version and item.sha256 and "GPL-" in item.license
    assert "separate program" in item.role


class Metadata(dict[str, Any]):
    def get_all(self, name: str) -> Any:
        return self.get(name)


@pytest.mark.parametrize(
    ("said", "license"),
    [
        ({"License-Expression": "MIT", "License": "other"}, "MIT"),
        ({"Classifier": ["Topic :: X", "License :: OSI Approved", "License :: OSI Approved :: MIT License"]}, "MIT License"),
        ({"License": "BSD"}, "BSD"), ({"License": "Copyright\nlong text"}, UNKNOWN), ({"License": "UNKNOWN"}, UNKNOWN),
        ({}, UNKNOWN),
    ],
)  # fmt: skip
def test_packages_licenses_from_their_metadata(monkeypatch: pytest.MonkeyPatch, said: dict[str, Any], license: str) -> None:
    class Distribution:
        metadata = Metadata(said)

    monkeypatch.setattr(bill_of_materials.metadata, "distribution", lambda name: Distribution)
    assert package_license("x") == license
    kept = Item(kind="package", name="x", version="1", license=license, role="")
    assert kept.commercial


def test_filmed_frames_in_the_avatar_are_named(avatar: Path) -> None:
    assert not of(bill(avatar), "footage")
    write_json(avatar / "avatar.json", read_json(avatar / "avatar.json") | {"filmed_frames": 120})
    (item,) = of(bill(avatar), "footage").values()
    assert "120 frames of the head" in item.role and item.remark == "no consent is on record" and item.commercial
