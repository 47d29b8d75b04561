"""What becomes of the folder that the environment is in."""

from pathlib import Path

import pytest

from . import install

pytestmark = pytest.mark.r2r


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CCBE_R2R_VENV", str(tmp_path / "venv"))
    return tmp_path / "venv"


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Folders in which an environment was built; nothing is downloaded."""
    built: list[Path] = []
    monkeypatch.setattr(install, "_build", built.append)
    return built


def test_it_is_built_once(folder: Path, builds: list[Path]) -> None:
    assert install.ensure_r2r() == install.ensure_r2r() == folder / "bin" / "python"
    assert builds == [folder]


def test_it_is_built_again_when_the_constraints_change(
    folder: Path, builds: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install.ensure_r2r()
    (tmp_path / "constraints.txt").write_text("httpx==0.27.2\n")
    monkeypatch.setattr(install, "CONSTRAINTS", tmp_path / "constraints.txt")
    install.ensure_r2r()
    assert builds == [folder, folder]


def test_an_interrupted_build_is_repeated(folder: Path, builds: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(folder: Path) -> None:
        (folder / "bin").mkdir()
        raise KeyboardInterrupt

    with monkeypatch.context() as first:
        first.setattr(install, "_build", interrupted)
        with pytest.raises(KeyboardInterrupt):
            install.ensure_r2r()
    install.ensure_r2r()
    assert builds == [folder]


def test_a_folder_with_something_else_is_left_alone(folder: Path, builds: list[Path]) -> None:
    folder.mkdir()
    (folder / "thesis.txt").touch()
    with pytest.raises(RuntimeError, match="CCBE_R2R_VENV"):
        install.ensure_r2r()
    assert [*folder.iterdir()] == [folder / "thesis.txt"]
    assert builds == []
