"""From an avatar and a driver's video to a driven video."""

from pathlib import Path
from typing import Any

from pipelines.artifacts.avatar_record import load_avatar_record
from pipelines.core.errors import SettingError, UnusableMaterial
from pipelines.core.stage import Progress, Report, is_file_output, run_stage, side_stem, step
from pipelines.drive.settings import DriveSettings, GuardSettings, RetargetSettings, TrackSettings, ViewSettings
from pipelines.provenance import Provenance, ProvenanceSettings, sidecars

__all__ = [
    "DriveSettings", "GuardSettings", "ProvenanceSettings", "RetargetSettings", "TrackSettings", "ViewSettings", "drive",
    "drive_all",
]  # fmt: skip
VERSION = 4


def drive(
    avatar: Path, video: Path, out: Path, settings: DriveSettings, progress: Progress, device: str = "cpu",
    overwrite: bool = False,
) -> Report:  # fmt: skip
    """Make `out` (a video, or a folder of PNG files when the name has no suffix) show the avatar moving as in `video`.

    `video` is any driver: a video, a Live Link Face CSV, a track, coefficients. Beside `out` lie its record, a CSV of one row a
    frame and a preview. UnusableMaterial when the driver shows hardly a face, SettingError when `out` cannot hold what is
    asked.
    """
    from pipelines.drive.motion.driver_files import film_beside
    from pipelines.drive.recipe import Recipe
    from pipelines.drive.render.staging import settled
    from pipelines.drive.validation import check, insist_on_avatar, named_files

    insist_on_avatar(avatar)
    settings = settled(avatar, settings)
    check(avatar, video, out, settings)
    Provenance(avatar, settings.provenance).check()
    if None in load_avatar_record(avatar).weights.values():
        progress.warn(
            f"{avatar.name} was made before avatars recorded checksums of their weights; changes to them go unnoticed."
        )

    def work(partial: Path) -> dict[str, Any]:
        recipe = Recipe(avatar, video, out.name, partial, settings, progress, device)
        step(partial, "sound", recipe.sound)
        step(partial, "track", recipe.track)
        step(partial, "retarget", recipe.retarget)
        step(partial, "render", recipe.render)
        step(partial, "join", recipe.join)
        step(partial, "self_check", recipe.self_check)
        step(partial, "provenance", recipe.sign)
        return recipe.finish()

    inputs = {"avatar": avatar, "driver": video, "record": avatar / "avatar.json", **named_files(settings)}
    inputs |= {"film": film} if settings.sound == "driver" and (film := film_beside(video)) else {}
    also = (
        [f"{side_stem(out)}.csv", f"{side_stem(out)}.preview.jpg", *sidecars(out, settings.provenance)]
        if is_file_output(out)
        else []
    )
    return run_stage(
        "drive", version=VERSION, inputs=inputs, settings=settings, out=out, work=work, overwrite=overwrite, beside=also
    )


def drive_all(
    avatar: Path, folder: Path, out: Path, settings: DriveSettings, progress: Progress, device: str = "cpu",
    overwrite: bool = False,
) -> list[Report]:  # fmt: skip
    """A video `out/NAME.mp4` for every driver in `folder`; those that cannot be used are said at the end."""
    from pipelines.drive.motion.driver_files import drivers_in

    if is_file_output(out):
        raise SettingError(f"{folder} holds several drivers; give a folder with -o, not {out.name}.")
    found, reports, failed = list(drivers_in(folder)), [], []
    if not found:
        raise UnusableMaterial(f"{folder} holds no driver: no video, .csv or .track.")
    for driver in found:
        try:
            reports.append(drive(avatar, driver, out / f"{driver.stem}.mp4", settings, progress, device, overwrite))
        except UnusableMaterial as error:
            failed.append(driver.name)
            progress.warn(str(error))
    if failed:
        raise UnusableMaterial(f"{len(failed)} of {len(found)} drivers cannot be used: {', '.join(failed)}.")
    return reports
