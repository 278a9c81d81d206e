"""Advice from the figures of a capture check: what stops the capture, what to film again, what is worth knowing."""

from collections.abc import Sequence
from typing import Any

from pipelines.capture.frames.scan import FrameSettings
from pipelines.face.coverage import Coverage, reach_deg
from pipelines.face.movements import Filmed, missing_sentence

LEAST_S, LEAST_EXPRESSION_S = 0.5, 0.3
"""Seconds in a bin of yaw, and of an expression, that count as seen."""
COVERED = 0.08
"""Share of the looks in which something is before the face."""
COLORLESS = 2.5
"""Mean difference of the largest and the smallest color of a face's pixels."""
WISHED = {"mouth open": ("mouth open",), "eyes closed": ("left eye shut", "right eye shut"), "brows up": ("brows up",)}
"""Movements that the advice about an expression asks for."""
Advice = dict[str, str]
"""`about`, `say`, and `weight`: `stop` (unusable), `film` (again, or more) or `know` (fine as it is)."""


def advice_on(figures: dict[str, Any], coverage: Coverage, table: Sequence[Filmed], settings: FrameSettings) -> list[Advice]:
    """All advice, or only why the footage cannot be used at all."""
    wishes = _faces(coverage)
    return _stops(figures, settings) or [
        *_craft(figures), *_views(coverage), *wishes, *_known(coverage, figures), *_movements(table, wishes),
    ]  # fmt: skip


def _stops(figures: dict[str, Any], settings: FrameSettings) -> list[Advice]:
    """Why the footage cannot be used at all."""
    least_s, is_film = settings.min_span_s, not figures.get("photos")
    checks = [
        (
            figures["faces"] == 0, "face",
            "No face was found; film one person from the chest up, facing the camera, in even light, for 10 to 30 s.",
        ),
        (
            is_film and 0 < figures["face_s"] < least_s, "length",
            f"The face is in view for only {figures['face_s']:.1f} s; at least {least_s:g} s are needed; film 10 to 30 s.",
        ),
        (
            0 < figures.get("face_px", 0) < settings.min_face_px, "size",
            f"The face is {figures.get('face_px', 0):.0f} pixels high; come closer, until head and shoulders fill the picture.",
        ),
        (
            is_film and figures["face_s"] >= least_s and figures["face_s"] * figures["rate_hz"] < settings.min_frames, "length",
            f"The face is in view in about {figures['face_s'] * figures['rate_hz']:.0f} frames; at least "
            f"{settings.min_frames} are needed; film 10 to 30 s.",
        ),
        (
            not is_film and 0 < figures["faces"] < settings.min_photos, "length",
            f"A face is found in {figures['faces']} of {figures['looks']} photos; at least {settings.min_photos} are needed: "
            "take 20 to 60 of one person from all sides.",
        ),
        (
            figures.get("blurred_share", 0) > 0.8 and figures.get("hand_share", 0) <= COVERED, "blur",
            "Nearly every frame is blurred; wipe the lens, tap the face to focus, film in brighter light and move slowly.",
        ),
    ]  # fmt: skip
    return [_advice(about, say, "stop") for wrong, about, say in checks if wrong]


