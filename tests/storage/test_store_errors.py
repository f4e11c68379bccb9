"""What is said of a store names it, and nothing that is secret."""

from sqlalchemy import make_url

from storage.store_errors import not_ready, shown


def test_a_store_is_named_without_its_password_and_options() -> None:
    url = make_url("postgresql+psycopg://shalt:s3cret@db:5432/traces?password=s3cret")
    assert shown(url) == "postgresql+psycopg://shalt:***@db:5432/traces"


def test_a_store_that_is_not_ready_is_told_how_to_become_so() -> None:
    error = not_ready(make_url("sqlite:////var/lib/shalt.sqlite"), "has no tables")
    assert "sqlite:////var/lib/shalt.sqlite has no tables: `shalt serve`" in str(error)
