"""The page of an evaluation: figures next to the baselines and another avatar, and pictures of what they mean."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipelines.evaluate.compare import at
from pipelines.evaluate.page_charts import grouped_bars
from pipelines.evaluate.page_frames import evenly_spaced, frames, rank_frames, region_pictures, short, spaced_out
from pipelines.evaluate.series import BINNED
from pipelines.evaluate.summary import comparison, verdict
from pipelines.report import html, svg

if TYPE_CHECKING:
    from pipelines.evaluate.record import EvaluatedAvatar

MORE: dict[str, tuple[str, ...]] = {
    "mouth right": ("mouth_state", "*", "share"), "of frames": ("mouth_state", "*", "asked"),
    "faces": ("tracking", "*", "found"), "AED": ("tracking", "*", "aed"), "APD, °": ("tracking", "*", "apd_deg"),
    "APD, 1/100": ("tracking", "*", "apd_shift"), "flicker": ("flicker", "*"), "flicker, rms": ("flicker_rms", "*"),
    "specks in hair": ("hair_color_noise", "*"), "LPIPS": ("lpips", "*"), "ST-LPIPS": ("st_lpips", "*"),
    "identity distance": ("identity_distance", "*"),
}  # fmt: skip
"""Columns of the second table, and where the figure lies; `*` is the row's name."""
Row = tuple[str, Mapping[str, Any], str]
"""What a row of a table is called, the record it is from, and what it is called there."""


def evaluation_report(record: Mapping[str, Any], shown: "EvaluatedAvatar", other: "EvaluatedAvatar | None" = None) -> str:
    """The page of one record; `other` is the avatar it is compared with."""
    rows = _rows(record)
    made_of = (
        f"evaluated at {record['image_size']} pixels on {record['frames']} frames of {record['capture']['name']} that it was "
        "not trained on"
    )
    names = " and ".join([record["name"], *([other.record["name"]] if other is not None else [])])
    wrong = [number for number, frame in enumerate(record["per_frame"]) if frame["mouth_right"] is False]
    sections = [
        ("Summary", html.sentences(sentences(record))),
        ("Compared with baselines", _figures(record)),
        ("Mouth, motion, likeness", _more(rows)),
        ("Regions", _regions(rows) + region_pictures(shown)),
        ("Worst frames", frames(spaced_out(rank_frames(record), record["frames"]), shown, other)),
        ("Best frames", frames(spaced_out(rank_frames(record)[::-1], record["frames"]), shown, other)),
        *([("Wrong mouths", frames(spaced_out(wrong, record["frames"]), shown, other))] if wrong else []),
        ("Frames over time", frames(evenly_spaced(len(shown.names)), shown, other) + _curves(record)),
        ("By viewing side", _bins(rows, record["yaw_bins"])),
        *([("First minus second", html.facts(record["difference"]))] if other is not None else []),
        ("Seconds, from the raw video", _seconds(record, other)),
        ("How it is measured", html.facts(record["definitions"])),
    ]
    return html.page(f"Evaluation of {names}", made_of, sections)


def sentences(record: Mapping[str, Any]) -> list[str]:
    """What the figures mean, for people who do not read tables; what is missing is said."""
    said = list(verdict(record))
    if "mouth_state" not in record:
        return said
    mouth, count = record["mouth_state"]["avatar"], record["frames"]
    if mouth["share"] is not None:
        said.append(
            f"The mouth is correctly open or closed in {mouth['right']} of {mouth['asked']} frames ({mouth['share']:.0%}): "
            f"{mouth['open_right']} of {mouth['open']} filmed open, {mouth['closed_right']} of {mouth['closed']} filmed closed."
            + (" This says little: only one of the two was filmed." if not (mouth["open"] and mouth["closed"]) else "")
        )
    else:
        said.append("The state of the mouth was not measured: no frame shows it clearly with a face found in both pictures.")
    said.append(f"The tracker finds the face in {record['tracking']['avatar']['found']} of {count} renders.")
    said += likeness_sentences(record["identity_distance"])
    names = {"st_lpips": "ST-LPIPS", "flicker": "Flicker"}
    said += [f"{called} is not measured: {record[name]['why']}" for name, called in names.items() if "why" in record[name]]
    if "compared" in record:
        less = record["difference"]["psnr_head"]
        word = "above" if less >= 0 else "below"
        said.append(f"Inside the head {short(record)} is {abs(less):.2f} dB {word} {other_name(record)} on the same frames.")
    return said


def likeness_sentences(found: Mapping[str, Any]) -> list[str]:
    """How near the renders are to the person, beside how near she is to herself."""
    apart, own = found["avatar"], found["own_frames"]
    if apart is None:
        return ["The likeness of the face was not measured: no frame shows a face in both pictures."]
    beside = f"; own frames of different scenes are {own:.2f} apart" if own is not None else ""
    return [f"To a face recognizer, render and filmed frame are {apart:.2f} apart{beside} (below about 0.6 is one person)."]


