"""What a pixel shows: the 19 classes of face parsing (in the order of CelebAMask-HQ), and materials for shading."""

PARTS = (
    "background", "skin", "left_brow", "right_brow", "left_eye", "right_eye", "glasses", "left_ear", "right_ear", "earring",
    "nose", "mouth", "upper_lip", "lower_lip", "neck", "necklace", "cloth", "hair", "hat",
)  # fmt: skip
"""Left is the person's left (+x). A beard counts as skin, lashes as eye; earring, necklace and hat do not occur."""
(
    BACKGROUND, SKIN_PART, LEFT_BROW, RIGHT_BROW, LEFT_EYE, RIGHT_EYE, GLASSES_PART, LEFT_EAR, RIGHT_EAR, _EARRING,
    NOSE, MOUTH_PART, UPPER_LIP, LOWER_LIP, NECK, _NECKLACE, CLOTH_PART, HAIR_PART, _HAT,
) = range(len(PARTS))  # fmt: skip
SKIN, SCALP, MOUTH, GUM, TONGUE, TEETH, EYE, CLOTH, HAIR, FRAME = range(10)
"""Materials: SKIN and SCALP are textured, HAIR is made of ribbons, the others have colors of their own."""
