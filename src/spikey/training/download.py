"""Downloads one large file over http(s); an interrupted download is continued rather than repeated."""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path

from spikey.base.errors import DataError, SpikeyError, UsageError
from spikey.base.version import __version__
from spikey.training.unzip import MOST_BYTES, PIECE, Bar, Say, require_room, shown, write_failure

TIMEOUT = 30  # seconds without an answer or a byte
ATTEMPTS = 5  # of which all but the first continue where the connection was lost
PAUSE = 2  # seconds between them
LOCAL = "give data.directory a folder of WAV files, or data.url the path of a local zip archive or folder"


@dataclass(frozen=True)
class _State:
    """What the server specified of the file that a partial one is the beginning of, stored beside it.

    validator: its strong entity tag or else its date, empty where there is none; size in bytes, None if unknown.
    """

    validator: str
    size: int | None


class _Lost(Exception):
    """The connection broke; its text gives the reason."""


def download(url: str, target: Path, bar: Bar, say: Say) -> None:
    """Download `url` (http or https) to `target`; report its size and SHA-256.

    A partial file is `target` + `.part`, its description `target` + `.part.json`; the next call continues it if the
    server allows it and the file is still the same, and starts again otherwise. Raises UsageError where the
    address is wrong or nothing can be written, DataError where the server or the network fails.
    """
    part = target.with_name(target.name + ".part")
    for attempt in range(ATTEMPTS):
        try:
            _fetch(url, part, bar)
            break
        except _Lost as reason:
            if attempt == ATTEMPTS - 1:
                raise DataError(f"{url}: {reason}; run again to continue") from None
            time.sleep(PAUSE)
    try:
        part.replace(target)
        _state_file(part).unlink(missing_ok=True)
        with open(target, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise write_failure(target, error) from None
    say(f"{url}: {target.stat().st_size:,} bytes, SHA-256 {digest}")


def _fetch(url: str, part: Path, bar: Bar) -> None:
    """Make `part` complete, or longer at least: _Lost where the connection broke."""
    state = _read_state(part)
    have = part.stat().st_size if state and part.exists() else 0
    if state and have and have == state.size:
        return
    rest = _rest(url, have, state) if state and have else None
    if rest and state:
        response, size = rest, state.size
    else:
        response, have = _answer(url, {}), 0
        size = _number(response.headers.get("Content-Length"))
    with response:
        if response.status != (206 if rest else 200):
            raise DataError(f"{url}: the server answers with status {response.status}, not with a file")
        if (size or 0) > MOST_BYTES:
            raise DataError(f"{url}: has {shown(size or 0)}, more than the {shown(MOST_BYTES)} allowed")
        try:
            if not rest:
                part.unlink(missing_ok=True)
            require_room(part.parent, (size or have) - have)
            if not rest:
                part.parent.mkdir(parents=True, exist_ok=True)
                state = _State(_validator(response), size)
                _state_file(part).write_text(json.dumps(asdict(state)), "utf-8")
            with open(part, "ab") as file, bar(size, "bytes downloaded") as advance:
                advance(have)
                while piece := _piece(response):
                    have += len(piece)
                    if have > MOST_BYTES:
                        raise DataError(f"{url}: has more than the {shown(MOST_BYTES)} allowed")
                    file.write(piece)
                    advance(len(piece))
        except OSError as error:
            raise write_failure(part, error) from None
    if size is not None and have != size:
        raise _Lost(f"the connection ended after {have:,} of {size:,} bytes")


def _rest(url: str, have: int, state: _State) -> http.client.HTTPResponse | None:
    """The answer with the bytes from `have` on of the very file that `state` describes; None if there is none."""
    try:
        response = _answer(url, {"Range": f"bytes={have}-", "If-Range": state.validator})
    except UsageError:  # what is refused may be the range alone
        return None
    stated = re.fullmatch(r"bytes ([0-9]{1,18})-[0-9]+/([0-9]+|\*)", response.headers.get("Content-Range", "").strip())
    if (
        response.status == 206
        and stated
        and int(stated[1]) == have
        and (state.size is None or stated[2] in ("*", str(state.size)))
        and _validator(response) in ("", state.validator)
    ):
        return response
    response.close()
    return None


def _answer(url: str, headers: dict[str, str]) -> http.client.HTTPResponse:
    """Ask for the file; UsageError where the server reports a client error, DataError for other failures."""
    try:
        # Characters that an address cannot hold are encoded; those that are encoded already stay.
        address = urllib.parse.quote(url, safe="%/:?#[]@!$&'()*+,;=~")
        headers = {"User-Agent": f"spikey/{__version__}", **headers}
        response = urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        raise _refusal(url, error.code) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise DataError(f"{url}: cannot be reached ({_cause(error)}); try again later, or {LOCAL}") from None
    if not isinstance(response, http.client.HTTPResponse):
        raise DataError(f"{url}: leads to an address that is not http or https")
    return response


def _refusal(url: str, code: int) -> SpikeyError:
    meaning = http.client.responses.get(code, "an unknown status")
    if code in (404, 410):
        return UsageError(f"{url}: is not there (any more), the server answers {code} {meaning}; {LOCAL}")
    if code >= 500 or code in (408, 429):
        return DataError(f"{url}: the server answers {code} {meaning}; try again later, or {LOCAL}")
    return UsageError(f"{url}: the server answers {code} {meaning}; {LOCAL}")


def _piece(response: http.client.HTTPResponse) -> bytes:
    """The next bytes, none at the end, or wherever the connection ends while the server has specified the length."""
    try:
        return response.read1(PIECE)
    except (OSError, http.client.HTTPException) as error:
        raise _Lost(f"the connection was lost ({_cause(error)})") from None


def _validator(response: http.client.HTTPResponse) -> str:
    """What identifies a version of the file, to the byte; empty where the server gives nothing of the kind."""
    tag = response.headers.get("ETag", "").strip()
    return tag if tag.startswith('"') else response.headers.get("Last-Modified", "").strip()


def _read_state(part: Path) -> _State | None:
    """The description of a partial file; None where that does not suffice to continue it."""
    try:
        state = _State(**json.loads(_state_file(part).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    whole = isinstance(state.size, int | None) and isinstance(state.validator, str)
    return state if whole and state.validator and state.validator.isascii() and state.validator.isprintable() else None


def _state_file(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _number(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch(r"[0-9]{1,18}", text) else None


def _cause(error: BaseException) -> str:
    reason = getattr(error, "reason", error)
    return " ".join(str(getattr(reason, "strerror", None) or reason or type(error).__name__).split())[:200]
