"""Which filmed frames are chosen for a take."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.avatar.references.bank import Bank
from pipelines.avatar.references.choice import FADE, SWITCH, Chooser, LiveChooser, cheapest_path, kept, slot_costs
from pipelines.avatar.references.distance import LACKS, REGIONS, Faces, channels_of, lacks, view_distance
from pipelines.face.expression import MEASURED
from pipelines.geometry.rigid import rotations

JAW, LEFT_LID, BROW = (MEASURED.index(name) for name in ("jawOpen", "eyeBlinkLeft", "browInnerUp"))


def cameras(yaw_deg: list[float]) -> np.ndarray:
    """[T,4,4] around the origin, at distance 2.7."""
    poses = np.tile(np.eye(4), (len(yaw_deg), 1, 1))
    poses[:, :3, :3] = rotations(np.radians([[0.0, yaw, 0.0] for yaw in yaw_deg]))
    poses[:, :3, 3] = -2.7 * poses[:, :3, 2]
    return poses


def chooser(expression: np.ndarray, yaw_deg: list[float] | None = None) -> Chooser:
    count = len(expression)
    bank = Bank(
        folder=Path(), source_index=np.arange(count), expression=expression, intrinsics=np.tile(np.eye(3), (count, 1, 1)),
        world_from_camera=cameras(yaw_deg or [0.0] * count), renders=np.zeros((count, 8, 8, 4), np.uint8),
        openings=np.full((count, 3), np.nan),
    )  # fmt: skip
    return Chooser(bank=bank, names=MEASURED)


def scores(**values: float) -> np.ndarray:
    result = np.zeros(len(MEASURED), np.float32)
    for name, value in values.items():
        result[MEASURED.index(name)] = value
    return result


def test_every_channel_belongs_to_one_region_and_lids_are_told_apart() -> None:
    columns = [column for region in REGIONS for column in channels_of(MEASURED, region)]
    assert sorted(columns) == list(range(len(MEASURED)))
    assert LEFT_LID in channels_of(MEASURED, "left eye") and LEFT_LID not in channels_of(MEASURED, "right eye")


def test_a_lack_is_the_mean_over_the_channels_of_a_region_in_spreads_of_the_film() -> None:
    filmed = np.stack([scores(jawOpen=0.0), scores(jawOpen=1.0)])
    found = lacks(Faces.of(filmed, cameras([0, 0])), Faces.of(scores(jawOpen=1.0)[None], cameras([0])), MEASURED)
    mouth = len(channels_of(MEASURED, "mouth"))
    assert set(found) == set(LACKS)
    assert found["mouth"][0] == pytest.approx([(1.0 / 0.5) ** 2 / mouth, 0.0]) and not found["brows"].any()


def test_eight_degrees_count_as_one_unit_and_so_does_an_eighth_of_the_distance() -> None:
    far = cameras([0.0])
    far[:, :3, 3] *= np.exp(0.15)
    assert view_distance(cameras([0.0, 8.0, 16.0]), cameras([0.0]))[0] == pytest.approx([0, 1, 4])
    assert view_distance(cameras([0.0]), far)[0] == pytest.approx([1])


def test_the_cheapest_path_changes_where_staying_costs_more_than_the_change() -> None:
    cost = np.array([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], np.float32)
    assert cheapest_path(cost, 0.5).tolist() == [0, 0, 1, 1, 0]
    assert cheapest_path(cost, 5.0).tolist() == [0, 0, 0, 0, 0]
    assert cheapest_path(cost, 1.4).tolist() in ([0, 0, 0, 0, 0], [0, 0, 1, 1, 1])


def test_shut_lids_are_taken_from_the_one_frame_that_shows_them_and_only_there() -> None:
    filmed = np.stack([scores(), scores(eyeBlinkLeft=1.0), scores(jawOpen=1.0)])
    chosen = chooser(filmed)
    take = np.stack([scores()] * 5 + [scores(eyeBlinkLeft=1.0)] * 3 + [scores()] * 5)
    plan = chosen.plan(Faces.of(take, cameras([0.0] * len(take))))
    slot = REGIONS.index("left eye")
    assert (plan[5:8, slot] == 1).all() and not (plan[[*range(5), *range(8, 13)], slot] == 1).any()
    assert len({*plan[0, len(REGIONS) :].tolist()}) == 3, "the whole head has three references"


def test_a_reference_comes_and_goes_over_a_few_frames() -> None:
    chosen = chooser(np.stack([scores(), scores(eyeBlinkLeft=1.0)] + [scores(jawOpen=2.0, browInnerUp=2.0)] * 3))
    plan = np.zeros((9, 1), np.int16)
    plan[4] = 1
    presence = []
    for frame in range(9):
        choice = chosen.choice(plan, frame, Faces.of(np.zeros((9, len(MEASURED))), cameras([0.0] * 9)))
        presence.append(dict(zip(choice.rows.tolist(), choice.presence.tolist(), strict=True)).get(1, 0.0))
    assert presence == [0, 0, 0, *FADE, 0, 0, 0]


def test_a_still_take_keeps_its_references() -> None:
    filmed = np.random.default_rng(0).normal(0, 0.3, (20, len(MEASURED))).astype(np.float32)
    plan = chooser(filmed).plan(Faces.of(np.tile(filmed[3], (40, 1)), cameras([0.0] * 40)))
    assert (plan == plan[0]).all() and (plan[0, : len(REGIONS)] == 3).all()


def test_a_take_is_planned_alike_in_chunks_and_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(1)
    chosen = chooser(random.normal(0, 0.3, (12, len(MEASURED))).astype(np.float32))
    take, poses = random.normal(0, 0.3, (70, len(MEASURED))).astype(np.float32), cameras(random.normal(0, 9, 70).tolist())
    whole = chosen.plan(Faces.of(take, poses))
    monkeypatch.setattr("pipelines.avatar.references.choice.CHUNK", 16)
    assert np.array_equal(chosen.plan(Faces.of(take, poses)), whole)


def test_live_a_slot_stays_until_another_reference_is_clearly_better() -> None:
    assert kept(np.array([0.5, 0.4, 9.0]), [0], 1) == [0]
    assert kept(np.array([0.5 + SWITCH, 0.4, 9.0]), [0], 1) == [1]


def test_live_shut_lids_are_taken_at_once_and_fade_afterwards() -> None:
    filmed = np.stack([scores(), scores(eyeBlinkLeft=1.0), *(scores(jawOpen=jaw) for jaw in (0.2, 0.3, 0.4))])
    live, camera = LiveChooser(chooser=chooser(filmed)), cameras([0.0])
    slots, presence = [], []
    for strength in (0.0, 0.0, 1.0, 0.0, 0.0):
        choice = live(Faces.of(scores(eyeBlinkLeft=strength)[None], camera))
        presence.append(dict(zip(choice.rows.tolist(), choice.presence.tolist(), strict=True)).get(1, 0.0))
        slots.append(live._past[0]["left eye"][0])
    assert [slot == 1 for slot in slots] == [False, False, True, False, False]
    assert presence[:3] == [0, 0, 1] and presence[3] >= FADE[-1]


def test_the_whole_head_counts_every_region_and_the_view() -> None:
    found = {name: np.full((1, 1), value) for name, value in zip(LACKS, (1.0, 2.0, 3.0, 4.0, 10.0), strict=True)}
    assert slot_costs(found)["whole"][0, 0] == pytest.approx(12.5)
    assert slot_costs(found)["mouth"][0, 0] == pytest.approx(6.0)


def test_lips_that_the_driver_shuts_are_taken_from_a_frame_with_shut_lips() -> None:
    """Both frames score alike against their own rest; what tells them apart is the gap of the lips."""
    gaps = np.array([[0.10, 1.0, 1.0], [0.0, 1.0, 1.0]])
    filmed = Faces.of(np.stack([scores(), scores(jawOpen=0.1)]), cameras([0, 0]), gaps)
    shut = Faces.of(scores()[None], cameras([0]), np.array([[0.0, 1.0, 1.0]]))
    unknown = Faces.of(scores()[None], cameras([0]))
    assert lacks(filmed, shut, MEASURED)["mouth"].argmin() == 1
    assert lacks(filmed, unknown, MEASURED)["mouth"].argmin() == 0
    assert lacks(filmed, shut, MEASURED)["mouth"][0, 0] == pytest.approx(1.5 * (0.10 / 0.04) ** 2, rel=1e-6)