def _rows(record: Mapping[str, Any]) -> list[Row]:
    """The avatar, the one it is compared with, and the baselines."""
    second: list[Row] = [(other_name(record), record["compared"], "avatar")] if "compared" in record else []
    return [(short(record), record, "avatar"), *second, *((name, record, name) for name in record["baselines"])]


def other_name(record: Mapping[str, Any]) -> str:
    """The name of the avatar that the first one is compared with; it may lie in another folder under the same."""
    name = short(record["compared"])
    return name if name != short(record) else f"{name} (the other)"


def _figures(record: Mapping[str, Any]) -> str:
    head, rows = comparison(record)
    rows[0][0] = short(record)
    if "compared" in record:
        rows[1][0] = other_name(record)
    return html.table(rows, head=head, strong=0)


def _more(rows: Sequence[Row]) -> str:
    """Mouth state, flicker, tracking, LPIPS, identity; last the tracker's own loss."""
    tracker: Row = ("tracker itself", rows[0][1], "tracker")
    table = [
        [
            called,
            *(
                round_figure(at(dict(record), tuple(name if part == "*" else part for part in place)))
                for place in MORE.values()
            ),
        ]
        for called, record, name in (*rows, tracker)
    ]
    note = (
        "AED (expression), APD (head pose, in degrees and hundredths of the head box), flicker (gray levels), LPIPS, ST-LPIPS "
        "and identity distance: lower is better; specks in hair: 1 is as filmed. The last row shows what tracking small "
        "pictures costs by itself."
    )
    return html.table(table, head=["", *MORE], strong=0) + html.sentence(note, "quiet")


def round_figure(value: Any) -> Any:
    """Numbers to three places."""
    return round(value, 3) if isinstance(value, float) else value


def _regions(rows: Sequence[Row]) -> str:
    names = ("mouth", "eyes", "hair")
    figures = {"psnr": "PSNR", "ssim": "SSIM", "sharpness": "sharpness"}
    head = ["", *(f"{name}: {said}" for name in names for said in figures.values())]
    table = [
        [called, *(round_figure(record["regions"][own][name][figure]) for name in names for figure in figures)]
        for called, record, own in rows
    ]
    count = rows[0][1]["regions"]["avatar"]
    looked = ", ".join(f"{name} in {count[name]['frames']} frames" for name in names)
    return html.table(table, head=head, strong=0) + html.sentence(f"Visible: {looked}.", "quiet")


def _curves(record: Mapping[str, Any]) -> str:
    parts = []
    for one in (record, record.get("compared")):
        if one is not None:
            points = [(frame["time_s"], frame["psnr_head"]) for frame in one["per_frame"]]
            parts.append(svg.curve(points, f"{short(one)}: PSNR in the head, dB, last", width=460, x_label="s"))
    return html.row(parts)


def _bins(rows: Sequence[Row], bins: Mapping[str, Any]) -> str:
    edges = bins["edges_deg"]
    labels = [f"{low}° to {high}°" for low, high in zip(edges, edges[1:], strict=False)]
    named = {called: record["yaw_bins"][own] for called, record, own in rows}
    heads = {called: one["psnr_head"] for called, one in named.items()}
    plot = grouped_bars(labels, bins["frames"], heads, "PSNR in the head by |yaw|", unit="dB")
    avatars = {called: figures for (called, _, own), figures in zip(rows, named.values(), strict=True) if own == "avatar"}
    table = [
        [label, count, *(round_figure(one[figure][number]) for one in avatars.values() for figure in BINNED)]
        for number, (label, count) in enumerate(zip(labels, bins["frames"], strict=True)) if count
    ]  # fmt: skip
    head = ["|yaw|", "frames", *(f"{called}: {said}" for called in avatars for said in ("PSNR", "SSIM", "sharpness"))]
    low, high = bins["range_deg"]
    note = f"Held-out frames are seen from {low:.0f} to {high:.0f} degrees; bins without frames are left out."
    return plot + html.table(table, head=head) + html.sentence(note, "quiet")


def _seconds(record: Mapping[str, Any], other: "EvaluatedAvatar | None") -> str:
    parts = []
    for one in [record, *([other.record] if other is not None else [])]:
        seconds = one["seconds"]
        stages = {
            "capture": seconds["capture"],
            "train": seconds["train"],
            **{f"drive {k}": v for k, v in seconds["drive"].items()},
        }
        rows = [[stage, *item] for stage, steps in stages.items() for item in steps.items() if item[0] != "all"]
        sums = [[stage, "all", steps["all"]] for stage, steps in stages.items()]
        last = ["video to avatar", "", seconds["video_to_avatar"]]
        table = html.table([*rows, *sums, last], head=[short(one), "step", "seconds"], strong=len(rows) + len(sums))
        parts.append(table)
    return html.row(parts)
