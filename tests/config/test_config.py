"""The configuration file: the shipped one, inheritance between documents, and one sentence for every mistake."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest
import yaml

from kit.documented import CONFIGURATION
from kit.paths import ROOT
from spikey.base.errors import UsageError
from spikey.config.documents import load
from spikey.config.schema import Config
from spikey.model.trained import SHIPPED as MODELS
from spikey.model.trained import architecture
from spikey.model.trained import load as load_model

SHIPPED = ROOT / "config.yaml"


@pytest.fixture
def written(tmp_path):
    """A function that writes a configuration file and returns its path."""

    def write(content: str | bytes) -> Path:
        path = tmp_path / "config.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def refusal(path, name=None) -> str:
    """The sentence with which `load` refuses the file, checked for form and without the folder."""
    with pytest.raises(UsageError) as caught:
        load(path, name)
    sentence = str(caught.value)
    assert "\n" not in sentence and str(path) in sentence and len(sentence) < 600
    return sentence.replace(str(path), Path(path).name)


def test_the_document_test_is_the_documented_configuration():
    assert SHIPPED.read_text(encoding="utf-8").split("\n---\n")[0].strip() == CONFIGURATION.strip()
    documented = yaml.safe_load(CONFIGURATION)
    config = load(SHIPPED)
    assert config == load(SHIPPED, "Test") and config.name == "Test"
    for section, keys in documented.items():
        read = getattr(config, section)
        assert keys == read if isinstance(keys, str) else keys.items() <= read.model_dump().items()
    del documented["predictor"]["type"]  # the only key whose documented value is not the default
    assert Config.model_validate(documented) == Config(name="Test")


def test_shipped_file_documents_every_key_with_its_default():
    documents = {document["name"]: document for document in yaml.safe_load_all(SHIPPED.read_text(encoding="utf-8"))}
    assert load(SHIPPED, "Defaults") == load(SHIPPED).model_copy(update={"name": "Defaults"})
    for key, values in Config().model_dump().items():
        written = [documents[name][key] for name in ("Test", "Defaults") if key in documents[name]]
        assert written, key
        if isinstance(values, dict):
            assert values.keys() == {inner for section in written for inner in section}


@pytest.mark.parametrize("name", re.findall(r"^name: (.*?) *(?:#.*)?$", SHIPPED.read_text(encoding="utf-8"), re.M))
def test_every_shipped_document_can_be_used(name):
    assert architecture(**load(SHIPPED, name).predictor.model_dump(), delta=True).inputs >= 1


@pytest.mark.parametrize("name", ["n1-fixed", "n1-lstm-small"])
def test_documents_of_the_shipped_models_are_what_they_were_trained_with(name):
    trained = load_model(MODELS / f"{name}.safetensors").metadata["config"]
    document = load(SHIPPED, name).model_dump()
    # Keys of that time that are constants now; the tests of training compare them with the code.
    former = {"burn_in", "compress_files", "gradient_clip", "loss", "patience", "schedule", "sequence_length"}
    kept = trained["training"].keys() - former - {"warm_up", "window"}
    assert {"epochs", "minutes", "batch_size", "learning_rate", "eval_freq", "seed", "limit", "leave_out"} <= kept
    for key in kept:
        assert document["training"][key] == trained["training"][key], key
    assert document["data"]["split_ratio"] == trained["data"]["split_ratio"] == 0.93
    for section in ("predictor", "preprocessing", "bitstream_encoding", "calibration"):
        assert document[section] == trained[section]


def test_first_document_or_the_named_one(written):
    path = written("name: A\ntraining: {epochs: 1}\n---\nname: B\ntraining: {epochs: 2}\n---\n")
    assert load(path).training.epochs == 1
    assert load(path, "B").training.epochs == 2
    assert load(str(path), "B").name == "B"


def test_default_then_import_then_own(written):
    path = written(
        "name: DEFAULT\ntraining: {epochs: 1, batch_size: 2, num_points: 3}\npreset: balanced\n"
        "---\nname: A\ntraining: {epochs: 10, batch_size: 20}\n"
        "---\nname: B\nimport: A\ntraining: {epochs: 100}\n"
        "---\nimport: B\n"
        "---\nname: E\nimport: DEFAULT\n"
    )
    assert load(path).name == "A"  # DEFAULT is not the first one unless it is alone
    b = load(path, "B")
    assert (b.training.epochs, b.training.batch_size, b.training.num_points, b.preset) == (100, 20, 3, "balanced")
    assert load(path, "E").training.epochs == 1
    assert load(path, "DEFAULT").training.epochs == 1


def test_document_without_name_inherits_none(written):
    assert load(written("import: A\n---\nname: A\n")).name == Config().name


def test_empty_sections_and_integers_for_floats(written):
    config = load(written("predictor:\ntraining:\n  learning_rate: 1\npreset:\n"))
    assert config.predictor == Config().predictor and config.preset is None
    assert config.training.learning_rate == 1.0


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "1.e-3", "0.001", "1.0e-3"])
def test_exponents_are_numbers(written, text):
    assert load(written(f"training: {{learning_rate: {text}}}")).training.learning_rate == 0.001


def test_anchors_and_merge_keys_work(written):
    path = written("name: A\ntraining: &t {epochs: 3, batch_size: 4}\n---\nname: B\n")
    assert load(path).training.epochs == 3
    path = written("predictor: &p {num_layers: 3}\ntraining: {<<: *p}\n")
    assert "training.num_layers is not a known key; did you mean predictor.num_layers?" in refusal(path)


MISTAKES = {
    "predictor: {hiden_size: 3}": "config.yaml: predictor.hiden_size is not a known key; did you mean hidden_size?",
    "predictr: {}": "config.yaml: predictr is not a known key; did you mean predictor?",
    "epochs: 3": "config.yaml: epochs is not a known key; did you mean training.epochs?",
    "training: {zzz: 3}": "config.yaml: training.zzz is not a known key; there is epochs, batch_size, learning_rate, "
    "eval_freq, save_path, num_points",
    "predictor: {type: LSTM}": "config.yaml: predictor.type must be one of lpc, lstm, fixed_input_nn, wide, "
    "not 'LSTM'; did you mean lstm?",
    "predictor: {type: 3}": "config.yaml: predictor.type must be one of lpc, lstm, fixed_input_nn, wide, not 3",
    "bitstream_encoding: {type: arithmetik}": "config.yaml: bitstream_encoding.type must be one of arithmetic, "
    "not 'arithmetik'; did you mean arithmetic?",
    "preset: slowest": "config.yaml: preset must be one of fast, balanced, max, not 'slowest'",
    "preset: 3": "config.yaml: preset must be one of fast, balanced, max, not 3",
    "preset: [max]": "config.yaml: preset must be one of fast, balanced, max, not ['max']",
    "training: {resume: always}": "config.yaml: training.resume must be one of auto, never, not 'always'",
    "training: {logger: wandn}": "must be one of tensorboard, wandb, none, not 'wandn'; did you mean wandb?",
    "preset: fsat": "did you mean fast?",
    "training: {epochs: '3'}": "config.yaml: training.epochs must be a whole number, not '3'",
    "training: {epochs: 3.0}": "config.yaml: training.epochs must be a whole number, not 3.0",
    "training: {epochs: yes}": "config.yaml: training.epochs must be a whole number, not true",
    "training: {epochs: }": "config.yaml: training.epochs must be a whole number, not empty",
    "training: {epochs: 0}": "config.yaml: training.epochs must be at least 1, not 0",
    "training: {batch_size: -1}": "config.yaml: training.batch_size must be at least 1, not -1",
    "predictor: {num_layers: 1000}": "config.yaml: predictor.num_layers must be at most 64, not 1000",
    "training: {learning_rate: 0}": "config.yaml: training.learning_rate must be greater than 0, not 0",
    "training: {learning_rate: true}": "config.yaml: training.learning_rate must be a number, not true",
    "training: {learning_rate: .nan}": "config.yaml: training.learning_rate must be a finite number, not nan",
    "data: {split_ratio: 1.0}": "config.yaml: data.split_ratio must be less than 1, not 1.0",
    "data: {url: ''}": "config.yaml: data.url must be a text that is not empty, not ''",
    'data: {url: "a\\0b"}': "config.yaml: data.url must be of another form, not 'a\\x00b'",
    "data: {directory: ''}": "config.yaml: data.directory must be a text that is not empty, not ''",
    "preprocessing: {use_delta_encoding: 1}": "config.yaml: preprocessing.use_delta_encoding must be true or false",
    "preprocessing: true": "config.yaml: preprocessing must be a section of keys, not true",
    "name: [A]": "config.yaml: name must be text, not ['A']",
    "name: 5": "config.yaml: name must be text, not 5",
    "name: ../x": "config.yaml: name must be of another form, not '../x'",
    'name: "\\ud800"': "config.yaml: name must be",
    "calibration: 3": "config.yaml: calibration must be text, not 3",
    "import: B": "config.yaml: no document is named 'B'",
    "": "config.yaml: holds no configuration, it is empty",
    "# nothing\n---\n---\n": "config.yaml: holds no configuration, it is empty",
    "- 1": "config.yaml: document 1 is [1], not a set of",
    "hello": "config.yaml: document 1 is 'hello', not a set of",
    "a: [1": "config.yaml: is not valid YAML in line 1: ",
    "a: 1\n\tb: 2": "config.yaml: is not valid YAML in line ",
    "name: A\nname: B": "config.yaml: is not valid YAML in line 2: the key 'name' occurs twice",
    "training: {epochs: 1, epochs: 2}": "the key 'epochs' occurs twice",
    "1: 2": "config.yaml: is not valid YAML in line 1: the key '1' is not a name",
    "? [a]\n: 2": "the key that is a list or mapping is not a name",
    "name: A\n---\nname: A": "config.yaml: two documents are named 'A'",
    "name: DEFAULT\nimport: A\n---\nname: A": "config.yaml: the document DEFAULT cannot import another one",
    "name: A\nimport: B\n---\nname: B\nimport: A": "the imports go in a circle: 'A' > 'B' > 'A'",
    "name: A\nimport: A": "the imports go in a circle: 'A' > 'A'",
    "name: A\nimport: [A]": "config.yaml: no document is named ['A']",
    "name: 2024-99-99": "config.yaml: is not usable as YAML: ",
    "name: !!bool maybe": "config.yaml: is not usable as YAML: ",
    "name: !!timestamp x": "config.yaml: is not usable as YAML: ",
    "name: !!python/object/apply:os.getcwd []": "config.yaml: is not valid YAML in line 1: could not determine",
    "training: {epochs: 0x" + "f" * 9000 + "}": "training.epochs must be at most 1000000000, not a number of thousands",
}


@pytest.mark.parametrize("text", MISTAKES, ids=lambda text: text[:40])
def test_every_mistake_is_one_sentence(written, text):
    assert MISTAKES[text] in refusal(written(text))


def test_unknown_document_and_where_it_happened(written):
    path = written("name: Test\n---\nname: Other\ntraining: {epochs: 0}\n")
    assert refusal(path, "Tset") == "config.yaml: no document is named 'Tset'; did you mean Test? [configuration]"
    others = "there is 'Test', 'Other' [configuration]"
    assert refusal(path, "zzzzz") == f"config.yaml: no document is named 'zzzzz'; {others}"
    assert refusal(path, "Other").startswith("config.yaml, document 'Other': training.epochs must be at least 1")


def test_files_that_cannot_be_read(tmp_path, written):
    assert "cannot be read (No such file or directory)" in refusal(tmp_path / "missing.yaml")
    assert "cannot be read (Is a directory)" in refusal(tmp_path)
    with pytest.raises(UsageError, match="cannot be read"):
        load("a\0b")
    assert "is not usable as YAML" in refusal(written(b"name: \xff\xfe\x00"))
    assert "larger than 1 MiB" in refusal(written(b"#" * (1 << 20) + b"\n"))
    unreadable = written("name: A")
    unreadable.chmod(0)
    if not os.access(unreadable, os.R_OK):  # an administrator reads everything
        assert "cannot be read (Permission denied)" in refusal(unreadable)


@pytest.mark.parametrize(
    "text",
    [
        "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10)),
        "a: &a [*a]",
        "a: &a {b: *a}",
        "a: &a {<<: *a}",
        "a: " + "[" * 500_000,
        "a: " + "{a: " * 100_000,
        "- " * 300_000,
        "a: [" + "1, " * 300_000 + "1]",
        "a: &x '" + "y" * 500_000 + "'\nimport: [" + "*x, " * 9_000 + "1]",
        "preset: &x '" + "y" * 500_000 + "'",
        "0x" + "f" * 500_000 + ": 1",
        "a: !" + "f" * 500_000 + " 1",
    ],
    ids=[
        "laughs",
        "circle",
        "circle of keys",
        "circle of merges",
        "brackets",
        "braces",
        "dashes",
        "list",
        "texts",
        "text",
        "key",
        "tag",
    ],
)
def test_bombs_are_refused_quickly(written, text):
    start = time.process_time()
    refusal(written(text))
    assert time.process_time() - start < 5
