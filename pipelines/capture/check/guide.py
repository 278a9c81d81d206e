"""How to film a head, for `capture --guide`: the steps that the capture check asks for, in the order in which to film them."""

BEFORE = (
    "Light: even and from the front, by a window or two lamps; no sun on one cheek, no light behind you.",
    "Place: a room with pictures, books or furniture if the camera will move, a plain wall of another color than hair and "
    "clothes if you turn before a fixed camera.",
    "You: hair away from the face, nothing that reflects, nobody else in view. Take off glasses, or leave them on throughout.",
    "Phone: wipe the lens; main camera, 1080p or 4K at 30 frames a second, HDR off if you can; hold a finger on the face until "
    "exposure and focus are locked. No portrait mode, no filters, no zooming.",
    "Frame: upright, the head in the middle and about half as high as the picture (at least 400 pixels), shoulders visible.",
)
STEPS = (
    ("Look into the camera, face at rest", 2),
    ("Face at rest, the camera goes slowly around the head to its left ear, back, and to its right ear (or turn the head so, "
     "past 60 degrees to either side)", 16),
    ("Still at rest, chin up a little, chin down a little", 4),
    ("Facing the camera: open the mouth wide, twice", 3),
    ("Show your teeth, upper and lower", 3),
    ("Smile, pout, mouth to the left, mouth to the right", 6),
    ("Close your eyes for two seconds, then open them wide", 4),
    ("Raise your brows, then frown", 4),
    ("Only the eyes: left, right, up, down", 4),
    ("Say the numbers from one to ten", 6),
    ("If the back of the head matters: turn once all around, or let somebody walk around you", 12),
)  # fmt: skip
"""What to do, and for how many seconds."""
AFTER = (
    "Move slowly: a quarter turn takes four seconds. Blurred frames are lost.",
    "Send the file itself, not through a messenger that shrinks it.",
    "Look at it with `avatarcli capture VIDEO --check`; it says what is missing. Clips filmed later are added: "
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
