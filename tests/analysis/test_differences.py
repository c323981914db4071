"""Differences between two texts, cut to what can be read at a glance."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from raudo.analysis.differences import Piece, differences, excerpt


def test_words_that_differ_are_told() -> None:
    assert differences("a quick brown fox", "a slow brown fox jumps") == [
        Piece("same", "a"),
        Piece("gone", "quick"),
        Piece("new", "slow"),
        Piece("same", "brown fox"),
        Piece("new", "jumps"),
    ]


def test_case_is_no_difference() -> None:
    assert {piece.kind for piece in differences("The Quick Fox", "the quick fox")} == {"same"}


def test_what_is_far_from_a_difference_is_left_out() -> None:
    words = [f"w{i}" for i in range(300)]
    other = [*words[:150], "changed", *words[151:]]
    pieces = differences(" ".join(words), " ".join(other))
    assert Piece("gone", "w150") in pieces
    assert Piece("new", "changed") in pieces
    assert pieces[0].text.startswith("… ")
    assert sum(len(piece.text.split()) for piece in pieces) < 95


@given(st.text("ab c\n", max_size=200), st.text("ab c\n", max_size=200))
def test_pieces_without_the_struck_ones_are_the_second_text(first: str, second: str) -> None:
    pieces = differences(first, second)
    shown = " ".join(piece.text for piece in pieces if piece.kind != "gone").split()
    if "…" not in shown:
        assert shown == second.split()


def test_excerpt_is_one_line_cut_at_a_word() -> None:
    assert excerpt("one\n  two\tthree") == "one two three"
    assert excerpt("word " * 100, 22) == "word word word word …"
    assert excerpt("x" * 100, 10) == "x" * 10 + " …"
    assert excerpt("") == ""
