"""docker-compose.yml: what it mounts is there, and nothing is open to others."""

from pathlib import Path

import yaml

from shalt.settings import Settings

DEPLOY = Path(__file__).parents[2] / "deploy"
SERVICES = yaml.safe_load((DEPLOY / "docker-compose.yml").read_text())["services"]


def test_it_runs_shalt_its_store_and_who_looks_at_it() -> None:
    assert set(SERVICES) == {"shalt", "postgres", "prometheus", "grafana"}


def test_ports_are_of_this_machine_alone() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert len(ports) == 3
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_what_is_mounted_from_here_is_here() -> None:
    mounts = [mount for service in SERVICES.values() for mount in service.get("volumes", ())]
    ours = [mount.split(":")[0] for mount in mounts if mount.startswith(".")]
    assert len(ours) == 5
    assert all((DEPLOY / path).exists() for path in ours)


def test_images_are_of_one_version() -> None:
    images = [service["image"] for service in SERVICES.values() if "image" in service]
    assert all(image.rpartition(":")[2][:1].isalnum() and ":" in image for image in images)
    assert not [image for image in images if image.endswith(":latest")]


def test_its_variables_are_settings() -> None:
    for name in SERVICES["shalt"]["environment"]:
        assert name.removeprefix("SHALT_").lower() in Settings.model_fields, name


def test_grafana_finds_the_dashboard_and_prometheus() -> None:
    folder = DEPLOY / "grafana" / "provisioning"
    provider = yaml.safe_load((folder / "dashboards" / "shalt.yml").read_text())["providers"][0]
    mounts = [mount.split(":")[1] for mount in SERVICES["grafana"]["volumes"]]
    assert provider["options"]["path"] in mounts
    source = yaml.safe_load((folder / "datasources" / "prometheus.yml").read_text())
    assert source["datasources"][0]["url"] == "http://prometheus:9090"


def test_prometheus_scrapes_the_service_of_shalt_and_reads_both_files_of_rules() -> None:
    config = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    assert config["scrape_configs"][0]["static_configs"][0]["targets"] == ["shalt:8400"]
    mounted = {mount.split(":")[1] for mount in SERVICES["prometheus"]["volumes"]}
    assert {f"/etc/prometheus/{name}" for name in config["rule_files"]} <= mounted
