"""Nothing leaves the machine: no usage data, no questions to a hub, with or without a network."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

# Every word to the outside is noted and refused, as on a machine without a network; what goes on
# between processes of this machine (AF_UNIX) is none.
WATCHED = """
import json, socket, sys
spoken = []
def watch(event, arguments):
    if event == "socket.getaddrinfo":
        spoken.append(str(arguments[0]))
        raise OSError("no network")
    if event == "socket.connect" and arguments[0].family != socket.AF_UNIX:
        spoken.append(str(arguments[1]))
        raise OSError("no network")
sys.addaudithook(watch)
import onsa
for keys in json.loads(sys.argv[1]):
    onsa.tune(**keys)
from huggingface_hub import constants
print(json.dumps({"spoken": spoken, "silent": constants.HF_HUB_DISABLE_TELEMETRY}))
"""
ABOUT_THE_HUB = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY")


def test_pain_P27_no_word_to_the_outside(recipe: Any, tmp_path: Path) -> None:
    """Goes red where usage data of the hub's library are on again, and where anything in loading,
    training, scoring or saving asks for a network address."""
    model = shutil.copytree(recipe()["model"], tmp_path / "model")
    config = json.loads((model / "config.json").read_text())
    from_the_hub = {**config, "_name_or_path": "someone/model"}  # as models saved from there say
    (model / "config.json").write_text(json.dumps(from_the_hub))
    runs = [
        recipe(method=method, baselines=[], model=str(model), output=str(tmp_path / method))
        for method in ("cpi_ft", "lora")
    ]
    plain = {key: text for key, text in os.environ.items() if key not in ABOUT_THE_HUB}
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, json.dumps(runs)],
        capture_output=True,
        encoding="utf-8",
        env={**plain, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {"spoken": [], "silent": True}
