"""A server on this machine that speaks the protocol of Google Cloud Storage, for the tests of several modules.

It is that of gcp-storage-emulator, with what tensorstore needs and it lacks: objects tell their generation when they
are read, and are written only if it is the expected one; and one client does not block the others.
"""

import contextlib
import http.server
import logging
import threading
from http import HTTPStatus

from gcp_storage_emulator import server as emulator
from gcp_storage_emulator.exceptions import NotFound

_LOCK = threading.RLock()


@contextlib.contextmanager
def running(bucket, port):
    """A context in which the server runs; gives the variables of the environment that lead the libraries to it."""
    logging.getLogger("gcp_storage_emulator").setLevel(logging.CRITICAL)  # it reports every file that is not there
    emulator.server.HTTPServer = http.server.ThreadingHTTPServer
    emulator.HANDLERS = tuple(
        (pattern, {method: _by_generation(handler) for method, handler in handlers.items()})
        for pattern, handlers in emulator.HANDLERS
    )
    server = emulator.create_server("localhost", port, in_memory=True, default_bucket=bucket)
    server.start()
    yield {
        "STORAGE_EMULATOR_HOST": f"http://localhost:{port}",
        "TENSORSTORE_GCS_HTTP_URL": f"http://localhost:{port}",
        "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",  # the kind of a bucket is asked of a service that is not here
    }
    server.stop()


def _by_generation(handler):
    def handle(request, response, storage):
        where = request.params.get("bucket_name"), request.params.get("object_id") or _first(request, "name")
        with _LOCK:
            current = _generation(storage, *where)
            if _first(request, "ifGenerationMatch") not in (None, current):
                response.status = HTTPStatus.PRECONDITION_FAILED
            elif _first(request, "ifGenerationNotMatch") == current:
                response.status = HTTPStatus.NOT_MODIFIED
            else:
                handler(request, response, storage)
                response["x-goog-generation"] = _generation(storage, *where)

    return handle


def _first(request, name):
    return (request.query.get(name) or [None])[0]


def _generation(storage, bucket, name):
    try:
        return storage.get_file_obj(bucket, name)["generation"]
    except NotFound:
        return "0"
