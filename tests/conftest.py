"""What three files and more need: a small project that was built once, and copies of it."""

from pathlib import Path

import pytest
from hypothesis import settings

from tests.harness import Project, sample_project

settings.register_profile("quiet", deadline=None, derandomize=True)  # a slow machine is no failure; a failure repeats
settings.load_profile("quiet")


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that was built once; tests that change something work on copies."""
    project = sample_project(tmp_path_factory.mktemp("built") / "project")
    assert project.doit().code == 0
    return project


@pytest.fixture
def project(built: Project, tmp_path: Path) -> Project:
    """A copy of the built project."""
    return built.copy(tmp_path / "project")
