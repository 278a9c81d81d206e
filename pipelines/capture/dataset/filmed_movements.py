"""Which movements a capture shows: in how many frames of the film, in how many that were kept, how strongly."""

from typing import Any

import numpy as np

from pipelines.capture.frames.scan import Scan
from pipelines.face.movements import Faces, missing_sentence, movement_strength, movement_table, strengths


def filmed_movements(seen: Scan, kept: Scan, canonical: np.ndarray) -> tuple[list[dict[str, Any]], str]:
    """`movements` of capture.json, and the sentence about what no frame shows, empty where nothing is missing.

    `example` is the source index of the kept frame that shows the movement most; it is left out where none shows it.
    """
    usable = seen.usable
    signals = strengths(Faces.of(seen.points[usable], seen.time_s[usable], canonical))
    is_kept = np.isin(seen.index[usable], kept.index)
    table, rows = movement_table(signals), []
    for filmed in table:
        shown = filmed.rows[is_kept[filmed.rows]]
        row = filmed.record() | {"frames": len(filmed.rows), "kept": len(shown)}
        if len(shown):
            row["example"] = int(seen.index[usable][shown[np.argmax(movement_strength(filmed.movement, signals)[shown])]])
        rows.append(row)
    return rows, missing_sentence(table)
