"""Can a file that the configuration names be used?"""

import ssl
import stat
from collections.abc import Callable
from pathlib import Path

from proxy.config.secret import why_unreadable

_CERTIFICATE = b"CERTIFICATE-----"  # as PEM begins and ends one, whatever its kind


def why_not_trusted(file: str) -> str:
    """Why these certificates cannot be trusted; "" where they can."""
    return why_not(file, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations)


def why_not_shown(cert: str, key: str | None) -> str:
    """Why this certificate cannot be shown with this key, or the one beside it; "" where it can."""
    for file in filter(None, (cert, key)):
        if problem := why_not(file, Path.read_bytes):
            return problem if file == cert else f"has a key, {file}, that {problem}"
    try:
        show(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), Path(cert), Path(key) if key else None)
    except (ssl.SSLError, ValueError):
        return "does not contain a PEM certificate and, there or in `cert_key`, its private key without a passphrase"
    return ""


def show(tls: ssl.SSLContext, cert: Path, key: Path | None) -> None:
    """From now on, to whoever asks for a certificate. Raises OSError, and SSLError or ValueError where it is none."""
    tls.load_cert_chain(cert, key, password=_none)


def _none() -> str:
    """OpenSSL would ask whoever sits at the terminal."""
    raise ValueError("the key has a passphrase")


def why_no_certificates(file: str) -> str:
    """Likewise, by their looks alone: to read a system's takes 20 ms of a start."""
    return why_not(file, _find_one)


def _find_one(file: Path) -> None:
    """Raises OSError, SSLError."""
    mode = file.stat().st_mode
    is_read_once = not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))  # a pipe, which would be empty for OpenSSL
    if not is_read_once and _CERTIFICATE not in file.read_bytes():
        raise ssl.SSLError


def why_not(file: str, read: Callable[[Path], object]) -> str:
    """Why it cannot be read so; "" where it can."""
    try:
        read(Path(file))
    except ssl.SSLError:
        return "contains no PEM certificates"
    except (OSError, ValueError) as error:
        return f"cannot be read: {why_unreadable(error)}"
    return ""
