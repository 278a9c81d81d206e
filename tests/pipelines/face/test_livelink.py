"""Live Link Face files: the format, the clock, and the way there and back."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipelines.core.errors import UnusableMaterial
from pipelines.drive.motion.driver_files import open_driver
from pipelines.drive.motion.track import states, without_gaps
from pipelines.drive.settings import TrackSettings
from pipelines.face.channel_spaces import in_space
from pipelines.face.expression import ARKIT_52, MEASURED
from pipelines.face.livelink import read_livelink, timecode, write_livelink
from pipelines.face.track import Track
from tests.pipelines.drive.takes import codes, iphone_csv, moving

JAW = ARKIT_52.index("jawOpen")


def test_timecodes():
    assert timecode(61.5 + 0.5 / 60) == "00:01:01:30.500"
    assert timecode(59.9999999) == "00:01:00:00.000"


def test_measured_channels_read_back_exactly_with_the_head(tmp_path: Path):
    track = moving()
    write_livelink(tmp_path / "a.csv", track)
    back = in_space(read_livelink(tmp_path / "a.csv"), "measured", "a.csv")
    assert back.names == MEASURED and back.rate_hz == 30.0
    assert (track.expression < 0).any() and np.array_equal(back.expression, track.expression)
    assert back.times_s == pytest.approx(track.times_s, abs=2e-5)
    assert np.allclose(back.world_from_head, track.world_from_head, atol=1e-7)


def test_a_head_that_turns_left_has_a_positive_yaw_and_a_tool_may_count_otherwise(tmp_path: Path):
    """Its face then looks to the right in the picture of a camera before it."""
    rows = iphone_csv(tmp_path / "a.csv", codes(np.arange(30) / 60), [0.1] * 30).read_text().splitlines()
    yaw = rows[0].split(",").index("HeadYaw")
    turned = [rows[0], *(",".join([*(cells := row.split(","))[:yaw], "0.3", *cells[yaw + 1 :]]) for row in rows[1:])]
    (tmp_path / "a.csv").write_text("\n".join(turned))
    for signs, towards in (((1.0, 1.0, 1.0), 1), ((-1.0, 1.0, 1.0), -1)):
        faces = read_livelink(tmp_path / "a.csv", signs=signs).world_from_head[:, :3, 2]
        assert faces[:, 0] == pytest.approx(np.full(30, towards * np.sin(0.3))) and (faces[:, 2] < 0).all()


def test_blendshapes_read_back_exactly(tmp_path: Path):
    track = replace(moving(names=ARKIT_52), space="blendshapes")
    write_livelink(tmp_path / "a.csv", track)
    back = in_space(read_livelink(tmp_path / "a.csv"), "blendshapes", "a.csv")
    assert back.names == ARKIT_52 and np.array_equal(back.expression, track.expression)


def test_a_plain_file_is_what_other_tools_expect(tmp_path: Path):
    write_livelink(tmp_path / "a.csv", moving(), plain=True)
    rows = [line.split(",") for line in (tmp_path / "a.csv").read_text().splitlines()]
    assert rows[0][:3] == ["Timecode", "BlendShapeCount", "EyeBlinkLeft"] and rows[0][-1] == "RightEyeRoll"
    assert {len(row) for row in rows} == {63} and rows[1][1] == "61"
    shapes = np.array([[float(cell) for cell in row[2:54]] for row in rows[1:]])
    assert shapes.min() == 0.0 and shapes.max() <= 1.0
    left, right = rows[0].index("JawLeft") - 2, rows[0].index("JawRight") - 2
    assert (np.minimum(shapes[:, left], shapes[:, right]) == 0).all() and shapes[:, [left, right]].max(0).min() > 0.1


@pytest.mark.parametrize(("counted", "rate"), [(60.0, 60.0), (30.0, 30.0), (25.0, 25.0)])
def test_the_rate_of_the_timecode_is_found(tmp_path: Path, counted: float, rate: float):
    times = np.arange(int(3 * rate)) / rate
    track = read_livelink(iphone_csv(tmp_path / "a.csv", codes(times, counted), np.linspace(0, 1, len(times)).tolist()))
    assert track.rate_hz == rate and track.times_s == pytest.approx(times, abs=1e-4)


def test_uneven_rows_keep_their_own_times_and_midnight_is_no_gap(tmp_path: Path):
    times = np.cumsum([1, 1, 1, 2, 1, 1, 1, 3] * 20) / 60 + 0.4
    path = iphone_csv(tmp_path / "a.csv", codes(times, start="23:59:59"), np.linspace(0, 1, len(times)).tolist())
    track = read_livelink(path)
    assert track.times_s == pytest.approx(times - times[0], abs=1e-4) and track.rate_hz == pytest.approx(60)


def evened(path: Path) -> Track:
    return open_driver(path, TrackSettings()).track("measured", np.zeros((478, 3)), TrackSettings(), path, None)  # type: ignore[arg-type]


def test_a_short_gap_is_interpolated_and_a_long_one_held_and_flagged(tmp_path: Path):
    times = np.concatenate([np.arange(60), np.arange(72, 120), np.arange(240, 300)]) / 60
    jaw = np.where(times < 1.1, 0.2, np.where(times < 3, 0.8, 0.4))
    track = evened(iphone_csv(tmp_path / "a.csv", codes(times), jaw.tolist()))
    assert len(track.times_s) == 300 and np.allclose(np.diff(track.times_s), 1 / 60, atol=1e-3)
    scores, kinds = track.expression[:, MEASURED.index("jawOpen")], states(track, 0.5)
    assert kinds[65] == "interpolated" and 0.25 < scores[65] < 0.75
    assert kinds[150] == "held" and scores[150] == pytest.approx(0.8) and kinds[100] == kinds[250] == "tracked"


def test_rows_without_a_face_are_lost_frames(tmp_path: Path):
    jaw, seen = np.full(180, 0.3), np.ones(180, bool)
    jaw[60:70], seen[60:70] = 9.0, False
    track = evened(iphone_csv(tmp_path / "a.csv", codes(np.arange(180) / 60), jaw.tolist(), seen.tolist()))
    assert (~track.valid).sum() == 10 and track.expression[:, MEASURED.index("jawOpen")].max() == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "its columns are nothing"),
        ("a,b,c\n1,2,3\n4,5,6\n", "its columns are a, b, c; Timecode is missing"),
        ("Timecode,BlendshapeCount,JawOpen\n00:00:00:00.0,61,0.1\n", "eyeBlinkLeft, eyeLookDownLeft"),
        ("\x00\xff", "CSV"),
    ],
)
def test_wrong_columns_are_one_sentence(tmp_path: Path, text: str, said: str):
    (tmp_path / "a.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(UnusableMaterial, match=said):
        read_livelink(tmp_path / "a.csv")


def test_faults_inside_name_the_line(tmp_path: Path):
    times = np.arange(120) / 60
    path = iphone_csv(tmp_path / "a.csv", codes(times), [0.1] * 120)
    good = path.read_text().splitlines()
    for line, change, said in [
        (7, lambda row: row.replace(",61,", ",61,oops,", 1).rsplit(",", 1)[0], "line 8: eyeBlinkLeft is 'oops'"),
        (9, lambda row: "noon" + row[11:], "line 10: 'noon"),
        (60, lambda row: "11:30:00:00.000" + row[15:], "the clock "),
    ]:
        path.write_text("\n".join([*good[:line], change(good[line]), *good[line + 1 :]]))
        with pytest.raises(UnusableMaterial, match=said):
            read_livelink(path)


def test_degrees_and_runaway_shapes_are_one_sentence_and_the_hint_helps(tmp_path: Path):
    times = np.arange(30) / 60
    plain = iphone_csv(tmp_path / "a.csv", codes(times), list(np.linspace(0, 1, 30))).read_text().splitlines()
    for yaw in ("20.0", "5.5"):
        turned = [plain[0], *(",".join([*row.split(",")[:54], yaw, *row.split(",")[55:]]) for row in plain[1:])]
        (tmp_path / "deg.csv").write_text("\n".join(turned))
        for signs in ((1.0, 1.0, 1.0), (0.01745, 0.01745, 0.01745)):
            pose = read_livelink(tmp_path / "deg.csv", signs=signs).world_from_head[0]
            assert np.degrees(np.arccos(abs(pose[2, 2]))) == pytest.approx(float(yaw), abs=0.1)
    (tmp_path / "wild.csv").write_text((tmp_path / "deg.csv").read_text().replace("5.5", "999"))
    with pytest.raises(UnusableMaterial, match="HeadYaw reaches 17.4.*, more than a whole turn"):
        read_livelink(tmp_path / "wild.csv")
    (tmp_path / "huge.csv").write_text("\n".join([*plain[:9], plain[9].replace("0.1", "1e30", 1), *plain[10:]]))
    with pytest.raises(UnusableMaterial, match="line 10: eyeBlinkLeft is 1e[+]30; shapes go from 0 to 1"):
        read_livelink(tmp_path / "huge.csv")


def clocked(folder: Path, rate: float, count: int, behind: str) -> Path:
    """A take of even rows whose timecodes are those of another program."""
    texts = []
    for row in range(count):
        whole, part = divmod(row / rate + 1e-9, 1)
        frame = {
            "thousandths": f"{int(1000 * part) * 60 // 1000:02d}.{int(1000 * part):03d}",
            "number": f"{int(part * rate):02d}.{(940 + row) % 1000:03d}",
            "cut off": f"{int(part * rate):02d}",
            "milliseconds": f"{int(1000 * part):03d}",
            "fractions": f"{part * rate:06.3f}",
        }[behind]
        texts.append(f"23:59:{58 + int(whole):02d}:{frame}" if whole < 2 else f"00:00:{int(whole) - 2:02d}:{frame}")
    return iphone_csv(folder / "a.csv", texts, [0.1] * count)


@pytest.mark.parametrize("rate", [24000 / 1001, 25.0, 30000 / 1001, 30.0, 60000 / 1001, 60.0])
@pytest.mark.parametrize("behind", ["thousandths", "number", "cut off", "milliseconds", "fractions"])
def test_clocks_of_other_programs_keep_every_row(tmp_path: Path, rate: float, behind: str):
    track = read_livelink(clocked(tmp_path, rate, 240, behind))
    steps = np.diff(track.times_s)
    assert len(track.times_s) == 240 and track.rate_hz == pytest.approx(rate, rel=2e-3)
    assert steps.min() > 0.93 / rate and steps.max() < 1.08 / rate


@pytest.mark.parametrize(
    ("behind", "count", "taken", "other"), [("number", 200, "59.94", "60"), ("thousandths", 40, "60", "59.94")]
)
def test_a_short_take_that_fits_two_rates_says_so_and_the_rate_asked_for_decides(
    tmp_path: Path, behind: str, count: int, taken: str, other: str
):
    path = clocked(tmp_path, 60.0, count, behind)
    track = read_livelink(path)
    assert f"{track.rate_hz:.5g}" == taken
    assert track.remarks == (
        f"the rows of a.csv fit {taken} and {other} frames a second; {taken} was taken, --set track.rate_hz={other} takes the "
        "other.",
    )
    again = read_livelink(path, rows_hz=float(other))
    assert f"{again.rate_hz:.5g}" == other and not again.remarks
    assert np.diff(again.times_s) == pytest.approx(np.full(count - 1, 1 / again.rate_hz))
    assert read_livelink(path, rows_hz=25.0).rate_hz == track.rate_hz, "the rows do not fit 25"


def test_a_rate_that_is_too_low_is_not_proposed_again(tmp_path: Path):
    path = clocked(tmp_path, 30.0, 240, "milliseconds")
    with pytest.raises(UnusableMaterial, match="timecode_hz=1000"):
        read_livelink(path, 60.0)
    assert read_livelink(path, 1000.0).rate_hz == 30.0


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_texts_of_spreadsheets_are_read(tmp_path: Path, encoding: str):
    plain = iphone_csv(tmp_path / "a.csv", codes(np.arange(30) / 60), list(np.linspace(0, 1, 30)))
    german = plain.read_text().replace(",", ";").replace(".", ",")
    (tmp_path / "b.csv").write_bytes(german.encode(encoding))
    back, track = read_livelink(tmp_path / "b.csv"), read_livelink(plain)
    assert np.array_equal(back.expression, track.expression) and np.array_equal(back.times_s, track.times_s)


@pytest.mark.parametrize("between", [";", "\t"])
def test_a_table_saved_with_semicolons_or_tabs_is_read(tmp_path: Path, between: str):
    times, jaw = np.arange(30) / 60, np.linspace(0, 1, 30)
    plain = iphone_csv(tmp_path / "a.csv", codes(times), list(jaw))
    other = tmp_path / "b.csv"
    other.write_text(plain.read_text().replace(",", between))
    assert np.array_equal(read_livelink(other).expression, read_livelink(plain).expression)
    other.write_text(f"sep={between}\n{other.read_text()}")
    assert np.array_equal(read_livelink(other).expression, read_livelink(plain).expression)


def test_a_clock_that_was_stopped_is_one_sentence(tmp_path: Path):
    times = np.concatenate([np.arange(120) / 60, 400 + np.arange(120) / 60])
    with pytest.raises(UnusableMaterial, match="line 122: the clock jumps by 398.0 s"):
        read_livelink(iphone_csv(tmp_path / "a.csv", codes(times), [0.1] * 240))


def test_a_shape_that_the_avatar_listens_to_must_be_there():
    track = moving(names=tuple(name for name in ARKIT_52 if name not in ("jawOpen", "tongueOut")))
    track = replace(track, space="arkit")
    with pytest.raises(UnusableMaterial, match="take.csv has no jawOpen,"):
        in_space(track, "measured", "take.csv")


def test_a_track_without_gaps_is_left_alone():
    track = moving()
    assert without_gaps(track, 0.5) is track
