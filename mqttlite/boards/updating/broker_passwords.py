"""Where a broker's passwords are kept, when a board gets a new one: Mosquitto's password file, or any command. Nothing
of it is printed, and no password stands in a command line, where other users could read it.
"""

import asyncio
import base64
import hashlib
import re
import secrets
from pathlib import Path

from ...broker.access.secret_files import write_secret

ITERATIONS = 101  # as mosquitto_passwd
COMMAND_S = 60.0


class PasswordError(ValueError):
    """A password could not be set; says why, without it."""


def mosquitto_hash(password: str, salt: bytes | None = None) -> str:
    """PBKDF2 with SHA-512, as Mosquitto 1.6 and newer has it in its password file."""
    salt = salt or secrets.token_bytes(12)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ITERATIONS)
    words = [base64.b64encode(part).decode() for part in (salt, digest)]
    return f"$7${ITERATIONS}${words[0]}${words[1]}"


def set_in_file(path: Path, username: str, password: str) -> None:
    """Set a user's password in Mosquitto's file, whose other lines, mode and owner stay. PasswordError, OSError."""
    if not username or re.search(r"[:\n\r]", username):
        raise PasswordError("a user name in a password file is not empty and has no colon")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    line = f"{username}:{mosquitto_hash(password)}"
    places = [at for at, old in enumerate(lines) if old.partition(":")[0] == username]
    if places:
        lines[places[0]] = line
    else:
        lines.append(line)
    write_secret(path, ("\n".join(lines) + "\n").encode(), as_before=True)


async def run_command(command: str, username: str, password: str) -> None:
    """Run a command of the shell that sets a password: user name and password are the two lines of its standard input.
    What it prints is not shown: it may be the password. Raises PasswordError.
    """
    process = await asyncio.create_subprocess_shell(
        command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await asyncio.wait_for(process.communicate(f"{username}\n{password}\n".encode()), COMMAND_S)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise PasswordError(f"the command for the broker's password takes longer than {COMMAND_S:g} s") from None
    if process.returncode:
        raise PasswordError(
            f"the command for the broker's password has ended with {process.returncode}; what it says is not shown, "
            "since it may hold the password: run it by hand, with a user name and a password on its standard input"
        )


async def reload(command: str) -> None:
    """Run the command of the shell after which the broker knows its new passwords. Raises PasswordError."""
    process = await asyncio.create_subprocess_shell(
        command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    if process.returncode:
        said = output.decode(errors="replace").strip().splitlines()[-1:]
        raise PasswordError(f"'{command}' has ended with {process.returncode}{': ' + said[0] if said else ''}")
