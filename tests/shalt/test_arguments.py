"""What the commands share."""

from shalt.arguments import Later


def test_a_module_is_loaded_when_one_of_its_names_is_asked_for() -> None:
    later = Later("json.tool")
    assert callable(later.main)
