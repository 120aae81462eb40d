import re
from pathlib import Path

import pytest

from ssl_perception import config
from ssl_perception.errors import InputError
from ssl_perception.flow import METHODS

ROOT = Path(__file__).resolve().parents[3]


def test_defaults_are_valid_and_every_setting_says_what_it_is() -> None:
    config.Config()
    for setting in config.settings(config.Config):
        assert setting.description, f"{setting.name} has no description"


def test_every_number_has_bounds() -> None:
    for setting in config.settings(config.Config):
        if setting.annotation in (int, float):
            assert setting.bounds, f"{setting.name} has no bounds"


def test_every_method_that_can_be_chosen_exists() -> None:
    choices = config.FlowConfig.model_json_schema()["properties"]["method"]["enum"]
    assert set(choices) == set(METHODS)


def test_a_yaml_file_changes_just_what_it_names(tmp_path: Path) -> None:
    file = tmp_path / "robot.yaml"
    file.write_text("scan:\n  range_max: 12.5\n")
    loaded = config.load(file)
    assert loaded.scan.range_max == 12.5
    assert loaded.scan.range_min == config.Config().scan.range_min
    assert loaded.flow == config.Config().flow


def test_an_empty_file_gives_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "empty.yaml"
    file.write_text("")
    assert config.load(file) == config.Config()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("scam: {}", "scam: unknown key"),
        ("scan: {sectorz: 3}", "scan.sectorz: unknown key"),
        ("scan: {sectors: 0}", "scan.sectors: .*greater than or equal to 1, not 0"),
        ("scan: {range_max: .nan}", "scan.range_max: .*finite"),
        ("scan: {range_max: .inf}", "scan.range_max: .*finite"),
        ("scan: {range_min: 9, range_max: 3}", "range_min must be below range_max"),
        ("flow: {method: magic}", "flow.method: .*'rigid_cluster'"),
        ("stereo: {disparities: 60}", "stereo.disparities: .*multiple of 16"),
        ("- 1\n- 2", "must hold keys and values, not list"),
        ("a: [1", "not valid YAML"),
        ("!!python/object/apply:os.system ['true']", "not valid YAML"),
    ],
)
def test_bad_settings_are_named_in_one_line(tmp_path: Path, text: str, line: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=line) as caught:
        config.load(file)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.yaml: No such file"):
        config.load(tmp_path / "absent.yaml")


def test_binary_and_huge_files_are_refused(tmp_path: Path) -> None:
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(InputError, match="not a UTF-8 text file"):
        config.load(binary)
    huge = tmp_path / "huge.yaml"
    huge.write_bytes(b"#" * (config.MAX_YAML_BYTES + 1))
    with pytest.raises(InputError, match="larger than"):
        config.load(huge)


def test_overrides_apply_in_order() -> None:
    changed = config.override(config.Config(), ["scan.sectors=36", "scan.sectors=18"])
    assert changed.scan.sectors == 18


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ("scan.sectors", "write section.key=value"),
        ("scan.nothing=1", "unknown key 'scan.nothing'"),
        ("nowhere.sectors=1", "unknown key"),
        ("scan.sectors.deeper=1", "unknown key"),
        ("scan.sectors=-4", "scan.sectors"),
        ("scan.sectors=[", "not a YAML value"),
    ],
)
def test_bad_overrides_are_named(setting: str, line: str) -> None:
    with pytest.raises(InputError, match=line):
        config.override(config.Config(), [setting])


def test_every_setting_is_read_somewhere() -> None:
    """One that nobody reads changes nothing, whatever the docs say."""
    sources = [
        f for part in ("ssl_perception", "sim", "ros_ws") for f in (ROOT / part).rglob("*.py")
    ]
    text = "".join(f.read_text(encoding="utf-8") for f in sources if f.name != "config.py")
    read = set(re.findall(r"\.(\w+)", text))
    assert [
        s.name for s in config.settings(config.Config) if s.name.split(".")[-1] not in read
    ] == []


def test_the_documented_settings_are_the_real_ones() -> None:
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert config.markdown_table() in text, (
        "run: python -m ssl_perception.config.table docs/settings.md"
    )
