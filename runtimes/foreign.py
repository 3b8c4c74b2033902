"""Errors of other people's libraries, put into this project's words.

SDKs raise classes of their own (onnxruntime's ``Fail``, ``cv2.error``) or bare RuntimeErrors.
What comes from a user's file or machine must become one line; a mistake of ours must not.
"""

from __future__ import annotations

_MEMORY = ("memory", "alloc", "out of resources")


def in_our_words(error: Exception, what: str) -> Exception | None:
    """MemoryError or ValueError that says what an SDK said; None if it is no SDK's error.

    Args:
        error: Whatever was raised.
        what: The file it happened with; the message starts with it.
    """
    if type(error).__module__ == "builtins" and type(error) is not RuntimeError:
        return None
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = f"{what}: {lines[0][:300] if lines else type(error).__name__}"
    if any(word in str(error).lower() for word in _MEMORY):
        return MemoryError(said)
    return ValueError(f"{said} ({type(error).__module__}.{type(error).__qualname__})")
