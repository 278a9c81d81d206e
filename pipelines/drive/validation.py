"""What is known to be wrong before a drive begins, and the files that its settings name."""

from pathlib import Path

from pipelines.artifacts.avatar_record import insist_whole, load_avatar_record
from pipelines.artifacts.kinds import insist_kind
from pipelines.avatar.background import BLUR, OWN, TRANSPARENT, check_backdrop, is_film
from pipelines.core.errors import SettingError, UnusableMaterial
from pipelines.drive.motion.driver_files import Driver, check_space, open_driver
from pipelines.drive.motion.view_path import VIEWS, check_view
from pipelines.drive.render.output import STILL, check_output, make_background
from pipelines.drive.render.staging import canvas_of
from pipelines.drive.settings import DriveSettings
from pipelines.media.open import open_container


def check(avatar: Path, video: Path, out: Path, settings: DriveSettings) -> None:
    """Raise what is known to be wrong before any work is done; `settings` are settled."""
    record = load_avatar_record(avatar)
    insist_whole(avatar, record)
    check_output(out, settings.background, canvas_of(avatar, record.image_size, settings).shape)
    check_view(settings.view, settings.views)
    driver = open_driver(video, settings.track)
    if out.suffix.lower() == STILL and driver.count > 1:
        raise SettingError(
            f"{out} is one picture, but {video.name} has {driver.count} frames; give a photo as the driver, or name a folder "
            "(-o stills)."
        )
    check_space(driver, record.expression.space)
    check_backdrop(settings.background, video, driver.video is not None)
    if settings.background not in (BLUR, OWN) and not is_film(settings.background):
        make_background(settings.background, (16, 16))
    if settings.side_by_side and driver.video is None:
        raise SettingError(f"--side-by-side needs the driver's pictures, and {video.name} has none.")
    if settings.retarget.neutral_s is not None and not 0 <= settings.retarget.neutral_s <= driver.length_s:
        raise SettingError(f"--neutral {settings.retarget.neutral_s:g}: the driver is {driver.length_s:.2f} s long.")
    sound_of(driver, settings.sound)


def insist_on_avatar(avatar: Path) -> None:
    """UnusableMaterial where there is no folder, or it is none of an avatar."""
    insist_kind(avatar, "avatar")
    if not avatar.is_dir():
        raise UnusableMaterial(f"{avatar} is not a folder; make an avatar with `avatarcli train CAPTURE -o NAME.avatar`.")


def named_files(settings: DriveSettings) -> dict[str, Path]:
    """The files that settings name; their content is part of what was asked."""
    asked = {name: getattr(settings, name) for name in ("background", "sound", "view")} | {"adapter": settings.track.adapter}
    plain = {"driver", "none", BLUR, OWN, TRANSPARENT, *VIEWS, None}
    return {name: Path(text) for name, text in asked.items() if text and text not in plain and Path(text).is_file()}


def sound_of(driver: Driver, sound: str) -> Path | None:
    """The file whose sound the result gets; SettingError when a named one has none."""
    if sound == "none":
        return None
    if sound == "driver":
        return driver.sound
    if not Path(sound).is_file():
        raise SettingError(f"sound {sound!r} is not a file; give driver, none or the path of a file.")
    with open_container(Path(sound)) as container:
        if not container.streams.audio:
            raise SettingError(f"{sound} has no sound; give driver, none or another file.")
    return Path(sound)