def _craft(figures: dict[str, Any]) -> list[Advice]:
    """What is wrong with the pictures."""
    share = {name: f"{100 * figures[name]:.0f} %" for name in ("blurred_share", "cut_share", "hand_share", "others_share")}
    checks = [
        (
            figures["face_s"] < 8 and not figures.get("photos"), "length",
            f"The face is in view for only {figures['face_s']:.0f} s; film 10 to 30 s.",
        ),
        (
            figures["face_px"] < 160, "size",
            f"The face is only {figures['face_px']:.0f} pixels high; come closer, head and shoulders should fill the picture.",
        ),
        (
            figures["blurred_share"] > 0.15, "blur",
            f"{share['blurred_share']} of the frames are blurred; move more slowly, film in brighter light.",
        ),
        (figures["brightness"] < 60, "light", "The face is dark; turn toward a window or switch more lights on."),
        (
            figures["brightness"] > 215 or figures["clipped_share"] > 0.15, "light",
            "The face is overexposed; move away from direct light or tap the face to set the exposure.",
        ),
        (
            figures["exposure_drift"] > 0.3, "exposure",
            f"The light on the face changes by {100 * figures['exposure_drift']:.0f} %; lock the exposure (hold a finger on "
            "the face in the camera app) and keep the lights still.",
        ),
        (
            figures["cut_share"] > 0.1, "frame",
            f"In {share['cut_share']} of the frames the face is cut off; keep it in the middle.",
        ),
        (
            figures.get("stereo_share", 0) > 0.5, "stereo",
            "The picture shows the same face twice, as stereo (spatial) video does; export one eye's picture alone.",
        ),
        (
            figures.get("color", 255) < COLORLESS, "color",
            "The film has no color (a night or infrared camera?); an avatar of it would be gray: film in daylight.",
        ),
        (
            figures["others_share"] > 0.03 and figures.get("stereo_share", 0) <= 0.5, "people",
            f"A second face is in view in {share['others_share']} of the frames; film one person alone.",
        ),
        (
            figures["hand_share"] > COVERED, "occlusion",
            f"A hand or something else covers the face in {share['hand_share']} of the frames; keep hands and "
            "hair away from it.",
        ),
    ]  # fmt: skip
    return [_advice(about, say, "film") for wrong, about, say in checks if wrong]


def _views(coverage: Coverage) -> list[Advice]:
    """Which sides are missing: turning to the person's left shows its right side, where yaw is negative."""
    return [
        _advice(
            f"view {turn}",
            f"Turn {turn} past 60 degrees for 5 s (the nose toward the picture's {edge} edge), or walk the camera around to "
            "that side.", "film",
        )
        for side, turn, edge in ((-1, "left", "right"), (1, "right", "left"))
        if reach_deg(coverage, side, LEAST_S) < 90
    ]  # fmt: skip


def _faces(coverage: Coverage) -> list[Advice]:
    wishes = {
        "mouth open": "Open your mouth wide for 2 s, facing the camera.",
        "teeth": "Show your teeth for 2 s, facing the camera.",
        "eyes closed": "Close your eyes for 2 s, facing the camera.",
        "brows up": "Raise your brows for 2 s, facing the camera.",
    }
    return [_advice(name, say, "film") for name, say in wishes.items() if coverage.expressions[name].sum() < LEAST_EXPRESSION_S]


def _movements(table: Sequence[Filmed], wishes: list[Advice]) -> list[Advice]:
    """The movements that no look shows, but for those that are wished for anyway."""
    said = missing_sentence(table, without=[name for wish in wishes for name in WISHED.get(wish["about"], ())])
    return [_advice("movements", said, "know")] if said else []


def _known(coverage: Coverage, figures: dict[str, Any]) -> list[Advice]:
    """What is fine and yet worth knowing."""
    back = coverage.seconds[[0, 1, 10, 11]].sum()
    lost = figures["looks"] - figures["faces"] - round(float(coverage.inferred.sum() / figures["face_s"] * figures["faces"]))
    checks = [
        (back < LEAST_S, "back", "The back of the head was not filmed and will be guessed; turn around once if it matters."),
        (
            lost > 0.2 * figures["looks"], "face",
            f"No face is visible for {100 * lost / figures['looks']:.0f} % of the time; those frames will be left out.",
        ),
    ]  # fmt: skip
    return [_advice(about, say, "know") for wrong, about, say in checks if wrong]


def known(about: str, say: str) -> Advice:
    """Advice of the kind that needs nothing done."""
    return _advice(about, say, "know")


def _advice(about: str, say: str, weight: str) -> Advice:
    return {"about": about, "say": say, "weight": weight}
