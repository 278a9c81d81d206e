"""What a training can be asked: three presets, every number with its unit and the paper's value."""

from dataclasses import dataclass, field, replace
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class FinetuneSettings:
    """Appearance model: GAN-Avatar's adversarial loss, and a photometric term on auto-decoded latents for speed."""

    steps: int | None = None
    """Optimizer steps; None turns the budget into steps. Paper's release: 2,500 (80 thousand images of batch 32)."""
    batch: int = 4
    """Images a step. Paper: 32."""
    photometric: float = 1.0
    """Weight of the photometric terms on fitted latents; 0 is the paper's purely adversarial training."""
    image: float = 1.0
    """Weight of the super-resolved image within the photometric term; the raw image has weight 1."""
    gradient: float = 0.5
    """Weight of the image's gradients within the photometric term."""
    contrast: float = 0.65
    """Weight of the image's local contrast within the photometric term: what keeps renders sharp."""
    detail: float = 4.0
    """How much more pixels around eyes and mouth count than others in the photometric term."""
    balance: float = 0.7
    """Frames with a rare face or view come this power of their rarity more often (train.sampling_weights). Paper: 0."""
    alpha: float = 0.3
    """Weight of the matte within the photometric term."""
    adversarial: float = 0.02
    """Weight of softplus(-D(G)). Paper: 1, alone."""
    adversarial_every: int = 8
    """Steps between adversarial steps (1 when photometric is 0)."""
    adversarial_from: float = 0.4
    """Part of the steps after which the adversarial term sets in; before it there is nothing worth judging."""
    adversarial_batch: int = 4
    """Images of an adversarial step. Paper: 32."""
    latents: Literal["fitted", "sampled"] = "fitted"
    """What the discriminator sees: fitted latents under other frames' cameras, or the paper's mapping(z)."""
    r1_gamma: float | None = 5.0
    """R1 weight gamma/2; none: 5 * 32 / adversarial_batch, at most 20. Paper: 5 at batch 32."""
    r1_every: int = 16
    """Discriminator steps between R1 terms, each multiplied by this number."""
    augment: Literal["none", "fixed", "ada"] = "none"
    """Images changed in front of the discriminator where there are few, never flipped and never in hue: not at all, with the
    probability `augment_p`, or with one that follows how often the discriminator is right about frames. Paper: none."""
    augment_p: float = 0.2
    """Probability of each change where augment is fixed."""
    augment_images: float = 100_000.0
    """Frames shown to the discriminator over which ada may move the probability by 1."""
    density: float = 0.002
    """Weight of the density regularization (l1 of neighbors 0.004 units apart). Paper: 0.25."""
    background_rays: float = 0.2
    """Share of the rays off the head that a photometric step renders."""
    coarse: int = 12
    """Stratified samples a ray. Paper: 48."""
    fine: int = 12
    """Importance samples a ray. Paper: 48."""
    learning_rate: float = 1e-2
    """Of the generator's networks; times 4/5 for the lazy regularizer where photometric is 0. Paper: 0.0025."""
    discriminator_learning_rate: float = 2e-3
    """Times r1_every / (r1_every + 1) where photometric is 0. Paper: 0.002."""
    final_rate: float = 0.05
    """Learning rates at the last step, as a share of those at the first. Paper: 1."""
    backbone: Literal["held", "trained"] = "held"
    """held: the prior's convolutions stay as they are, computed once, and latents move in a subspace reserved for the person
    (only from a prior that knows people). Paper: trained."""
    planes_learning_rate: float = 4e-2
    """Of the static planes."""
    paint_learning_rate: float = 2e-2
    """Of the paint on the surface, colors in [-1,1]."""
    paint_decay: float = 3e-6
    """Weight of half the squared paint: what no frame shows stays clean, where Adam would make noise of next to nothing."""
    components: int = 24
    """Principal components of the frames that the fitted latents start from."""
    latent_spread: float = 0.5
    """Standard deviation of the fitted latents' start, a dimension."""
    latent_learning_rate: float = 2e-2
    """Of the fitted latents."""
    latent_prior: float = 1e-4
    """Weight of the squared distance of fitted latents from their mean."""
    latent_smoothness: float = 1e-3
    """Weight of the squared step between latents of neighboring frames."""
    inversion_steps: int = 40
    """Steps that look for the person among the prior's people, before anything of the generator moves; none without a prior
    that knows people."""
    remembered: float = 0.2
    """Weight of keeping what the prior shows of the person from sides that were not filmed; 0 forgets it. Paper: 0."""
    remember_every: int = 2
    """Steps between them, each multiplied by this number."""
    remember_batch: int = 1
    """Such views a time."""
    ema_images: float = 1000.0
    """Half-life of the averaged weights in images, at most a twentieth of what was seen. Paper: 10,000."""
    memory: Literal["fast", "light"] = "fast"
    """light: large activations are computed again in backward; a third of the memory for a tenth more time, the same result."""
    micro_batch: int | None = None
    """Images computed at once, whose gradients add up: less memory for the same step; none: as many as `--memory` and the batch
    let."""
    checkpoint_every: int = 100
    """Steps between checkpoints, each with a held-out probe and a sample sheet."""
    tensorboard: bool = False
    """Write losses, figures and sample sheets for TensorBoard into `events` as well; needs its package."""


