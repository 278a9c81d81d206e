from pipelines.evaluate.page_charts import grouped_bars


def test_groups_without_frames_are_left_out_and_missing_bars_are_dashes() -> None:
    text = grouped_bars(["a", "b", "c"], [3, 0, 1], {"one": [20.0, None, 10.0], "two": [5.0, None, None]}, "Title", unit="dB")
    assert ">a</text>" in text and ">c</text>" in text and ">b</text>" not in text
    assert "3 frames" in text and "Title, dB" in text and text.count("–") == 1
    assert text.count("<rect") == 3 + 2, "three bars and two names in the legend"


def test_bars_are_as_tall_as_their_values() -> None:
    text = grouped_bars(["a"], [1], {"one": [20.0], "two": [10.0]}, "Title")
    tall = [float(part.split('height="')[1].split('"')[0]) for part in text.split("<rect")[1:3]]
    assert tall[0] == 2 * tall[1] > 0


def test_nothing_known_is_no_plot() -> None:
    assert grouped_bars(["a"], [0], {"one": [None]}, "Title") == ""
    assert grouped_bars(["a"], [2], {"one": [None]}, "Title") == ""
