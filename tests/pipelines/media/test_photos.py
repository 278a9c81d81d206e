"""Photos as phones and cameras store them: HEIC in tiles, wide colors, print colors, deep and transparent pictures."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from pipelines.capture.footage.source import open_footage
from pipelines.capture.mattes.person import REGION_PX, given_matte
from pipelines.core.errors import UnusableMaterial
from pipelines.core.files import write_image
from pipelines.media import heic, photos
from pipelines.media.video import probe, read_frames
from tests.heic import write_heic

ORIENTATION, FOCAL_35MM, EXIF_IFD = 0x0112, 0xA405, 0x8769


def scene(width: int = 200, height: int = 150) -> np.ndarray:
    """Every place has a color of its own."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, np.full_like(x, 90)], 2).astype(np.uint8)


def exif(orientation: int = 1, focal_35mm: int = 26) -> bytes:
    """The TIFF part."""
    known = Image.Exif()
    known[ORIENTATION] = orientation
    known.get_ifd(EXIF_IFD)[FOCAL_35MM] = focal_35mm
    return known.tobytes().removeprefix(b"Exif\0\0")


@pytest.mark.parametrize("tile_px", [0, 64])
@pytest.mark.parametrize("turns", [0, 1, 3])
def test_heic_is_whole_and_upright(tmp_path: Path, tile_px: int, turns: int) -> None:
    """EXIF says how the phone was held too, but the file's own turn counts alone."""
    path = write_heic(tmp_path / "IMG_1.HEIC", scene(), tile_px=tile_px, turns=turns, exif=exif(6))
    image = photos.read(path)
    assert image.shape == np.rot90(scene(), turns).shape
    assert np.abs(image.astype(int) - np.rot90(scene(), turns)).mean() < 2


def test_a_folder_of_heic_has_their_focal_length(tmp_path: Path) -> None:
    for number in range(2):
        write_heic(tmp_path / f"IMG_{number}.HEIC", scene(), tile_px=64, exif=exif())
    (tmp_path / "IMG_0.MOV").write_bytes(b"the moving part")
    footage = open_footage([tmp_path], 1920)
    assert footage.kind == "photos" and footage.info.size == (200, 150)
    assert footage.info.focal_px == pytest.approx(26 / 43.27 * np.hypot(200, 150), rel=0.01)
    assert len(footage.remarks) == 1 and "IMG_0.MOV are clips (or the moving part of live photos)" in footage.remarks[0]


def test_a_single_tile_is_never_taken_for_the_photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_heic(tmp_path / "IMG_1.HEIC", scene(), tile_px=64)
    real = subprocess.run

    def old(command: list[str], **options: object) -> object:
        """An ffmpeg that knows no grids takes the first stream it finds."""
        at = command.index(f"file:{path}") + 1
        return real([*command[:at], "-map", "0:0", *command[at:]], **options)  # type: ignore[call-overload]

    monkeypatch.setattr("pipelines.core.children.subprocess.run", old)
    with pytest.raises(UnusableMaterial, match="200x150, but only 64x64 of it could be decoded; export it as JPEG"):
        photos.read(path)
    with pytest.raises(UnusableMaterial, match="none of the photos in .*: .*IMG_1.HEIC is a picture of 200x150"):
        open_footage([tmp_path], 1920)


def test_a_heic_that_says_another_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnusableMaterial, match="400x300, but only 200x150"):
        photos.read(write_heic(tmp_path / "a.heic", scene(), claimed=(400, 300)))


@pytest.mark.parametrize("share", [0.01, 0.2, 0.6])
def test_a_heic_that_was_cut_off_is_one_sentence(tmp_path: Path, share: float) -> None:
    path = write_heic(tmp_path / "a.heic", scene(), tile_px=64)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(UnusableMaterial, match=r"a.heic .*copy it again"):
        photos.read(path)


def test_misnamed_photos_are_known_by_their_content(tmp_path: Path) -> None:
    inside = write_heic(tmp_path / "a.heic", scene()).rename(tmp_path / "a.jpg")
    Image.fromarray(scene()).save(tmp_path / "b.jpg", quality=95)
    outside = (tmp_path / "b.jpg").rename(tmp_path / "b.heic")
    for path in (inside, outside):
        assert np.abs(photos.read(path).astype(int) - scene()).mean() < 3
    assert heic.is_heic(inside) and not heic.is_heic(outside)


def test_a_photo_is_a_film_of_one_picture(tmp_path: Path) -> None:
    """The whole of it; its tiles would be shown one by one."""
    path = write_heic(tmp_path / "a.heic", scene(), tile_px=64)
    info, (frame,) = probe(path), read_frames(path)
    assert info.size == (200, 150) and (info.frames, info.has_audio) == (1, False)
    assert frame.image.shape == (150, 200, 3)


