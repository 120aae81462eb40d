import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

from ssl_perception import config
from ssl_perception.errors import InputError
from ssl_perception.flow import METHODS

ROOT = Path(__file__).resolve().parents[3]
_SPEC = importlib.util.spec_from_file_location(
    "section_reads", Path(__file__).with_name("section_reads.py")
)
assert _SPEC is not None and _SPEC.loader is not None
section_reads = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(section_reads)


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
    huge.write_bytes(b"#" * ((1 << 20) + 1))
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
        ("scan.sectors=[", "scan.sectors: not valid YAML"),
    ],
)
def test_bad_overrides_are_named(setting: str, line: str) -> None:
    with pytest.raises(InputError, match=line):
        config.override(config.Config(), [setting])


@pytest.mark.parametrize(("old", "new"), config.RENAMED.items())
def test_an_old_name_is_one_error_that_names_the_new_one(old: str, new: str) -> None:
    known = {s.name for s in config.settings(config.Config)}
    assert new in known or any(name.startswith(f"{new}.") for name in known)
    line = f"{re.escape(old)}:? is now called {re.escape(new)}$"
    with pytest.raises(InputError, match=line):
        config.override(config.Config(), [f"{old}=1"])
    if old.startswith("flow.neural_prior.rigid."):
        old, new = "flow.neural_prior.rigid", "flow.rigid_cluster"  # in YAML the whole section
        line = f"{re.escape(old)}: is now called {re.escape(new)}$"
    values: Any = 1
    for key in reversed(old.split(".")):
        values = {key: values}
    with pytest.raises(InputError, match=line):
        config.from_dict(values)


def test_every_setting_is_read_somewhere() -> None:
    """One that nothing reads changes nothing, whatever the docs say."""
    files = [f for part in ("ssl_perception", "sim", "ros_ws") for f in (ROOT / part).rglob("*.py")]
    declared = ROOT / "ssl_perception" / "config"
    read = section_reads.reads(f.read_text(encoding="utf-8") for f in files if f.parent != declared)
    leaves = dict(section_reads.leaves(config.Config))
    assert [name for leaf, name in leaves.items() if leaf not in read] == []


def test_a_setting_that_is_read_in_another_section_alone_is_not_read() -> None:
    source = """
def chosen(config: Config, scan: ScanConfig | None, other: object) -> object:
    mine = config.stereo
    return mine.block, scan.sectors, other.huber, config.learner, config.trust.z
"""
    leaves = dict(section_reads.leaves(config.Config))
    read = {leaves[leaf] for leaf in section_reads.reads([source]) if leaf in leaves}
    assert read == {"stereo.block", "scan.sectors", "trust.z"}


def test_a_preset_is_what_its_name_gives_as_a_ros_parameter() -> None:
    """The nodes start from ``flat(preset(name))``: put together again it is the same."""
    assert config.presets() == ["drone", "street"]
    drone = config.preset("drone")
    assert drone != config.Config()
    values = config.flat(drone)
    assert set(values) == {setting.name for setting in config.settings(config.Config)}
    tree: dict[str, Any] = {}
    for name, value in values.items():
        *path, leaf = name.split(".")
        place = tree
        for part in path:
            place = place.setdefault(part, {})
        place[leaf] = value
    assert config.from_dict(tree) == drone


def test_an_unknown_preset_is_one_line_that_lists_the_known() -> None:
    with pytest.raises(InputError, match="preset 'boat' is not one of drone"):
        config.preset("boat")


@pytest.mark.parametrize(("old", "new"), sorted(config.RENAMED.items()))
def test_a_renamed_setting_is_one_line_with_the_new_name(
    tmp_path: Path, old: str, new: str
) -> None:
    known = {setting.name for setting in config.settings(config.Config)}
    # a whole section may have moved: then its settings are known
    assert any(name == new or name.startswith(f"{new}.") for name in known) and old not in known
    *sections, leaf = old.split(".")
    file = tmp_path / "old.yaml"
    file.write_text(": {".join([*sections, leaf]) + ": 0.5" + "}" * len(sections) + "\n")
    given = next(
        name
        for name in (".".join([*sections, leaf][:n]) for n in range(1, 9))
        if name in config.RENAMED
    )  # the first part that is gone
    line = re.escape(f"{given}: is now called {config.RENAMED[given]}")
    with pytest.raises(InputError, match=line) as caught:
        config.load(file)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=re.escape(f"{old} is now called {new}")):
        config.override(config.Config(), [f"{old}=0.5"])


def test_the_documented_settings_are_the_real_ones() -> None:
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert config.markdown_table() in text, (
        "run: python -m ssl_perception.config.table docs/settings.md"
    )