@dataclass(frozen=True, kw_only=True)
class PairSettings:
    """Latent, near-frontal render, expression: the data of the expression map (paper section 3.2)."""

    count: int = 400
    """Latents. Paper's release: 1,000."""
    source: Literal["fitted", "sampled"] = "fitted"
    """Fitted latents and steps along their principal directions, or the paper's mapping(z)."""
    truncation: float = 0.7
    """Of sampled latents. Paper's release: 0.7."""
    directions: int = 16
    """Principal directions of the fitted latents that perturbations use."""
    spread: float = 0.6
    """Standard deviation of a perturbation, in standard deviations of the direction."""
    unfilmed: float = 0.2
    """Share of the latents that lie along the named directions of a prior that has them. Paper: 0."""
    anchors: bool = True
    """Add the fitted latents of near-frontal frames with the frames' own tracked expressions: the tracker sees renders and a
    camera's pictures a little differently. The appearance is frozen by then. Paper: False."""
    anchor_yaw_deg: float = 30.0
    """Largest turn of an anchor's frame."""
    held_out: float = 0.1
    """Share of the pairs kept out of training. Paper's release: none."""
    render_px: int = 320
    """Size to which renders are enlarged for the tracker."""


@dataclass(frozen=True, kw_only=True)
class MapSettings:
    """The expression-mapping network."""

    hidden: int = 64
    """Width of both hidden layers. Paper: the input's."""
    directions: int = 24
    """Principal directions of the latents that the map may use. Paper: every dimension of w."""
    steps: int = 1500
    """Full-batch AdamW steps in w space. Paper's release: 6,000 of batch 8 in image space."""
    learning_rate: float = 2e-3
    """Paper: 1e-4."""
    weight_decay: float = 1e-2
    """Paper's release: 0."""
    noise: float = 0.2
    """Noise on the standardized input while training, so that the tracker's jitter moves the latent little. Paper: 0."""
    image_steps: int = 0
    """Further steps on the photometric loss through the frozen generator, as in the paper."""


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """Training of one avatar."""

    preset: str = "quick"
    """Name of the preset these settings started from."""
    prior: str = "quick"
    """Shipped prior or prior folder."""
    network: Literal["prior", "fresh", "512"] = "prior"
    """prior: the prior's, with its weights; fresh: random weights in the prior's head space; 512: an older name of
    image_size=512 for smaller priors."""
    image_size: int | None = None
    """Pixels of the picture's side: 128, 256 or 512; none: the prior's. At another size backbone and decoder are the
    prior's, super-resolution and discriminator are fresh."""
    paint: int = 2
    """Texels of the paint on the surface (models.volumes.surface_texture) for a pixel of the image; 0: none. Paper: 0."""
    budget_s: float | None = 300.0
    """Wall seconds that the whole training may take; ignored where `finetune.steps` is given. A slow machine takes longer:
    a few steps are always made."""
    memory_gb: float | None = None
    """Gigabytes that a step may take, of the process on a CPU, of the graphics memory on a GPU: micro-batches and light memory
    follow, nothing that is learned; none: nothing is measured."""
    frame: Literal["person", "prior"] = "person"
    """The square that the generator sees: chosen for the person, so that hair, chin and the neck's start are inside
    (train.framing), or the prior's own, which cuts high hair. Paper: prior."""
    edges: Literal["cleaned", "filmed"] = "cleaned"
    """Colors where the background shines through hair: what the hair alone would have, or as filmed. Paper: filmed."""
    torso: Literal["none", "still", "follow"] = "follow"
    """The layer behind the head: left out, fixed in the picture, or following the head calmly."""
    scene: Literal["filmed", "none"] = "filmed"
    """The person's own scene for `drive --background own` and `--frame`: the film without the person, and shoulders and clothes
    cut from it; or nothing of the film's surroundings. Paper: none."""
    references: Literal["auto", "none"] = "auto"
    """Filmed frames of the person that lie in the avatar and give its pictures their detail (pipelines.avatar.references);
    none: no filmed frame leaves the capture. Paper: none."""
    unfilmed_mouth: Literal["drawn", "shut"] = "drawn"
    """A mouth that no frame shows open: frames are repeated with it drawn open (train.open_mouth), a guess; or it stays
    as it was filmed. Paper: shut."""
    expression_space: Literal["auto", "measured", "blendshapes"] = "auto"
    """Computed from landmarks, or the 52 scores of face_landmarker.task; auto takes what the capture holds."""
    seed: int = 0
    """Of every random choice."""
    finetune: FinetuneSettings = field(default_factory=FinetuneSettings)
    pairs: PairSettings = field(default_factory=PairSettings)
    expression_map: MapSettings = field(default_factory=MapSettings)


