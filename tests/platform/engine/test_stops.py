from tallystick_platform.engine.stops import StopScanner


def scan(stops, *pieces):
    scanner = StopScanner(stops)
    return [scanner.push(piece) for piece in pieces], scanner


def test_without_stops_text_passes_at_once():
    assert scan((), "a", "b")[0] == ["a", "b"]


def test_a_stop_string_is_not_given_out():
    given, scanner = scan(("END",), "one END two")
    assert given == ["one "]
    assert scanner.stopped


def test_a_stop_across_pieces_is_found_and_its_beginning_is_held_back():
    given, scanner = scan(("END",), "one E", "N", "D two")
    assert given == ["one ", "", ""]
    assert scanner.stopped


def test_text_that_turns_out_to_be_no_stop_is_given_out():
    given, scanner = scan(("END",), "E", "N", "X")
    assert given == ["", "", "ENX"]
    assert not scanner.stopped


def test_a_stop_whose_beginning_repeats_is_found():
    given, scanner = scan(("aab",), "a", "a", "a", "b")
    assert "".join(given) == "a"
    assert scanner.stopped


def test_the_stop_that_is_complete_first_wins():
    given, scanner = scan(("abc", "b"), "abc")
    assert given == ["a"]
    assert scanner.stopped


def test_of_two_stops_complete_together_the_longer_wins():
    assert scan(("b", "ab"), "xab")[0] == ["x"]


def test_flush_gives_what_was_held():
    _, scanner = scan(("END",), "one EN")
    assert scanner.flush() == "EN"
    assert scanner.flush() == ""


def test_after_the_stop_nothing_is_given_out():
    _, scanner = scan(("x",), "ax")
    assert scanner.push("more") == ""
    assert scanner.flush() == ""


def test_an_empty_stop_string_stops_nothing():
    assert scan(("",), "abc")[0] == ["abc"]
