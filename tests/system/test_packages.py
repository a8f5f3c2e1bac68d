import pytest

from hem.system.packages import is_installed


@pytest.mark.parametrize(
    ("name", "installed"), [("numpy", True), ("math", True), ("no_such_package", False)]
)
def test_a_package_is_installed_or_not(name, installed):
    assert is_installed(name) is installed


def test_a_folder_is_no_package(tmp_path, monkeypatch):
    (tmp_path / "some_tracker" / "runs").mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path)
    assert not is_installed("some_tracker")
    (tmp_path / "some_tracker" / "__init__.py").touch()
    assert is_installed("some_tracker")
