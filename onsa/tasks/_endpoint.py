"""A chat model behind an OpenAI-compatible endpoint, over plain HTTP: no library is needed."""

from __future__ import annotations

import http.client
import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from onsa.errors import InputError

Message = dict[str, str]
MOST_BYTES = 4 * 2**20  # of an answer
LONGEST_WAIT = 60.0  # seconds between two attempts
BUSY = {408, 409, 425, 429, 500, 502, 503, 504}


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would take the key elsewhere."""

    def redirect_request(self, *_: Any) -> None:
        return None


@dataclass(frozen=True)
class Endpoint:
    """`url` is what precedes `/chat/completions`; `key_variable` names an environment variable."""

    url: str
    model: str
    key_variable: str = ""
    timeout_seconds: float = 60.0
    attempts: int = 5

    def ask(self, messages: Sequence[Message], most_tokens: int, temperature: float = 0.0) -> str:
        """The model's answer.

        Raises:
            InputError: it cannot be reached, refuses, or answers in another form.
        """
        order = {
            "model": self.model,
            "messages": list(messages),
            "temperature": temperature,
            "max_tokens": most_tokens,
        }
        headers = {"Content-Type": "application/json"}
        if self.key_variable:
            headers["Authorization"] = f"Bearer {key_in(self.key_variable)}"
        request = urllib.request.Request(
            f"{self.url.rstrip('/')}/chat/completions", json.dumps(order).encode("utf-8"), headers
        )
        return self._text(self._answer(request))

    def _answer(self, request: urllib.request.Request) -> bytes:
        opener = urllib.request.build_opener(_NoRedirect)
        for attempt in range(1, self.attempts + 1):
            wait = min(LONGEST_WAIT, 2.0 ** (attempt - 1))
            try:
                with opener.open(request, timeout=self.timeout_seconds) as response:
                    found: bytes = response.read(MOST_BYTES + 1)
                    return found
            except urllib.error.HTTPError as fault:
                with fault:
                    said = fault.read(200).decode("utf-8", "replace")
                if fault.code not in BUSY or attempt == self.attempts:
                    raise self._fault(f"answers {fault.code}: {said}") from None
                wait = _seconds(fault.headers.get("Retry-After"), wait)
            except (OSError, http.client.HTTPException) as fault:
                if attempt == self.attempts:
                    reason = getattr(fault, "reason", fault)
                    raise self._fault(f"cannot be reached ({reason})") from None
            time.sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    def _text(self, answer: bytes) -> str:
        try:
            if len(answer) > MOST_BYTES:
                raise ValueError("it is too long")
            text = json.loads(answer)["choices"][0]["message"]["content"]
        except (ValueError, KeyError, IndexError, TypeError, RecursionError) as fault:
            raise self._fault(f"answers in another form ({type(fault).__name__})") from None
        if not isinstance(text, str):
            raise self._fault("answers without a text")
        return text

    def _fault(self, what: str) -> InputError:
        return InputError(
            what,
            where=self.url,
            way_out="mend 'endpoint', 'judge_model' or 'key_variable', or try later: verdicts that "
            "were given are kept",
        )


def checked_url(url: str) -> str:
    """`url`, if it is one of http or https with a host and no password in it."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be a URL of http or https, as http://localhost:8000/v1")
    if parts.username or parts.password:
        raise ValueError("must not hold a password: name an environment variable in key_variable")
    return url


def key_in(variable: str) -> str:
    """The key that an environment variable holds.

    Raises:
        InputError: it holds none.
    """
    key = os.environ.get(variable, "")
    if not key or not key.isascii() or not key.isprintable():
        raise InputError(
            "holds no key" if not key else "holds something that is no key",
            where=f"the environment variable {variable}",
            way_out="set it, or take key_variable out",
        )
    return key


def _seconds(told: str | None, otherwise: float) -> float:
    """What `Retry-After` asks for, in seconds, within reason."""
    return min(LONGEST_WAIT, float(told)) if told and told.isdecimal() else otherwise