QUICK = TrainSettings()
WORKSTATION = replace(
    QUICK,
    preset="workstation",
    image_size=512,
    paint=1,
    budget_s=1200.0,
    finetune=FinetuneSettings(
        backbone="trained",
        coarse=48,
        fine=48,
        adversarial=0.1,
        adversarial_every=2,
        ema_images=5000.0,
        density=0.25,
        learning_rate=2.5e-3,
    ),
    pairs=PairSettings(count=1000, render_px=512),
)
PAPER = replace(
    QUICK,
    preset="paper",
    paint=0,
    frame="prior",
    edges="filmed",
    scene="none",
    references="none",
    budget_s=None,
    unfilmed_mouth="shut",
    finetune=FinetuneSettings(
        steps=2500,
        batch=32,
        photometric=0.0,
        adversarial=1.0,
        adversarial_every=1,
        adversarial_from=0.0,
        adversarial_batch=32,
        latents="sampled",
        final_rate=1.0,
        backbone="trained",
        inversion_steps=0,
        remembered=0.0,
        balance=0.0,
        density=0.25,
        learning_rate=2.5e-3,
        planes_learning_rate=2.5e-3,
        coarse=48,
        fine=48,
        ema_images=10_000.0,
    ),
    pairs=PairSettings(count=1000, source="sampled", anchors=False, unfilmed=0.0),
    expression_map=MapSettings(directions=512, learning_rate=1e-4, weight_decay=0.0, noise=0.0, image_steps=6000),
)
PRESETS = {"quick": QUICK, "workstation": WORKSTATION, "paper": PAPER}
