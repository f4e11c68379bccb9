"""Settings: where values come from, and what is said about wrong ones."""

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from shalt.settings import Explained, Settings, SettingsError, explain, load
from storage.capture import Dialect


@pytest.fixture(autouse=True)
def _empty_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(text: str, name: str = "shalt.toml") -> Path:
    path = Path(name)
    path.write_text(text)
    return path


def explained(**overrides: object) -> dict[str, Explained]:
    return {row.name: row for row in explain(load(None, **overrides))}


def test_defaults_need_no_configuration() -> None:
    settings = load()
    assert settings.store_url == "sqlite:///shalt-data/shalt.sqlite"
    assert settings.default_upstream == "openai"
    assert settings.upstreams["openai"].base_url == "https://api.openai.com/v1"
    assert settings.upstreams["openai"].secret is None


def test_options_win_over_variables_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    write('port = 1\nworkers = 2\nproject = "file"')
    monkeypatch.setenv("SHALT_WORKERS", "3")
    monkeypatch.setenv("SHALT_PROJECT", "variable")
    settings = load(project="option")
    assert (settings.port, settings.workers, settings.project) == (1, 3, "option")


def test_a_variable_names_the_file_unless_an_option_does(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("one.toml").write_text("port = 1")
    Path("two.toml").write_text("port = 2")
    monkeypatch.setenv("SHALT_CONFIG", "one.toml")
    assert (load().port, load(Path("two.toml")).port) == (1, 2)
    assert explained()["config"].source == "SHALT_CONFIG"


def test_a_file_names_no_other_file() -> None:
    write('config = "other.toml"')
    with pytest.raises(SettingsError, match="a file names no other one"):
        load()


def test_each_value_remembers_its_source(monkeypatch: pytest.MonkeyPatch) -> None:
    write("port = 1\n[upstreams.openai]\nidle_seconds = 7")
    monkeypatch.setenv("SHALT_UPSTREAMS__OPENAI__CONNECTIONS_MAX", "9")
    rows = explained(data_dir=Path("x"))
    assert rows["port"].source == "shalt.toml"
    assert rows["data_dir"].source == "--data-dir"
    assert rows["workers"].source == "default"
    assert rows["upstreams.openai.idle_seconds"].source == "shalt.toml"
    connections = rows["upstreams.openai.connections_max"]
    assert connections.source == "SHALT_UPSTREAMS__OPENAI__CONNECTIONS_MAX"
    assert (connections.value, rows["upstreams.openai.base_url"].source) == ("9", "default")


def test_every_setting_says_what_it_means() -> None:
    assert all(row.meaning.endswith(".") for row in explained().values())


def test_settings_built_directly_read_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    write("workers = 2")
    monkeypatch.setenv("SHALT_PORT", "9")
    assert (Settings().workers, Settings().port) == (1, 8400)


def test_options_that_are_none_are_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHALT_PORT", "9")
    assert load(port=None).port == 9


def test_a_file_that_is_named_must_exist() -> None:
    with pytest.raises(SettingsError, match=r"absent.toml: cannot be read .*check --config"):
        load(Path("absent.toml"))


def test_invalid_toml_names_its_file() -> None:
    with pytest.raises(SettingsError, match=r"other.toml: is not valid TOML: "):
        load(write("port = ", "other.toml"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prot = 1", r"shalt.toml: prot: is not a setting; did you mean port\?"),
        (
            "[upstreams.a]\nbase_url='http://a'\nidle_second = 1",
            r"shalt.toml: upstreams.a.idle_second: .* did you mean idle_seconds\?",
        ),
        (
            "[monitors.a]\nreference='r'\nevry='1h'",
            r"shalt.toml: monitors.a.evry: .* did you mean every\?",
        ),
        ("[monitors.A]\nreference='r'", "monitor name 'A' must match"),
        ("[drift]\nmodel='r'", r"shalt.toml: drift.model: is not a setting"),
        ("port = 99999", "shalt.toml: port: .*less than or equal to 65535"),
        ("spool_sync = 'never'", "shalt.toml: spool_sync: .*'interval' or 'always'"),
        ("group_by = ['weekday']", "shalt.toml: group_by: .*'weekday' is nothing to group by"),
        ("test_ratio = 0.6\nval_ratio = 0.4", "must be below 1"),
        ("spool_bytes_max = '1 MiB'", "spool_segment_bytes must not exceed spool_bytes_max"),
        ("upstreams = 3", "shalt.toml: upstreams: "),
        ("upstreams = {}", "shalt.toml: upstreams: .*at least 1"),
        ("[upstreams.A]\nbase_url='http://a'", "upstream name 'A' must match"),
        ("[upstreams.a]\nkey='client'", "shalt.toml: upstreams.a.base_url: Field required"),
        ("[upstreams.a]\nbase_url='ftp://a'", "upstreams.a.base_url: must be a URL like"),
        ("[upstreams.a]\nbase_url='http://a:b'", "upstreams.a.base_url: "),
        ("[upstreams.a]\nbase_url='http://a/?b=1'", "neither query nor fragment"),
        ("[upstreams.a]\nbase_url='http://u:geheim@a'", "must not hold credentials"),
        ("[upstreams.openai]\nkey='sk-geheim'", "upstreams.openai: key must be 'client' or"),
        ("[upstreams.openai]\nkey='env:TWO_LINES'", "TWO_LINES holds what no header can"),
        ("[upstreams.a]\nbase_url='http://a/é'", "its path in ASCII"),
        (
            "[upstreams.openai]\n[upstreams.anthropic]",
            "exactly one upstream must have default = true; of openai, anthropic none has",
        ),
    ],
)
def test_a_mistake_is_named_with_its_source_and_shows_no_secret(
    text: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWO_LINES", "sk-geheim\nhost: elsewhere")
    write(text)
    with pytest.raises(SettingsError, match=message) as caught:
        load()
    assert "geheim" not in str(caught.value)


def test_an_unknown_variable_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHALT_DATADIR", "x")
    with pytest.raises(SettingsError, match=r"SHALT_DATADIR: .*did you mean SHALT_DATA_DIR\?"):
        load()


def test_an_unknown_variable_of_an_upstream_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHALT_UPSTREAMS__OPENAI__KEYS", "x")
    with pytest.raises(SettingsError, match=r"did you mean SHALT_UPSTREAMS__OPENAI__KEY\?"):
        load()


def test_monitors_and_drift_are_tables_with_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    write("[monitors.calls]\nreference = 'a'\n[drift]\nembedding_model = 'e'")
    monkeypatch.setenv("SHALT_MONITORS__CALLS__ALPHA", "0.01")
    monkeypatch.setenv("SHALT_DRIFT__EMBEDDING_UPSTREAM", "local")
    settings, rows = load(), explained()
    assert settings.monitors["calls"].alpha == 0.01
    assert settings.drift.embedding_upstream == "local"
    assert rows["monitors.calls.alpha"].source == "SHALT_MONITORS__CALLS__ALPHA"
    assert (rows["monitors.calls.windows"].value, rows["drift.embedding_model"].source) == (
        "1h,1d,7d",
        "shalt.toml",
    )


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("SHALT_MONITORS__A__REFERENC", "SHALT_MONITORS__A__REFERENCE"),
        ("SHALT_DRIFT__EMBEDDING_MODELS", "SHALT_DRIFT__EMBEDDING_MODEL"),
    ],
)
def test_an_unknown_variable_of_a_table_is_an_error(
    name: str, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "x")
    with pytest.raises(SettingsError, match=rf"did you mean {meant}\?"):
        load()


