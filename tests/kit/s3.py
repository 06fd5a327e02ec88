"""An S3 server on this machine (moto) that fails where a test wants it, for tests of stores: the fixture `s3`."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

VARIABLES = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_MAX_ATTEMPTS": "3",
}


@dataclass
class Store:
    """The server. fails: how often each kind of request is still refused (503), by the names that `kind` gives."""

    address: str = ""
    system: Any = None
    fails: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)

    def unfinished(self, bucket: str) -> list[str]:
        """Uploads in parts that were begun and neither completed nor given up."""
        found = self.system.call_s3("list_multipart_uploads", Bucket=bucket).get("Uploads", [])
        return [upload["Key"] for upload in found]

    def names(self, bucket: str) -> list[str]:
        """All files of a bucket."""
        self.system.invalidate_cache()
        return sorted(self.system.find(bucket))


def kind(environment: dict[str, Any]) -> str:
    """What a request does: HEAD, LIST, GET, PUT, COPY, BEGIN, PART, COMPLETE, ABORT, DELETE."""
    method, query = environment["REQUEST_METHOD"], environment.get("QUERY_STRING", "")
    if method == "POST":
        return "BEGIN" if "uploads" in query else "COMPLETE" if "uploadId" in query else "DELETE"
    if method == "PUT":
        return "COPY" if "HTTP_X_AMZ_COPY_SOURCE" in environment else "PART" if "partNumber" in query else "PUT"
    if method == "GET" and ("list-type" in query or "prefix" in query or "uploads" in query):
        return "LIST"
    return "ABORT" if method == "DELETE" and "uploadId" in query else method


def failing(application: Callable[..., Any], store: Store) -> Callable[..., Any]:
    """The server's application, which refuses what `store.fails` lists."""
    lock = threading.Lock()

    def answer(environment: dict[str, Any], start: Callable[..., Any]) -> Any:
        which = kind(environment)
        with lock:
            store.asked[which] += 1
            refused = store.fails[which] > 0
            store.fails[which] -= refused
        if refused:
            environment["wsgi.input"].read(int(environment.get("CONTENT_LENGTH") or 0))
            start("503 Service Unavailable", [("Content-Length", "0")])
            return [b""]
        return application(environment, start)

    return answer


@pytest.fixture(scope="session")
def s3_server() -> Iterator[Store]:
    """One server for all tests."""
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server")
    from werkzeug.serving import make_server

    store = Store()
    application = server.DomainDispatcherApplication(server.create_backend_app)
    running = make_server("127.0.0.1", 0, failing(application, store), threaded=True)
    store.address = f"http://127.0.0.1:{running.server_port}"
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield store
    running.shutdown()
    thread.join()


@pytest.fixture
def s3(s3_server: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The server with the empty buckets `input` and `output`, which this process and those it starts find."""
    import s3fs

    for name, value in (VARIABLES | {"AWS_ENDPOINT_URL": s3_server.address}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("spikey.recording.retries.DELAYS", (0.01, 0.01, 0.01))
    s3fs.S3FileSystem.clear_instance_cache()
    s3_server.fails.clear()
    s3_server.system = s3fs.S3FileSystem()
    for bucket in ("input", "output"):
        if s3_server.system.exists(bucket):
            s3_server.system.rm(bucket, recursive=True)
        s3_server.system.mkdir(bucket)
    s3_server.asked.clear()
    yield s3_server
    s3_server.fails.clear()
    s3fs.S3FileSystem.clear_instance_cache()