def test_the_profile_of_a_heic_is_obeyed(tmp_path: Path) -> None:
    """sRGB with the primaries red and green exchanged."""
    usual = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    red, green, swapped = usual.index(b"rXYZ") + 4, usual.index(b"gXYZ") + 4, bytearray(usual)
    swapped[red : red + 8], swapped[green : green + 8] = usual[green : green + 8], usual[red : red + 8]
    path = write_heic(tmp_path / "a.heic", scene(), profile=bytes(swapped))
    assert np.abs(photos.read(path).astype(int) - scene()[..., [1, 0, 2]]).mean() < 4


def test_print_colors_and_deep_colors(tmp_path: Path) -> None:
    """CMYK as print shops give it, and 16 bits a color, look as the picture they were made of."""
    import cv2

    flat = np.full((60, 80, 3), (200, 120, 60), np.uint8)
    Image.fromarray(flat).convert("CMYK").save(tmp_path / "print.jpg", quality=95)
    cv2.imwrite(str(tmp_path / "deep.png"), flat[..., ::-1].astype(np.uint16) * 257)
    cv2.imwrite(str(tmp_path / "deep.tif"), flat[..., ::-1].astype(np.uint16) * 257)
    for name in ("print.jpg", "deep.png", "deep.tif"):
        assert np.abs(photos.read(tmp_path / name).astype(int) - flat).max() <= 3, name


@pytest.mark.filterwarnings("error")
def test_photos_of_108_million_pixels_and_portraits_of_two_pictures(tmp_path: Path) -> None:
    """The first are halved while they are decoded, but not where a camera refers to the stored size; of the others the first
    picture counts.
    """
    Image.new("L", (12000, 9000), 90).save(tmp_path / "large.jpg")
    assert photos.read(tmp_path / "large.jpg").shape == (4500, 6000, 3)
    with photos.stored(tmp_path / "large.jpg") as image:
        assert image.size == (12000, 9000)
    known = Image.Exif()
    known[ORIENTATION] = 6
    both = [Image.fromarray(scene()), Image.fromarray(scene(40, 30))]
    both[0].save(tmp_path / "a.mpo", save_all=True, append_images=both[1:], exif=known, quality=95)
    image = photos.read((tmp_path / "a.mpo").rename(tmp_path / "portrait.jpg"))
    assert image.shape == (200, 150, 3) and np.abs(image.astype(int) - np.rot90(scene(), -1)).mean() < 3


def cut_out(side: int = 160) -> tuple[np.ndarray, np.ndarray]:
    """A picture and an alpha that shows its middle."""
    y, x = np.mgrid[:side, :side]
    return scene(side, side), np.where(np.hypot(x - side / 2, y - side / 2) < side / 3, 255, 0).astype(np.uint8)


def test_an_alpha_is_kept_apart_and_lies_as_the_picture_does(tmp_path: Path) -> None:
    image, alpha = cut_out()
    alpha[:, :20] = 255
    known = Image.Exif()
    known[ORIENTATION] = 6
    Image.fromarray(np.dstack([image, alpha])[:100]).save(tmp_path / "a.png", exif=known)
    Image.fromarray(image[:100]).save(tmp_path / "b.png")
    Image.fromarray(np.dstack([image[:100], np.full((100, 160), 255, np.uint8)])).save(tmp_path / "c.png")
    footage = open_footage([tmp_path], 1920)
    found = footage.alpha(0)
    assert found is not None and footage.info.size == (160, 160) and found.shape == (160, 160)
    assert np.array_equal(found[:, 30:130], np.rot90(alpha[:100], -1)) and not found[:, :30].any()
    assert footage.alpha(1) is None and footage.alpha(2) is None


def test_an_alpha_that_cuts_out_a_person_is_the_matte(tmp_path: Path) -> None:
    _, alpha = cut_out()
    corners = np.full((160, 160), 255, np.uint8)
    corners[:6, :6] = 0
    for name, values in (("person", alpha), ("corners", corners), ("hole", 255 - alpha)):
        write_image(tmp_path / f"{name}.png", values)
    found = given_matte(tmp_path / "person.png", (0.0, 0.0, 160.0))
    assert found is not None and found.shape == (REGION_PX, REGION_PX) and abs(float(found.mean()) - alpha.mean()) < 1
    outside = given_matte(tmp_path / "person.png", (-40.0, -40.0, 240.0))
    assert outside is not None and outside[:80].max() == 0
    for name in ("corners", "hole", "none"):
        assert given_matte(tmp_path / f"{name}.png", (0.0, 0.0, 160.0)) is None
