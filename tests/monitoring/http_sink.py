"""A web server that keeps what is posted to it and answers as it is told."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class HttpSink:
    """Use as a context manager; `answers` are the statuses of the next requests, then 200.

    The status 0 is no answer until the sink is closed. `posted` holds the JSON that came.
    """

    def __init__(self, answers=()):
        self.answers = list(answers)
        self.posted = []
        self.headers = []
        self.arrived = threading.Condition()
        self.released = threading.Event()
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                data = self.rfile.read(int(self.headers["Content-Length"]))
                with sink.arrived:
                    sink.posted.append(json.loads(data))
                    sink.headers.append(dict(self.headers))
                    status = sink.answers.pop(0) if sink.answers else 200
                    sink.arrived.notify_all()
                if status == 0:
                    sink.released.wait()
                    return
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)

    def wait_for(self, is_enough, timeout=10.0):
        """Wait until what was posted satisfies `is_enough`; say whether it does."""
        with self.arrived:
            return self.arrived.wait_for(lambda: is_enough(self.posted), timeout)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
