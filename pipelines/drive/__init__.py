"""From an avatar and a driver's video to a driven video."""

from pathlib import Path
from typing import Any

from pipelines.drive.settings import DriveSettings, RetargetSettings, TrackSettings, ViewSettings
from pipelines.stage import Progress, Report, run_stage, step

__all__ = ["DriveSettings", "RetargetSettings", "TrackSettings", "ViewSettings", "drive"]
VERSION = 1


def drive(
    avatar: Path, video: Path, out: Path, settings: DriveSettings, progress: Progress, device: str = "cpu",
    overwrite: bool = False,
) -> Report:  # fmt: skip
    """Make `out` (a video, or a folder of PNG files when the name has no suffix) show the avatar moving as in `video`.

    UnusableMaterial when the driver is no video or shows hardly a face, SettingError when `out` cannot hold what is asked.
    """
    from pipelines.drive.recipe import Recipe, check

    check(avatar, video, out, settings)
    image = {"background": Path(settings.background)} if Path(settings.background).is_file() else {}

    def work(partial: Path) -> dict[str, Any]:
        recipe = Recipe(avatar, video, out.name, partial, settings, progress, device)
        step(partial, "track", recipe.track)
        step(partial, "retarget", recipe.retarget)
        step(partial, "render", recipe.render)
        step(partial, "join", recipe.join)
        step(partial, "self_check", recipe.self_check)
        return recipe.finish()

    inputs = {"avatar": avatar, "driver": video, **image}
    return run_stage("drive", version=VERSION, inputs=inputs, settings=settings, out=out, work=work, overwrite=overwrite)
