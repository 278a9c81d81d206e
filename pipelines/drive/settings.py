"""What can be chosen when an avatar is driven."""

from dataclasses import dataclass, field
from typing import Literal

from pipelines.avatar.canvas import Aspect, Shown
from pipelines.provenance import ProvenanceSettings


@dataclass(frozen=True, kw_only=True)
class TrackSettings:
    """Reading the driver."""

    rate_hz: float | None = None
    """Frames a second of the result; not given: the driver's. Where a table's rows fit this as well as another, it decides."""
    timecode_hz: float | None = None
    """What the timecodes of a Live Link Face CSV count; found in the file when not given."""
    head_signs: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Factors of a CSV's HeadYaw, HeadPitch and HeadRoll: -1 where a tool counts the other way round, 0.01745 for degrees."""
    adapter: str | None = None
    """File of the matrix that turns coefficients (FLAME, BFM: .npz, .npy) into expressions (drive.motion.coefficients)."""
    coefficients_hz: float | None = None
    """Rate of coefficients whose file has no `fps`."""

    focal: float = 1.2
    """Guessed focal length over the driver's longer side; a phone's front camera has about 1.0 to 1.3."""
    longest_side_px: int = 1280
    """Larger drivers are scaled down before tracking."""
    chunk: int = 240
    """Frames between two files; a killed run repeats at most this many. Every chunk starts a fresh tracker."""
    bridge_s: float = 0.5
    """A face lost for no longer than this is interpolated; longer losses hold the last pose and expression."""
    turned_deg: float = 42.0
    """Expressions seen under a larger turn of the head count as lost: the points of the far side are guesses. As the tracker
    reads it; a real turn of 50 to 75 degrees is read as 42 to 50."""


@dataclass(frozen=True, kw_only=True)
class RetargetSettings:
    """From the driver's expression to the avatar's."""

    mouth: float = 1.0
    """Strength of jaw and lips around the avatar's rest; 0 keeps them at rest."""
    lids: float = 1.0
    """Strength of blinks and wide eyes."""
    brows: float = 1.0
    """Strength of the brows."""
    gaze: float = 1.0
    """Strength of the direction of the eyes."""
    match: float = 0.7
    """How far a driver's smaller range is stretched to the avatar's: 0 not at all, 1 fully. A larger one always shrinks."""
    most: float = 2.0
    """Largest factor of that stretching."""
    overshoot: float = 0.1
    """Expressions may leave the avatar's range by this share of it; what lies beyond is clamped and counted."""
    aim: float = 1.0
    """How far the expression map's latents are corrected by what the tracker reads off the avatar's renders (see
    pipelines.avatar.latent_correction); 0: the map alone."""
    neutral_s: float | None = None
    """Time at which the driver's face is at rest; found automatically when not given."""
    smooth_hz: float = 1.5
    """Cutoff of the One-Euro filter for a face at rest."""
    smooth_speed: float = 3.0
    """How fast the cutoff opens with motion (Hz per range and second): higher is livelier."""


@dataclass(frozen=True, kw_only=True)
class GuardSettings:
    """What happens to expressions that were never captured; distances count from 0, 1 being the rim of the captured ones."""

    fade: bool = True
    """Draw far expressions back towards the captured ones."""
    fade_from: float = 1.0
    """Distance from which on they are drawn back."""
    fade_to: float = 1.4
    """Distance that they approach and never pass."""
    flag_from: float = 1.2
    """Distance from which on a frame is flagged."""


@dataclass(frozen=True, kw_only=True)
class ViewSettings:
    """Where the avatar is seen from."""

    fov_deg: float | None = None
    """Field of view across the picture; the camera comes nearer or goes back so that the head keeps its size."""
    zoom: float = 1.0
    """Enlargement of the picture around its middle."""
    calm: bool = True
    """With `--view still` only the face moves; hair, ears and neck are painted once."""

    turn: float = 1.0
    """Strength of the driver's head rotation around its own mean."""
    shift: float = 0.6
    """Strength of the driver's head translation around its own mean."""
    turn_limit: Literal["auto", "none"] | float = "auto"
    """Degrees that the driver's rotations approach and never pass. `auto`: 35, and 15 beyond what the capture showed (see
    pipelines.avatar.view_limits); `none`: they are followed wherever they go."""
    shift_limit: float = 0.12
    """The same for translations, in head units."""
    smooth_hz: float = 1.5
    """Cutoff of the One-Euro filter on the head's pose at rest."""
    orbit_deg: float = 25.0
    """Largest angle of `--view orbit`."""
    orbit_period_s: float = 6.0
    """Time of one sway there and back."""
    turn_period_s: float = 8.0
    """Time of one round of `--view turntable`."""


@dataclass(frozen=True, kw_only=True)
class LiveSettings:
    """Driving as it happens."""

    settle_s: float = 1.0
    """The driver's resting face and place are taken from this first time with a face; until then the avatar rests."""
    seconds: float | None = None
    """Ends after this time; a file ends by itself, a camera with Ctrl-C."""
    rate_hz: float = 30.0
    """Asked of a camera."""
    camera_px: int = 640
    """Width asked of a camera."""
    range_s: float = 60.0
    """How long the driver's range is remembered."""


@dataclass(frozen=True, kw_only=True)
class DriveSettings:
    """A driven video."""

    view: str = "driver"
    """Head motion of the `driver`; `still`; `orbit`, a sway; `turntable`, all around; or the CSV of a camera path, see
    pipelines.drive.motion.view_path."""
    background: str = "auto"
    """`own`, the person's own scene as it was filmed; a color #rrggbb, the path of an image or of a video, `blur` (the driver's
    picture), or `transparent` (.webm, .mov or a folder of PNG files). `auto`: own, and #808080 of an avatar without a scene."""
    frame: Shown = "head"
    """What is shown: the `head`, the `bust` as far as it was filmed, or the film's whole frame (`source`)."""
    aspect: Aspect | None = None
    """Width to height of the picture: 1:1, 4:5, 9:16 or 16:9; not given: 1:1, with `frame=source` the film's."""
    sound: str = "driver"
    """The `driver`'s, `none`, or the path of a file that starts with the first frame."""
    side_by_side: bool = False
    """The driver at the left, the avatar at the right, and below them the strip of the range guard."""
    references: Literal["auto", "none"] = "auto"
    """The person's filmed frames: laid over the render where the avatar has them, or left out."""
    torso: Literal["auto", "none", "still", "follow"] = "auto"
    """The layer behind the head: as the avatar was trained, left out, fixed in the picture, or following the head calmly."""
    size: int | None = None
    """Shorter side of the picture in pixels; not given: the generator's, doubled while it is below 512, or below 256 of an
    avatar without a scene."""
    batch: int = 4
    """Frames rendered at once."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Of the convolutions. bfloat16: about 0.7 gray levels rms off and 1.7 times faster for a large network on a CPU that has
    it; float16: for a GPU."""
    segment: int = 120
    """Frames of one part of the video; a killed run repeats at most this many."""
    self_check: bool = True
    """Track the finished video and report how well it follows the driver."""
    track: TrackSettings = field(default_factory=TrackSettings)
    retarget: RetargetSettings = field(default_factory=RetargetSettings)
    guard: GuardSettings = field(default_factory=GuardSettings)
    live: LiveSettings = field(default_factory=LiveSettings)
    views: ViewSettings = field(default_factory=ViewSettings)
    provenance: ProvenanceSettings = field(default_factory=ProvenanceSettings)
