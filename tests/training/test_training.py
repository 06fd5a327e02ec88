"""Training end to end on simulated recordings: what is learned, rounded, kept, interrupted, refused."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import wave
import zipfile
from pathlib import Path

import numpy as np
import pytest

from kit.paths import ROOT

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

import yaml  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

from kit.writing import compare_networks  # noqa: E402
from spikey.base.errors import DataError, SpikeyError, UsageError  # noqa: E402
from spikey.cli import app  # noqa: E402
from spikey.cli.train import main, train  # noqa: E402
from spikey.config.documents import load as load_config  # noqa: E402
from spikey.container import layout as lay  # noqa: E402
from spikey.container.reader import Reader  # noqa: E402
from spikey.files.decompress import decompress_file  # noqa: E402
from spikey.model import trained  # noqa: E402
from spikey.model.trained import Architecture, load  # noqa: E402
from spikey.recording.simulate import simulate  # noqa: E402
from spikey.training import callbacks, module, plan, results, run, sampler  # noqa: E402
from spikey.training.dataset import calibration_of, channel_of, gather  # noqa: E402
from spikey.training.evaluate import bits_by_channel, compress  # noqa: E402
from spikey.training.grow import grow  # noqa: E402
from spikey.training.network import Network, bits  # noqa: E402
from spikey.training.quantise import keep_inside, quantise, restored  # noqa: E402
from spikey.training.sampler import WholeSampler, WindowSampler  # noqa: E402

LSTM = {"type": "lstm", "input_size": 23, "hidden_size": 8, "num_layers": 1}
DENSE = {"type": "fixed_input_nn", "input_size": 9, "fixed_input_size": 8, "hidden_size": 16, "num_layers": 2}
ALONE = {"type": "fixed_input_nn", "input_size": 1, "fixed_input_size": 6, "hidden_size": 8, "num_layers": 1}
QUICK = {
    "epochs": 2,
    "batch_size": 4,
    "learning_rate": 0.005,
    "eval_freq": 1,
    "num_points": 50,
    "accelerator": "cpu",
    "threads": 1,
    "logger": "none",
}


def write_wav(path: Path, samples: np.ndarray) -> Path:
    path.parent.mkdir(exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(19_531)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A folder of simulated recordings, one of them with two channels and one too short."""
    folder = tmp_path_factory.mktemp("recordings") / "data"
    for seed in range(5):
        write_wav(folder / f"{seed}.wav", simulate(4000 + 10 * seed, 1 + (seed == 0), seed=seed))
    write_wav(folder / "short.wav", simulate(50, seed=9))
    return folder


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    """Constants for trainings of a few steps, which compress nothing while they evaluate."""
    monkeypatch.setattr(module, "WARM_UP", 10)
    monkeypatch.setattr(plan, "COMPRESSED", 0)


@pytest.fixture
def configured(tmp_path, data):
    """A function that writes a configuration and returns its path."""

    def write(predictor: dict, **training) -> str:
        document = {
            "name": "Mine",
            "predictor": predictor,
            "training": {**QUICK, "save_path": str(tmp_path / "models"), **training},
            "data": {"directory": str(data)},
        }
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(document))
        return str(path)

    return write


def metrics(folder: Path) -> dict:
    return json.loads((folder / "models" / "Mine" / "metrics.json").read_text())


