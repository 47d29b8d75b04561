"""The files for running the gateway with R2R fit together and give nothing away."""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

REPO = Path(__file__).parents[2]
COMPOSE = REPO / "docker-compose.r2r-prod.example.yaml"
R2R_TOML = REPO / "docs" / "examples" / "r2r" / "ga_r2r.toml"
LITELLM = REPO / "docs" / "examples" / "r2r" / "litellm.yaml"

REFERENCE = re.compile(r"(?<!\$)\$\{(\w+)(?::?([-?+])([^}]*))?\}")
"""`${NAME}`, `${NAME:-default}`, `${NAME:?message}` as Compose reads them."""
SECRET = re.compile(r"PASS(WORD)?$|SECRET|TOKEN|KEY(SET)?$")
PLACEHOLDER = re.compile(r"@[A-Z0-9_]+@")


def load_yaml(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = YAML(typ="safe", pure=True).load(path.read_text("utf-8"))
    return content


def read_example(name: str) -> dict[str, str]:
    """The variables of an example file, those that are commented out too."""
    lines = (REPO / name).read_text("utf-8")
    return dict(re.findall(r"^#?([A-Z][A-Z0-9_]+)=(.*)$", lines, re.MULTILINE))


SERVICES: dict[str, dict[str, Any]] = load_yaml(COMPOSE)["services"]
ONCE = {name for name, service in SERVICES.items() if service["restart"] == "no"}
LASTING = sorted(SERVICES.keys() - ONCE)
CONFIGURATION = tomllib.loads(R2R_TOML.read_text("utf-8"))
R2R_ENV = read_example("r2r.env.example")


def references() -> list[tuple[str, str, str]]:
    """Name, operator and default or message of each variable that Compose fills in."""
    code = "\n".join(line.partition(" #")[0] for line in COMPOSE.read_text("utf-8").splitlines() if line[:1] != "#")
    return REFERENCE.findall(code)


def environment_of(service: str) -> Mapping[str, str]:
    environment: Mapping[str, str] = SERVICES[service].get("environment", {})
    return environment


def leaves(tree: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from leaves(value, (*path, str(key)))
    else:
        yield path, tree


# ---------------------------------------------------------------------- the compose file


def test_the_compose_file_follows_the_specification() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_every_file_that_a_service_uses_exists_or_has_an_example(service: str) -> None:
    for name in SERVICES[service].get("env_file", []):
        assert (REPO / f"{name}.example").is_file(), name
    for volume in SERVICES[service].get("volumes", []):
        source = volume.split(":")[0]
        assert not source.startswith(".") or (REPO / source).exists(), source


def test_every_volume_is_declared_and_used() -> None:
    used = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert {name for name in used if not name.startswith(".")} == load_yaml(COMPOSE)["volumes"].keys()


def test_the_example_explains_exactly_the_variables_of_the_compose_file() -> None:
    assert {name for name, _, _ in references()} == R2R_ENV.keys()


def test_a_variable_is_either_required_or_has_the_default_that_the_example_shows() -> None:
    for name, operator, default in references():
        assert operator == "?" or (operator, default) == ("-", R2R_ENV[name]), name


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_no_image_floats(service: str) -> None:
    image = SERVICES[service]["image"]
    tag = re.fullmatch(r"[a-z0-9./-]+:(?P<tag>v?\d[\w.-]*)", image)
    digest = re.fullmatch(r"[a-z0-9./-]+@\$\{(?P<name>\w+_DIGEST):\?[^}]*\}", image)
    assert tag or digest, image


def test_r2r_is_the_release_that_everything_was_measured_with() -> None:
    assert SERVICES["r2r"]["image"] == "sciphiai/r2r:3.6.6"


@pytest.mark.parametrize("service", LASTING)
def test_what_runs_for_long_is_restarted_and_watched(service: str) -> None:
    assert SERVICES[service]["restart"] == "unless-stopped"
    assert SERVICES[service]["healthcheck"]["test"][0] == "CMD"


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_a_service_waits_until_what_it_needs_is_ready(service: str) -> None:
    for needed, how in SERVICES[service].get("depends_on", {}).items():
        expected = "service_completed_successfully" if needed in ONCE else "service_healthy"
        assert how == {"condition": expected}, needed


def test_whatever_runs_once_is_waited_for() -> None:
    assert set().union(*(service.get("depends_on", {}) for service in SERVICES.values())) >= ONCE


# ---------------------------------------------------------------------- what is open


@pytest.mark.parametrize("service", sorted(SERVICES.keys() - {"ccbe"}))
def test_everything_but_the_gateway_is_reachable_from_this_machine_only(service: str) -> None:
    assert [port for port in SERVICES[service].get("ports", []) if not port.startswith("127.0.0.1:")] == []
    assert "network_mode" not in SERVICES[service]


def test_only_the_gateway_r2r_and_the_management_pages_are_published() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {
        "ccbe": ["${CCBE_BIND:-127.0.0.1}:10034:10034"],
        "r2r": ["127.0.0.1:7272:7272"],
        "r2r-dashboard": ["127.0.0.1:7273:3000"],
        "hatchet-dashboard": ["127.0.0.1:7274:80"],
        "hatchet-rabbitmq": ["127.0.0.1:15673:15672"],
    }


def test_pages_in_the_browser_are_given_no_credentials() -> None:
    assert [name for name in environment_of("r2r-dashboard") if SECRET.search(name) or "EMAIL" in name] == []


# ---------------------------------------------------------------------- secrets


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_every_secret_comes_from_outside(service: str) -> None:
    for name, value in environment_of(service).items():
        if SECRET.search(name):
            assert REFERENCE.fullmatch(value), f"{name} is written down"
        for password in re.findall(r"://[^:/@\s]+:(.*)@", value):
            assert REFERENCE.fullmatch(password.rpartition("}:")[2]), f"{name} holds a password"


def test_secrets_have_no_default() -> None:
    assert [name for name, operator, _ in references() if SECRET.search(name) and operator != "?"] == []


@pytest.mark.parametrize("example", ["r2r.env.example", "ccbe.env.example", "example.env"])
def test_examples_hold_no_secrets(example: str) -> None:
    assert {name: value for name, value in read_example(example).items() if SECRET.search(name) and value} == {}


def test_accounts_that_are_made_at_the_first_start_get_no_well_known_password() -> None:
    assert CONFIGURATION["auth"]["default_admin_password"] == "@R2R_ADMIN_PASSWORD@"
    assert CONFIGURATION["auth"]["default_admin_email"] == "@R2R_ADMIN_EMAIL@"
    for service in [
        name for name in SERVICES if name.startswith("hatchet-") and "DATABASE_URL" in environment_of(name)
    ]:
        assert environment_of(service).keys() >= {"ADMIN_EMAIL", "ADMIN_PASSWORD"}, service
        assert environment_of(service)["SERVER_ALLOW_SIGNUP"] == "false"


def test_the_gateway_logs_in_as_the_account_that_r2r_makes() -> None:
    gateway, r2r = environment_of("ccbe"), environment_of("r2r")
    assert (gateway["R2R_USER"], gateway["R2R_PASSWORD"]) == (r2r["R2R_ADMIN_EMAIL"], r2r["R2R_ADMIN_PASSWORD"])


# ---------------------------------------------------------------------- R2R's configuration


@pytest.mark.parametrize(
    "password", ["plain", 'quote " and \\ backslash', "$HOME ${X} @R2R_ADMIN_EMAIL@", "höchst 秘密"]
)
def test_the_start_of_r2r_puts_the_account_into_its_configuration(password: str, tmp_path: Path) -> None:
    command = SERVICES["r2r"]["command"][-1]
    script = re.search(r"<<'RENDER'\n(.*?)\nRENDER\n", command, re.DOTALL)
    assert script
    target = tmp_path / "r2r.toml"
    mounted = next(v.split(":")[1] for v in SERVICES["r2r"]["volumes"] if v.startswith("./docs"))
    subprocess.run(
        [sys.executable, "-c", script[1].replace(mounted, str(R2R_TOML))],
        env={
            **os.environ,
            "R2R_CONFIG_PATH": str(target),
            "R2R_ADMIN_EMAIL": "admin@example.org",
            "R2R_ADMIN_PASSWORD": password,
        },
        check=True,
    )
    rendered = tomllib.loads(target.read_text("utf-8"))
    assert rendered["auth"]["default_admin_password"] == password
    assert rendered["auth"].pop("default_admin_email") == "admin@example.org"


def test_every_placeholder_is_a_variable_of_r2r() -> None:
    placeholders = {
        value.strip("@")
        for _, value in leaves(CONFIGURATION)
        if isinstance(value, str) and PLACEHOLDER.fullmatch(value)
    }
    assert placeholders == {"R2R_ADMIN_EMAIL", "R2R_ADMIN_PASSWORD"}
    assert placeholders <= environment_of("r2r").keys()


def test_r2r_asks_for_credentials_and_signs_with_a_key_of_its_own() -> None:
    assert CONFIGURATION["auth"]["require_authentication"] is True
    assert environment_of("r2r")["R2R_SECRET_KEY"].startswith("${R2R_SECRET_KEY:?")


@pytest.mark.parametrize("section", ["embedding", "completion_embedding"])
def test_ingestion_can_send_the_length_of_vectors(section: str) -> None:
    """With any other name litellm refuses `dimensions`, and every ingestion fails."""
    assert CONFIGURATION[section]["base_model"].startswith("openai/text-embedding-3")


def test_documents_and_questions_are_embedded_alike() -> None:
    for key in ("base_model", "base_dimension"):
        assert CONFIGURATION["embedding"][key] == CONFIGURATION["completion_embedding"][key]


def test_the_address_of_the_models_is_where_r2r_looks_for_it() -> None:
    """R2R 3.6.6 ignores `api_base` of embeddings; its libraries read two variables."""
    assert [path for path, _ in leaves(CONFIGURATION) if path[-1] == "api_base"] == []
    assert environment_of("r2r").keys() >= {"OPENAI_API_BASE", "OPENAI_BASE_URL", "OPENAI_API_KEY"}
    assert R2R_ENV["OPENAI_API_BASE"] == R2R_ENV["OPENAI_BASE_URL"] == "http://litellm-proxy:8000/v1"


def test_there_is_room_for_a_collection_per_user() -> None:
    assert CONFIGURATION["app"]["default_max_collections_per_user"] >= 100_000


def test_ingestion_calls_no_model_that_nobody_asked_for() -> None:
    assert CONFIGURATION["ingestion"]["automatic_extraction"] is False
    assert CONFIGURATION["ingestion"]["chunk_enrichment_settings"]["enable_chunk_enrichment"] is False


def test_litellm_knows_every_model_that_r2r_asks_for() -> None:
    keys = ("model", "base_model", "vlm", "audio_lm")
    asked = {
        str(value).removeprefix("openai/")
        for path, value in leaves(CONFIGURATION)
        if path[-1] in keys or path[-1].endswith("_llm")
    }
    assert {entry["model_name"] for entry in load_yaml(LITELLM)["model_list"]} == asked


def test_litellm_gets_every_variable_that_it_reads() -> None:
    read = set(re.findall(r": os\.environ/(\w+)", LITELLM.read_text("utf-8")))
    assert read == environment_of("litellm-proxy").keys() - {"LITELLM_LOCAL_MODEL_COST_MAP"}


@pytest.mark.parametrize("example", ["ccbe.env.example", "example.env"])
def test_the_gateway_sends_nothing_that_r2r_would_refuse(example: str) -> None:
    suggested = read_example(example)["R2R_EXCLUDE_EXTS"].split(",")
    assert suggested == [f".{parser}" for parser in CONFIGURATION["ingestion"]["excluded_parsers"]]


def test_r2r_finds_every_service_of_its_configuration() -> None:
    assert (CONFIGURATION["orchestration"]["provider"], CONFIGURATION["ingestion"]["provider"]) == (
        "hatchet",
        "unstructured_local",
    )
    needed = {"hatchet-engine", "hatchet-token", "unstructured", "graph_clustering", "litellm-proxy", "postgres"}
    assert SERVICES["r2r"]["depends_on"].keys() == needed
    assert environment_of("r2r")["UNSTRUCTURED_SERVICE_URL"] == "http://unstructured:7275"
    assert environment_of("r2r")["CLUSTERING_SERVICE_URL"] == "http://graph_clustering:7276"
