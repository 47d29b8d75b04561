"""Settings come from what is handed in, and from nowhere else."""

from pathlib import Path

import pytest
from pydantic import Field, PositiveInt, SecretStr
from pydantic_settings import SettingsConfigDict

from context_chat_backend.contract import DriverConfig, Misconfigured
from context_chat_backend.toolkit.settings import VariableSettings, driver_settings, read_settings


class StoreSettings(VariableSettings):
    model_config = SettingsConfigDict(env_prefix="STORE_")

    size: PositiveInt = 3
    key: SecretStr | None = None
    url: str = Field("none", validation_alias="ELSEWHERE_URL")


def test_the_environment_of_the_process_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORE_SIZE", "7")
    assert StoreSettings().size == 3
    assert read_settings(StoreSettings, {}).size == 3


def test_names_are_read_in_any_case_and_an_empty_variable_is_not_set() -> None:
    read = read_settings(StoreSettings, {"store_size": "7", "STORE_KEY": ""})
    assert (read.size, read.key) == (7, None)


def test_with_a_prefix_a_driver_reads_its_own_variables_and_no_others() -> None:
    variables = {"STORE_SIZE": "1", "ELSEWHERE_URL": "here", "OLD_STORE_SIZE": "2", "OLD_ELSEWHERE_URL": "there"}
    new = driver_settings(StoreSettings, DriverConfig(folder=Path(), variables=variables))
    old = driver_settings(StoreSettings, DriverConfig(folder=Path(), variables=variables, prefix="OLD_"))
    assert (new.size, new.url) == (1, "here")
    assert (old.size, old.url) == (2, "there")


def test_a_mistake_is_reported_by_the_whole_name_of_its_variable_and_without_its_value() -> None:
    variables = {"OLD_STORE_SIZE": "hidden", "STORE_SIZE": "1"}
    with pytest.raises(Misconfigured, match="OLD_STORE_SIZE: ") as error:
        driver_settings(StoreSettings, DriverConfig(folder=Path(), variables=variables, prefix="OLD_"))
    assert "hidden" not in str(error.value)