@pytest.mark.parametrize("predictor", [LSTM, DENSE], ids=["lstm", "fixed_input_nn"])
def test_from_recordings_to_a_model_that_restores_them(predictor, configured, tmp_path, data, capsys, monkeypatch):
    monkeypatch.setattr(plan, "COMPRESSED", 1)
    said = train(configured(predictor, logger="tensorboard", epochs=4), "Mine")
    model = load(tmp_path / "models" / "Mine.safetensors")
    assert model.id.hex() in said and "compresses to" in said
    assert model.metadata["name"] == "Mine"
    assert model.metadata["config"]["training"]["batch_size"] == 4
    assert model.architecture == Architecture(
        predictor["type"], False, 8, predictor["hidden_size"], predictor["num_layers"]
    )

    found = metrics(tmp_path)
    assert found["model"] == model.id.hex() and found["training"]["sha256"] == model.metadata["data_sha256"]
    assert [entry["epoch"] for entry in found["history"]] == [1, 2, 3, 4]
    assert found["figures"]["test_bits_per_sample"] == min(entry["test_loss"] for entry in found["history"])
    assert abs(found["figures"]["rounding_costs_percent"]) < 0.1
    assert found["figures"]["gain_percent"] > 0
    assert len(found["recordings"]) >= 1 and len(found["compressed"]) == 1

    folder = tmp_path / "models" / "Mine"
    for picture in ("prediction.png", "errors.png", "recordings.png", "training.png"):
        assert (folder / picture).read_bytes()[1:4] == b"PNG"
    assert load_config(folder / "config.yaml").training.epochs == 4
    assert any((folder / "logs").iterdir())
    assert not (folder / "last.ckpt").exists() and not (folder / "best.safetensors").exists()
    assert [path.name for path in (folder.parent / "by-id").iterdir()] == [f"{model.id.hex()}.safetensors"]
    assert (
        "1 training recording is left out: it is shorter than 128 samples or not integer PCM" in capsys.readouterr().err
    )

    # What the integer codec makes of a recording is what the network in floating point says it takes.
    path = data / "1.wav"
    channel = channel_of(simulate(4010, seed=1)[:, 0], model.architecture, calibration_of("auto"))
    octaves, share, _ = restored(model)(torch.from_numpy(channel.inputs)[:, None])
    below, above = (torch.from_numpy(edge)[:, None] for edge in (channel.below, channel.above))
    ideal = float(bits(octaves, share, below, above).detach()[1:].sum())
    real = 8 * compress([path], model, calibration_of("auto"))[0].model
    assert abs(real - ideal) < 0.005 * ideal


def test_the_signal_alone(configured, tmp_path):
    train(configured(ALONE, epochs=4, num_points=20))
    found = metrics(tmp_path)
    assert found["figures"]["gain_percent"] > 0 and found["compressed"] == []


def interrupting(monkeypatch, times: int = 1) -> list[str]:
    """Let the message after twenty steps send an interrupt, `times` times; the list of what is said."""
    said: list[str] = []
    sent = []

    def say(text: str) -> None:
        said.append(text)
        if "an epoch takes" in text and len(sent) < times:
            sent.append(os.kill(os.getpid(), signal.SIGINT))

    monkeypatch.setattr("spikey.cli.common.say", say)
    return said


def test_an_interrupted_training_ends_as_if_it_had_not_been(configured, tmp_path, monkeypatch):
    path = configured(DENSE, batch_size=1, epochs=1)
    train(path)
    whole = load(tmp_path / "models" / "Mine.safetensors")
    said = interrupting(monkeypatch)
    with pytest.raises(callbacks.Interrupted, match="interrupted; the same command continues from the last checkpoint"):
        train(path)
    assert (tmp_path / "models" / "Mine" / "last.ckpt").exists()
    train(path)
    assert any("continues from" in text for text in said)
    assert load(tmp_path / "models" / "Mine.safetensors").id == whole.id


