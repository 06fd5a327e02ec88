"""What several commands share: settings from options and configurations, and the note on compilation."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikey.base.errors import UsageError
from spikey.cli.messages import is_quiet, note, say
from spikey.cli.progress import progress_bar

COMPILING = "compiling the kernels, once on this machine (up to two minutes) ..."
__all__ = [
    "model_of",
    "prepare_kernels",
    "progress_bar",
    "raw_layout",
    "recordings_in",
    "say",
    "settings_from",
    "some",
    "trained_file",
]

if TYPE_CHECKING:
    from spikey.config.schema import Config
    from spikey.files.settings import Settings
    from spikey.model.trained import Model


def prepare_kernels() -> None:
    """Load Numba, and announce the first compilation."""
    _load_numba()
    from spikey.base.jit import announce_compilation

    announce_compilation(lambda: None if is_quiet() else say(COMPILING))


def _load_numba() -> None:
    """Import Numba's array functions without SciPy's linear algebra, where nothing has imported it yet: Numba loads it
    to see whether it is there, which takes a tenth of a second, and no kernel uses it.
    """
    if "scipy" in sys.modules:
        return
    sys.modules["scipy"] = None  # type: ignore[assignment]
    try:
        import numba.np.arraymath  # noqa: F401
    finally:
        del sys.modules["scipy"]


def some(files: list[Any], folder: Path | str, suffixes: tuple[str, ...]) -> None:
    """Raise UsageError if a folder contains none of the files that are searched for."""
    if not files:
        raise UsageError(f"{folder}: contains no files that end in {' or '.join(suffixes)}", code="nothing-found")


def recordings_in(folder: Path, raw: bool) -> list[Path]:
    """The recordings in a folder, of one kind, so that none counts twice: raw ones if so described, WAV, else .spky."""
    for suffixes in ((".raw", ".dat", ".bin"),) if raw else ((".wav",), (".spky",)):
        found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in suffixes and p.is_file())
        if found:
            return found
    wanted = ".raw, .dat or .bin files" if raw else "WAV or .spky files; compress other recordings to .spky first"
    raise UsageError(f"{folder}: contains no {wanted}", code="nothing-found")


def settings_from(
    config: Path | None,
    document: str | None,
    preset: str | None,
    model: str | None,
    calibration: str | None,
    raw: tuple[int | None, float | None, str | None],
) -> Settings:
    """What a configuration and the options ask for; options come first."""
    from spikey.codec.calibration_policy import AUTO, NONE, Wanted
    from spikey.files.settings import Settings
    from spikey.model.calibration import load, shipped_names

    options: dict[str, Any] = {"preset": preset}
    wanted = calibration
    if preset is not None and model is not None:
        raise UsageError("give either --preset or --model")
    if config is not None:
        from spikey.config.documents import load as load_config
        from spikey.config.schema import networks

        stated = load_config(config, document)
        options = {
            "preset": preset or stated.preset,
            "predictor": stated.predictor.type if preset is None and stated.preset is None else None,
            "delta": stated.preprocessing.use_delta_encoding,
        }
        if preset is None and stated.predictor.type in networks():
            options["predictor"] = None
            if model is None:
                options["model"] = model_of(config, stated)
        wanted = calibration or stated.calibration
    elif document is not None:
        raise UsageError("--name chooses a document of a configuration, which --config gives")
    if model is not None:
        from spikey.model.trained import named

        options["model"] = named(model)
    named_ones = AUTO, NONE, *shipped_names()
    chosen: Wanted = AUTO if wanted is None else wanted if wanted in named_ones else load(wanted)
    return Settings(calibration=chosen, raw=raw_layout(*raw), **options)


def raw_layout(channels: int | None, rate: float | None, dtype: str | None) -> tuple[int, float, str] | None:
    """The layout of a raw input from the options, or None without them."""
    stated = [value is not None for value in (channels, rate, dtype)]
    if any(stated) and not all(stated):
        raise UsageError("a raw input needs all three of --channels, --rate and --dtype", code="raw-options")
    return (channels, rate, dtype) if channels is not None and rate is not None and dtype is not None else None


def trained_file(stated: Config) -> Path:
    """The file of the model that a configuration is trained to."""
    return Path(stated.training.save_path) / f"{stated.name}.safetensors"


def model_of(config: Path, stated: Config) -> Model:
    """The model that a configuration has been trained to; until then a shipped one of the same type, with a note."""
    from dataclasses import asdict

    from spikey.config.schema import networks
    from spikey.model.trained import SHIPPED, architecture, named

    trained = trained_file(stated)
    command = _training_command(config, stated)
    if not trained.is_file():
        shipped = networks()[stated.predictor.type or ""]
        note(f"{trained} is missing (train it with: {command}); the shipped model {shipped} is used instead")
        return named(str(SHIPPED / f"{shipped}.safetensors"))
    model = named(str(trained))
    wanted = architecture(**stated.predictor.model_dump(), delta=stated.preprocessing.use_delta_encoding)
    if model.architecture != wanted:
        raise UsageError(
            f"{trained}: is a model of {asdict(model.architecture)}, where {config} describes {asdict(wanted)}; "
            f"train it again with: {command}"
        )
    return model


def _training_command(config: Path, stated: Config) -> str:
    """The command that trains a document; one without a name is the first of its file, and needs none."""
    name = [stated.name] if "name" in stated.model_fields_set else []
    return shlex.join(["python", "main.py", str(config), *name])
