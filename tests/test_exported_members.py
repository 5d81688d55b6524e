import asyncwds


def test_all_is_sorted_and_every_name_resolves():
    assert asyncwds.__all__ == sorted(asyncwds.__all__, key=lambda name: (not name[0].isupper(), not name.isupper(), name))
    for name in asyncwds.__all__:
        assert getattr(asyncwds, name) is not None


def test_all_is_what_can_be_resolved():
    homes = [*asyncwds._HOMES.values(), *asyncwds._DATASETS.values()]
    listed = {name for names in homes for name in names} | {*asyncwds._MODULES}
    assert set(asyncwds.__all__) == listed
    assert listed <= set(dir(asyncwds))


def test_a_name_that_is_not_there_is_an_attribute_error():
    assert not hasattr(asyncwds, "nothing_of_that_name")