def test_only_the_same_training_goes_on(configured, tmp_path, monkeypatch):
    said = interrupting(monkeypatch)
    options = {"batch_size": 2, "epochs": 1}
    with pytest.raises(callbacks.Interrupted):
        train(configured(LSTM, **options))
    checkpoint = tmp_path / "models" / "Mine" / "last.ckpt"
    kept = checkpoint.read_bytes()
    train(configured(LSTM, **options, num_points=20))  # which changes nothing of what it is
    assert any("continues from" in text for text in said) and not checkpoint.exists()

    for content, changed, reason in (
        (kept, {"learning_rate": 0.001}, "is of another configuration or other recordings; the training starts again"),
        (kept, {"resume": "never"}, "is not wanted"),
        (b"nonsense", {}, "is damaged"),
        (kept[: len(kept) // 2], {}, "is damaged"),
        (flipped(kept), {}, "is damaged"),  # in a weight, which torch.load does not notice
    ):
        checkpoint.write_bytes(content)
        said.clear()
        config = load_config(configured(LSTM, **options, **changed))
        assert run._resumable(plan.prepare(config, said.append, plan.no_bar)) is None
        assert any(reason in text for text in said), said


def flipped(checkpoint: bytes) -> bytes:
    """A checkpoint with one bit changed in the middle of its largest tensor."""
    with zipfile.ZipFile(io.BytesIO(checkpoint)) as parts:
        largest = max(parts.infolist(), key=lambda part: part.file_size)
    at = largest.header_offset + 200 + largest.file_size // 2
    return checkpoint[:at] + bytes([checkpoint[at] ^ 16]) + checkpoint[at + 1 :]


def test_a_loss_that_is_no_number(configured, tmp_path, monkeypatch):
    calls = []

    def broken(*arguments):
        calls.append(1)
        return bits(*arguments) * (float("nan") if len(calls) > 32 else 1)

    monkeypatch.setattr(module, "bits", broken)
    path = configured(LSTM, batch_size=8)
    with pytest.raises(DataError, match=r"diverged at step 33, .* below 0.005; the best model so far is .*Mine"):
        train(path)
    assert load(tmp_path / "models" / "Mine.safetensors")


def test_the_best_model_is_kept(configured, tmp_path, monkeypatch):
    path = configured(DENSE, epochs=4)
    written = []
    for part in (callbacks, plan, results):
        monkeypatch.setattr(part, "write", lambda path, data: (written.append(path.name), path.write_bytes(data)))
    losses = iter([5.0, 4.0, 4.5, 4.2])

    def pretend(trained):
        trained.log("test_loss", next(losses))
        trained.log("test_base", 6.0)

    monkeypatch.setattr(module.Module, "on_validation_epoch_end", pretend)
    train(path)
    model = load(tmp_path / "models" / "Mine.safetensors")
    assert model.metadata["figures"]["epochs"] == 2
    published = [f"{model.id.hex()}.safetensors", "Mine.safetensors"]
    assert written == ["best.safetensors"] * 2 + published + ["metrics.json"]


def test_minutes_end_a_training(configured, tmp_path):
    train(configured(DENSE, epochs=1000, minutes=0.01))
    assert metrics(tmp_path)["figures"]["minutes"] < 1


def test_constants_that_the_shipped_models_were_trained_with(monkeypatch):
    """What their files record as keys of that time is what the code does now."""
    monkeypatch.undo()
    for name in ("n1-fixed", "n1-lstm-small"):
        keys = load(trained.SHIPPED / f"{name}.safetensors").metadata["config"]["training"]
        assert (keys["sequence_length"], keys["window"], keys["burn_in"]) == (
            (sampler.SEQUENCE, sampler.WINDOW, sampler.BURN_IN)
        )
        assert (keys["warm_up"], keys["gradient_clip"]) == (module.WARM_UP, run.LARGEST_GRADIENT)
        assert keys["compress_files"] == plan.COMPRESSED


def test_a_full_disk_is_one_sentence(configured, monkeypatch):
    def full(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(callbacks, "write", full)
    with pytest.raises(UsageError, match="cannot be written \\(No space left on device\\); "):
        train(configured(DENSE))


def test_recordings_of_no_use(configured, tmp_path, data, monkeypatch):
    monkeypatch.setattr(plan, "WINDOW", 5000)
    with pytest.raises(UsageError, match="none of . training recordings has 5000 samples"):
        train(configured(LSTM))
    monkeypatch.undo()
    empty = tmp_path / "empty"
    for seed in range(3):
        write_wav(empty / f"{seed}.wav", np.zeros((1000, 1), dtype=np.int16))
    path = Path(configured(LSTM))
    path.write_text(path.read_text().replace(str(data), str(empty)))
    with pytest.raises(UsageError, match="of a signal to predict"):
        train(str(path))


def test_what_is_missing_is_one_sentence(configured, monkeypatch):
    monkeypatch.setattr("spikey.training.plan.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="training.logger wandb needs wandb, which is missing"):
        train(configured(LSTM, logger="wandb"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r'training needs torch and lightning, .* pip install -e "\.\[train\]"'):
        train(configured(LSTM))
    monkeypatch.undo()
    if not torch.cuda.is_available() and not torch.backends.mps.is_available():
        with pytest.raises(UsageError, match="training.accelerator is gpu, but PyTorch finds none"):
            train(configured(LSTM, accelerator="gpu"))


def test_command_line(configured, tmp_path, capsys):
    path = configured({"type": "lpc"})
    main([path])
    assert "has nothing to train" in capsys.readouterr().out
    for arguments in ([], ["a", "b", "c"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
    assert "usage" in capsys.readouterr().err


def architecture(**changed) -> Architecture:
    return Architecture(**{"type": "lstm", "alone": False, "lags": 2, "hidden": 5, "layers": 2, **changed})


@pytest.mark.parametrize("kind", ["lstm", "fixed_input_nn"])
def test_rounding_keeps_every_weight_and_every_row_fits(kind):
    torch.manual_seed(1)
    network = Network(architecture(type=kind))
    said: list[str] = []
    again = restored(quantise(network, say=said.append))
    inputs = torch.randint(-1024, 1025, (50, 3, network.architecture.inputs))
    for one, other in zip(network(inputs)[:2], again(inputs)[:2], strict=True):
        assert torch.allclose(one, other, atol=0.05)
    assert not said

    with torch.no_grad():
        network.head.weight[0] = 40.0
        network.head.bias[1] = 1000.0
    quantise(network, say=said.append)
    assert said == ["head.weight: 2 of 2 rows are too large for the codec and were shrunk"]
    keep_inside(network)
    said.clear()
    quantise(network, say=said.append)
    assert not said


def test_windows_show_every_sequence_in_order_and_go_on_where_they_were(data):
    shape = architecture(type="lstm")
    sequences = gather(sorted(data.glob("?.wav")), shape, None, 100, what="training")
    assert [path.name for path in sequences.paths[:3]] == ["0.wav", "0.wav", "1.wav"] and len(sequences.starts) == 7
    options = {"batch": 4, "length": 1000, "window": 300, "burn_in": 32, "seed": 3}
    windows = WindowSampler(sequences, recurrent=True, **options)
    epoch = list(windows)
    assert len(epoch) == len(windows) == 6 * 4 and windows.epoch == 1  # 24 pieces, 4 windows each
    assert [window.fresh for window in epoch[:5]] == [True, False, False, False, True]
    assert [len(window.inputs) for window in epoch[:4]] == [300, 300, 300, 100]
    assert not epoch[0].usable[:32].any() and epoch[0].usable[32:].any()

    begun = WindowSampler(sequences, recurrent=True, **options)
    iterator = iter(begun)
    for _ in range(7):
        next(iterator)
    resumed = WindowSampler(sequences, recurrent=True, **options)
    resumed.load_state_dict(begun.state_dict())
    rest = list(resumed)
    assert len(rest) == 17 and torch.equal(rest[0].below, epoch[7].below)

    dense = WindowSampler(sequences, recurrent=False, **options)
    seen = torch.cat([window.below.flatten() for window in dense])
    assert torch.equal(seen.sort().values, torch.from_numpy(sequences.below[sequences.usable]).sort().values)
    for recurrent in (True, False):
        shares = []
        for rank in range(2):
            share = WindowSampler(sequences, recurrent=recurrent, **options)
            share.rank, share.ranks = rank, 2
            shares.append(list(share))
        assert len(shares[0]) == len(shares[1]) and not torch.equal(shares[0][0].below, shares[1][0].below)


def test_evaluation_is_of_every_usable_sample(data):
    sequences = gather(sorted(data.glob("?.wav")), architecture(), None, 100, what="test")
    samples, own, base = bits_by_channel(Network(architecture()), WholeSampler(sequences))
    assert samples.sum() == sequences.usable.sum() and np.allclose(own, base)


def test_errors_are_of_one_kind():
    assert issubclass(callbacks.Interrupted, SpikeyError) and callbacks.Interrupted.exit_status == 130


@pytest.mark.parametrize("layers", [1, 2])
def test_a_grown_network_begins_with_what_is_known(layers):
    torch.manual_seed(0)
    small = Network(Architecture("lstm", False, 3, 6, 1))
    torch.nn.init.normal_(small.head.weight, std=0.1)
    large = Network(Architecture("lstm", False, 3, 9, layers))
    grow(quantise(small), large)
    inputs = torch.randint(-300, 300, (50, 2, small.architecture.inputs))
    with torch.no_grad():
        before, after = (torch.stack(network(inputs)[:2]) for network in (small, large))
        fresh = torch.stack(Network(large.architecture)(inputs)[:2])
    assert (after - before).abs().max() < (0.01 if layers == 1 else 0.05)
    assert (fresh - before).abs().max() > 0.2


def test_what_cannot_grow():
    small = quantise(Network(Architecture("lstm", False, 3, 6, 1)))
    for wrong in (
        Architecture("lstm", False, 4, 9, 1),
        Architecture("lstm", False, 3, 5, 1),
        Architecture("lstm", True, 3, 9, 1),
        Architecture("fixed_input_nn", False, 3, 9, 1),
    ):
        with pytest.raises(UsageError, match="cannot grow"):
            grow(small, Network(wrong))


# ---------------------------------------------------------------- one training after another


def files_of(folder: Path) -> dict[str, bytes]:
    """The models in a folder and below it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.safetensors"))}


def test_files_of_an_earlier_training_stay_decodable(configured, tmp_path, data, monkeypatch):
    """As in a shell: `main.py config.yaml` twice, then both ways of decompressing in the same folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(trained, "_in_use", {})
    root = ROOT
    compress_options = ["--config", "config.yaml", "--no-embed-model"]
    for number, options in enumerate(({"seed": 1}, {"seed": 2}, {"seed": 2, "epochs": 3})):
        main([configured(DENSE, **options, save_path="models")])
        # Coded with the network whether it pays or not.
        compare_networks(monkeypatch, False)
        done = CliRunner().invoke(app, ["compress", str(data / "1.wav"), f"{number}.spky", *compress_options])
        assert done.exit_code == 0 and "by-id" in done.output, done.output
        with Reader(f"{number}.spky") as reader:
            assert len(reader.header.record(lay.MODEL)) == 4
    kept = files_of(tmp_path / "models")
    assert len(kept) == 4 and kept["Mine.safetensors"] in [kept[name] for name in kept if "by-id" in name]
    (tmp_path / "elsewhere").mkdir()
    environment = {**os.environ, "PYTHONPATH": str(root / "src")}
    for number in range(3):
        shell = [[str(root / "cli.py"), "decompress", "--config", "config.yaml"], ["-m", "spikey", "decompress"]]
        for command in shell if number == 0 else ():
            arguments = [sys.executable, *command, "--input_file", f"{number}.spky", "--output_file", "out.wav"]
            done = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=300, check=False)
            assert done.returncode == 0, done.stderr
            assert (tmp_path / "out.wav").read_bytes() == (data / "1.wav").read_bytes()
            (tmp_path / "out.wav").unlink()
        monkeypatch.setattr(trained, "_in_use", {})
        decompress_file(f"{number}.spky", "out.wav")
        assert (tmp_path / "out.wav").read_bytes() == (data / "1.wav").read_bytes()
        (tmp_path / "out.wav").unlink()
    monkeypatch.setattr(trained, "_in_use", {})
    monkeypatch.chdir(tmp_path / "elsewhere")  # where only the configuration leads to the models
    config = tmp_path / "config.yaml"
    config.write_text(config.read_text().replace("save_path: models", f"save_path: {tmp_path / 'models'}"))
    done = CliRunner().invoke(app, ["decompress", "--config", str(config), "../0.spky", "out.wav"])
    assert done.exit_code == 0, done.exception


def test_a_model_without_a_copy_is_kept_before_it_is_replaced(configured, tmp_path):
    former = trained.SHIPPED / "n1-fixed.safetensors"
    (tmp_path / "models").mkdir()
    shutil.copy(former, tmp_path / "models" / "Mine.safetensors")
    train(configured(DENSE, epochs=1))
    kept = tmp_path / "models" / "by-id" / f"{load(former).id.hex()}.safetensors"
    assert kept.read_bytes() == former.read_bytes()


def test_what_is_interrupted_or_crashes_leaves_the_former_model(configured, tmp_path, monkeypatch):
    train(configured(DENSE, epochs=1, seed=1))
    former = files_of(tmp_path / "models")
    said = interrupting(monkeypatch)
    path = configured(DENSE, batch_size=1, epochs=3)
    with pytest.raises(callbacks.Interrupted):
        train(path)
    assert files_of(tmp_path / "models") == former

    original = module.Module.on_validation_epoch_end
    calls = []

    def crash(self):
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("as when the power fails")
        original(self)

    monkeypatch.setattr(module.Module, "on_validation_epoch_end", crash)
    with pytest.raises(RuntimeError):
        train(path)
    after = files_of(tmp_path / "models")
    best = after.pop("Mine/best.safetensors")
    assert after == former and load(best).metadata["figures"]["epochs"] == 1

    # A damaged checkpoint: the training starts again, and what is worse replaces neither of them.
    checkpoint = tmp_path / "models" / "Mine" / "last.ckpt"
    checkpoint.write_bytes(flipped(checkpoint.read_bytes()))
    said.clear()
    losses = iter([5.9] * 9)

    def worse(self):
        self.log("test_loss", next(losses))
        self.log("test_base", 6.0)
        if len(calls) == 2:
            calls.append(1)
            raise RuntimeError

    bits_of_best = load(best).metadata["figures"]["test_bits_per_sample"]
    assert bits_of_best < 5.9 or pytest.skip("the simulated recordings are harder than they were")
    monkeypatch.setattr(module.Module, "on_validation_epoch_end", worse)
    with pytest.raises(RuntimeError):
        train(path)
    assert any("last.ckpt: is damaged; the training starts again" in text for text in said)
    assert files_of(tmp_path / "models") == {**former, "Mine/best.safetensors": best}
    train(path)
    assert load(tmp_path / "models" / "Mine.safetensors").file == best
    assert set(former.values()) < set(files_of(tmp_path / "models").values())


def test_the_best_model_of_another_training_is_kept_under_its_id(configured, tmp_path, monkeypatch):
    said: list[str] = []
    monkeypatch.setattr("spikey.cli.common.say", said.append)
    train(configured(DENSE, epochs=1, seed=1))
    best = tmp_path / "models" / "Mine" / "best.safetensors"
    shutil.copy(tmp_path / "models" / "Mine.safetensors", best)
    shutil.rmtree(tmp_path / "models" / "by-id")
    train(configured(DENSE, epochs=1, seed=2))
    assert len(files_of(tmp_path / "models" / "by-id")) == 2 and not best.exists()
    assert any("by-id" in text and "of another training that has not ended" in text for text in said)
    best.write_bytes(b"junk")
    train(configured(DENSE, epochs=1, seed=3))
    assert any("best.safetensors: is damaged and is not used" in text for text in said)


def test_checkpoints_are_written_beside_and_renamed(configured, tmp_path, monkeypatch):
    """Nothing passes through another folder, as Lightning's own writing does, and a failure leaves the former one."""
    interrupting(monkeypatch)
    replaced = []
    original = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (replaced.append((Path(a), Path(b))), original(a, b)))
    with pytest.raises(callbacks.Interrupted):
        train(configured(LSTM, batch_size=2, epochs=1))
    folder = tmp_path / "models" / "Mine"
    (passing,) = [one for one, other in replaced if other.name == "last.ckpt"]
    assert passing.parent.resolve() == folder.resolve()
    before = (folder / "last.ckpt").read_bytes()

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(UsageError, match="No space left on device"):
        run._Checkpoints().save_checkpoint({"a": 1}, folder / "last.ckpt")
    assert (folder / "last.ckpt").read_bytes() == before
    assert not [path for path in folder.iterdir() if path.name.endswith(".part")]
