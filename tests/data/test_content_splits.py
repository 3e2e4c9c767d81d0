from transfergrid.data.content_splits import named


def test_the_first_few_are_named_and_none_fills_a_screen():
    assert named(["a", "b"]) == "a, b"
    assert named([1, 2, 3, 4]) == "1, 2, 3, ..."
    assert named(["x" * 120, "y" * 121]) == f"{'x' * 120}, {'y' * 120}…"
