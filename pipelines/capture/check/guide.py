"""How to film a head, for `capture --guide`: the steps that the capture check asks for, in the order in which to film them."""

BEFORE = (
    "Light: even and from the front, by a window or two lamps; no sun on one cheek, no light behind you.",
    "Place: a room with pictures, books or furniture if the camera will move, a plain wall of another color than hair and "
    "clothes if you turn in front of a fixed camera.",
    "You: hair out of the face, nothing reflective, nobody else in view. Take off glasses, or leave them on throughout.",
    "Phone: wipe the lens; main camera, 1080p or 4K at 30 frames a second, HDR off if you can; hold a finger on the face until "
    "exposure and focus are locked. No portrait mode, no filters, no zooming.",
    "Frame: upright, the head in the middle and about half as high as the picture (at least 400 pixels), shoulders visible.",
)
STEPS = (
    ("Look into the camera, with a neutral face", 2),
    ("Neutral face: move the camera slowly around to the left ear, back, and to the right ear (or turn your head, "
     "past 60 degrees to each side)", 16),
    ("Still neutral: chin up a little, chin down a little", 4),
    ("Facing the camera: open the mouth wide, twice", 3),
    ("Show your teeth, upper and lower", 3),
    ("Smile, pout, mouth to the left, mouth to the right", 6),
    ("Close your eyes for two seconds, then open them wide", 4),
    ("Raise your brows, then frown", 4),
    ("Only the eyes: left, right, up, down", 4),
    ('Say the numbers from one to ten, then "mama" twice', 8),
    ("If the back of the head matters: turn all the way around once, or have somebody walk around you", 12),
)  # fmt: skip
"""What to do, and for how many seconds."""
AFTER = (
    "Move slowly: a quarter turn takes four seconds. Blurred frames are lost.",
    "Copy the original file; messengers shrink videos.",
    "Check it with `avatarcli capture VIDEO --check`, which says what is missing. Add clips filmed later with "
    "`avatarcli capture ONE TWO -o anna.capture`.",
)


def guide() -> str:
    """The whole guide as lines of text."""
    steps = [f"{number:2}. {what} ({seconds} s)" for number, (what, seconds) in enumerate(STEPS, 1)]
    film = f"What to film, about {sum(seconds for _, seconds in STEPS)} s in one take"
    parts = [("Before you film", _listed(BEFORE)), (film, steps), ("Then", _listed(AFTER))]
    return "\n\n".join("\n".join([name, *lines]) for name, lines in parts)


def record() -> dict[str, object]:
    """The guide as JSON values."""
    steps = [{"do": what, "seconds": seconds} for what, seconds in STEPS]
    return {"before": list(BEFORE), "steps": steps, "after": list(AFTER)}


def _listed(lines: tuple[str, ...]) -> list[str]:
    return [f" - {line}" for line in lines]
