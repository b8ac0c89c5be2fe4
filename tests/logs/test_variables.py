"""The values of a pattern's variables."""

from agentd.logs.variables import MAX_VALUES, Values, bare


def test_values_are_counted_exactly_up_to_a_bound():
    values = Values("from")
    values.add([("10.0.0.1", 286), ("10.0.0.2", 80)])
    values.add([("10.0.0.2", 1)])
    assert values.top(2) == [("10.0.0.1", 286), ("10.0.0.2", 81)]
    assert (values.distinct, values.exact, values.addresses) == (2, True, True)


def test_beyond_the_bound_the_frequent_ones_stay_and_say_that_they_are_approximate():
    values = Values("user")
    values.add([("root", 5000)])
    values.add((f"name{number}", 1) for number in range(MAX_VALUES))
    assert values.top(1) == [("root", 5000)]
    assert not values.exact
    assert values.distinct < MAX_VALUES


def test_ids_are_not_counted():
    values = Values("block")
    values.add((f"blk_{number}", 1) for number in range(MAX_VALUES + 1))
    assert (values.ids, values.counts) == (True, {})
    values.add([("blk_1", 1)])
    assert values.counts == {}


def test_a_sample_is_scaled_and_marked():
    values = Values("from")
    values.add([("10.0.0.1", 3)], weight=16)
    assert (values.top(1), values.exact) == ([("10.0.0.1", 48)], False)


def test_what_is_stored_comes_back():
    values = Values("from", {"a": 1}, exact=False)
    assert Values.from_json(values.to_json()) == values


def test_punctuation_is_no_part_of_a_value():
    assert [bare(word) for word in ("[187.141.143.180]", "(root),", "10.0.0.1:")] == [
        "187.141.143.180",
        "root",
        "10.0.0.1",
    ]