def test_a_variable_set_by_kubernetes_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHALT_SERVICE_HOST", "10.0.0.1")
    with pytest.raises(SettingsError, match="enableServiceLinks: false"):
        load()


def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHALT_PORT", "http")
    with pytest.raises(SettingsError, match=r"^SHALT_PORT: Input should be a valid integer"):
        load()


def test_a_wrong_table_in_a_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHALT_UPSTREAMS", "openai")
    with pytest.raises(SettingsError, match="environment: .*upstreams.*given as JSON"):
        load()


def test_a_wrong_option_is_named() -> None:
    with pytest.raises(SettingsError, match=r"^--workers: .*greater than or equal to 1"):
        load(workers=0)


def test_lists_come_with_commas_or_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHALT_GROUP_BY", "tag:customer, root")
    monkeypatch.setenv("SHALT_METRICS_MODELS", '["gpt-4o", "o3"]')
    settings = load()
    assert settings.group_by == ("tag:customer", "root")
    assert settings.metrics_models == ("gpt-4o", "o3")


def test_sizes_may_have_units() -> None:
    write("body_bytes_max = '2 MiB'")
    assert load().body_bytes_max == 2 * 1024 * 1024


def test_a_held_key_is_resolved_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-geheim")
    write("[upstreams.openai]\nkey = 'env:MY_KEY'")
    settings = load()
    secret = settings.upstreams["openai"].secret
    assert secret is not None
    assert secret.get_secret_value() == "sk-geheim"
    assert "geheim" not in repr(settings) + repr(list(explain(settings)))


