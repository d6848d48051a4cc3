"""`python -m tests.jobs.webui_double [DELAY [CHECKPOINT]]`: what a folder job asks of a WebUI's HTTP API, without one.

Prints its address, then serves until it is killed. A pass takes DELAY seconds and shows its seed and prompt in every
pixel, so that any difference in what is asked for is seen in the result. GET /seen answers the seeds of all passes.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from PIL import Image

LISTS: dict[str, Any] = {
    "/sdapi/v1/samplers": [{"name": "DPM++ 2M"}, {"name": "Euler"}],
    "/sdapi/v1/schedulers": [{"name": "karras", "label": "Karras"}, {"name": "automatic", "label": "Automatic"}],
    "/sdapi/v1/sd-models": [{"title": "tiny.safetensors [1234567890]", "model_name": "tiny", "hash": "1234567890"}],
    "/sdapi/v1/loras": [],
    "/sdapi/v1/progress?skip_current_image=true": {"progress": 0.5},
}


def paint(body: dict[str, Any]) -> Image.Image:
    """The picture with its colours turned by the seed and the prompt."""
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(body["init_images"][0]))).convert("RGB"))
    asked = {key: body[key] for key in ("seed", "prompt", "steps", "denoising_strength", "sampler_name", "width")}
    turn = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).digest()[:3]
    return Image.fromarray((picture // 2 + np.frombuffer(turn, np.uint8) // 2).astype(np.uint8))


class Double(BaseHTTPRequestHandler):
    delay = 0.0
    checkpoint = "tiny.safetensors [1234567890]"
    fault = ""
    seen: list[int]
    busy: threading.Lock

    def do_GET(self) -> None:
        if self.path == "/seen":
            return self._answer(200, self.seen)
        if self.path == "/sdapi/v1/options":
            return self._answer(200, {"sd_model_checkpoint": self.checkpoint, "overlay_inpaint": True})
        if self.path in LISTS:
            return self._answer(200, LISTS[self.path])
        return self._answer(404, {"detail": "Not Found"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/sdapi/v1/interrupt":
            return self._answer(200, {})
        if self.path != "/sdapi/v1/img2img":
            return self._answer(404, {"detail": "Not Found"})
        if self.fault:
            return self._answer(500, {"error": self.fault, "errors": "out of memory"})
        with self.busy:
            time.sleep(self.delay)
            file = io.BytesIO()
            paint(body).save(file, "PNG")
            self.seen.append(body["seed"])
        return self._answer(200, {"images": [base64.b64encode(file.getvalue()).decode()], "info": "{}"})

    def _answer(self, status: int, answer: Any) -> None:
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


def serve(delay: float = 0.0, checkpoint: str = Double.checkpoint, fault: str = "") -> ThreadingHTTPServer:
    """A double on a free port; `serve_forever` is the caller's."""
    own = {"delay": delay, "checkpoint": checkpoint, "fault": fault, "seen": [], "busy": threading.Lock()}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("OneDouble", (Double,), own))
    server.daemon_threads = True
    return server


if __name__ == "__main__":
    running = serve(*(kind(given) for kind, given in zip((float, str), sys.argv[1:])))
    print(f"http://127.0.0.1:{running.server_address[1]}", flush=True)
    running.serve_forever()