def test_who_only_reads_the_store_needs_no_key() -> None:
    write("[upstreams.openai]\nkey = 'env:NOT_SET_42'")
    assert load().upstreams["openai"].secret is None


def test_the_password_of_the_store_is_never_shown() -> None:
    settings = load(store="postgresql://me:geheim@db/shalt?sslmode=require&password=geheim")
    row = next(row for row in explain(settings) if row.name == "store")
    assert row.value == "postgresql://me:***@db/shalt?sslmode=require&password=***"
    assert "geheim" not in repr(settings)
    assert settings.store_url.count("geheim") == 2


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
def test_loopback_addresses_need_no_confirmation(host: str) -> None:
    assert load(host=host).host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org"])
def test_an_address_others_can_reach_is_refused_unless_insecure(host: str) -> None:
    with pytest.raises(SettingsError, match=r"listen on 127\.0\.0\.1 .*--insecure"):
        load(host=host)
    assert load(host=host, insecure=True).host == host


def test_upstream_replaces_the_default_base_url_and_guesses_the_dialect() -> None:
    assert load(upstream="http://127.0.0.1:9/v1/").upstreams["openai"].base_url.endswith(":9/v1")
    upstream = load(upstream="https://api.anthropic.com/v1").upstreams["openai"]
    assert upstream.dialect is Dialect.ANTHROPIC
    rows = explained(upstream="http://a/v1")
    assert rows["upstreams.openai.base_url"].source == "--upstream"


def test_upstream_leaves_the_others_alone() -> None:
    write("[upstreams.anthropic]\n[upstreams.vllm]\nbase_url='http://v'\ndefault=true")
    upstreams = load(upstream="http://w").upstreams
    assert upstreams["vllm"].base_url == "http://w"
    assert upstreams["anthropic"].base_url == "https://api.anthropic.com/v1"
    assert upstreams["anthropic"].dialect is Dialect.ANTHROPIC


def test_a_single_upstream_is_the_default() -> None:
    write("[upstreams.vllm]\nbase_url = 'http://127.0.0.1:8000/v1'")
    assert load().default_upstream == "vllm"


def test_settings_travel_to_other_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-1")
    write("[upstreams.openai]\nkey = 'env:MY_KEY'")
    settings = load()
    monkeypatch.delenv("MY_KEY")
    travelled = pickle.loads(pickle.dumps(settings))
    assert travelled == settings
    assert travelled.upstreams["openai"].secret == settings.upstreams["openai"].secret


def test_settings_load_without_the_heavy_libraries() -> None:
    heavy = "{'sqlalchemy', 'fastapi', 'numpy', 'scipy', 'duckdb', 'sqlglot', 'rich', 'typer'}"
    code = f"import sys, shalt.settings; print(sorted({heavy} & set(sys.modules)))"
    root = Path(__file__).parents[2]
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True
    )
    assert run.stdout.strip() == "[]"
