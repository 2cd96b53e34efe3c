"""This module encrypts secrets with keys from the environment or from a file.

The cipher is Fernet of the package ``cryptography``: AES-128-CBC and HMAC-SHA256
(https://github.com/fernet/spec/blob/master/Spec.md). The first key encrypts, all decrypt.
"""

import contextlib
import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ostinato.errors import Place, VaultError

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

#: Variable with keys, separated by commas; it wins over the file.
KEY_VARIABLE = "OSTINATO_SECRET_KEY"

#: Name of the file with keys, one a line, in the folder of the project's data.
KEY_FILE = "secret.key"

_MAKE_ONE = (
    'python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"'
    " makes one"
)


class Keys:
    """The keys of a project; read when they are needed, the file again when it has changed.

    Args:
        file: Where keys lie unless the environment has some; made when it is first needed.
        environ: Environment variables.
    """

    def __init__(self, file: Path, environ: Mapping[str, str]) -> None:
        self._file = file
        self._environ = environ
        self._fernet: MultiFernet | None = None
        self._read_from: object = None

    @property
    def source(self) -> str:
        """Where the keys come from, for messages."""
        return KEY_VARIABLE if self._environ.get(KEY_VARIABLE) else str(self._file)

    def encrypt(self, data: bytes, *, may_make_key: bool) -> bytes:
        """Encrypt data with the first key.

        Args:
            data: What is secret.
            may_make_key: Whether a key is made where there is none.

        Raises:
            VaultError: There is no key, or it cannot be used.
        """
        fernet = self._load()
        if fernet is None:
            if not may_make_key:
                message = f"the key {self._file} is missing, with which others were encrypted"
                raise VaultError(message, hint=self._way_out())
            self._make_file()
            fernet = self._load()
            assert fernet is not None, "the file was made"
        return fernet.encrypt(data)

    def decrypt(self, token: bytes, subject: str) -> bytes:
        """Decrypt what ``encrypt`` returned.

        Args:
            token: What was encrypted.
            subject: What it is, for messages.

        Raises:
            VaultError: No key fits, or the token is damaged.
        """
        from cryptography.fernet import InvalidToken  # noqa: PLC0415 - 26 ms, for secrets only

        fernet = self._load()
        if fernet is None:
            message = f"{subject} is encrypted, and the key {self._file} is missing"
            raise VaultError(message, hint=self._way_out())
        try:
            return fernet.decrypt(token)
        except InvalidToken:
            message = (
                f"{subject} cannot be decrypted with the key of {self.source}: "
                "it was encrypted with another one, or is damaged"
            )
            hint = f"set {KEY_VARIABLE} to the key that encrypted it, or set it anew"
            raise VaultError(message, hint=hint) from None

    def begin_rotation(self) -> None:
        """Have a new key encrypt from now on; the one before stays, to decrypt.

        With keys from the environment there is nothing to do: their first one is the new one.
        """
        from cryptography.fernet import Fernet  # noqa: PLC0415 - 26 ms, for secrets only

        if self._load() is None:
            message = f"the key {self._file} is missing, with which secrets were encrypted"
            raise VaultError(message, hint=self._way_out())
        if not self._environ.get(KEY_VARIABLE):
            # One old key stays: a process that read the file before may still encrypt with it.
            self._write_file([Fernet.generate_key().decode(), *self._read_file()[:1]])

    def _way_out(self) -> str:
        return (
            f"put the file back or set {KEY_VARIABLE}; "
            "what is lost can be deleted and set anew, which needs no key"
        )

    def _load(self) -> "MultiFernet | None":
        """Return what encrypts and decrypts, None where there is no key."""
        given = self._environ.get(KEY_VARIABLE, "")
        if given:
            if self._read_from != given:
                keys = [key.strip() for key in given.split(",") if key.strip()]
                self._fernet = _fernet(keys, Place(KEY_VARIABLE))
                self._read_from = given
            return self._fernet
        try:
            status = self._file.stat()
        except FileNotFoundError:
            self._fernet = self._read_from = None
            return None
        except OSError as error:
            raise _unusable(self._file, error) from None
        version = (status.st_mtime_ns, status.st_ino, status.st_mode)
        if self._read_from != version:
            if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                message = "can be read by others, and so can every secret"
                raise VaultError(message, place=_place(self._file), hint=f"chmod 600 {self._file}")
            self._fernet = _fernet(self._read_file(), _place(self._file))
            self._read_from = version
        return self._fernet

    def _read_file(self) -> list[str]:
        try:
            return self._file.read_text(encoding="ascii", errors="replace").split()
        except OSError as error:
            raise _unusable(self._file, error) from None

    def _make_file(self) -> None:
        from cryptography.fernet import Fernet  # noqa: PLC0415 - 26 ms, for secrets only

        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            fresh = self._write_beside([Fernet.generate_key().decode()])
            try:
                # A link fails where the file is there: another process was quicker, and its
                # key holds.
                with contextlib.suppress(FileExistsError):
                    os.link(fresh, self._file)
            finally:
                fresh.unlink()
        except OSError as error:
            raise _unusable(self._file, error) from None

    def _write_file(self, keys: list[str]) -> None:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._write_beside(keys).replace(self._file)
        except OSError as error:
            raise _unusable(self._file, error) from None

    def _write_beside(self, keys: list[str]) -> Path:
        # mkstemp makes the file with mode 600.
        handle, name = tempfile.mkstemp(dir=self._file.parent, prefix=f".{self._file.name}-")
        with open(handle, "w", encoding="ascii") as file:
            file.write("".join(f"{key}\n" for key in keys))
            file.flush()
            os.fsync(file.fileno())
        return Path(name)


def _fernet(keys: list[str], place: Place) -> "MultiFernet":
    from cryptography.fernet import Fernet, MultiFernet  # noqa: PLC0415 - 26 ms, for secrets only

    if not keys:
        raise VaultError("holds no key", place=place, hint=_MAKE_ONE)
    made = []
    for number, key in enumerate(keys, 1):
        try:
            made.append(Fernet(key))
        except ValueError:
            message = f"key {number} is none: it must be 32 bytes in URL-safe base64"
            raise VaultError(message, place=place, hint=_MAKE_ONE) from None
    return MultiFernet(made)


def _place(file: Path) -> Place:
    return Place(str(file))


def _unusable(file: Path, error: OSError) -> VaultError:
    return VaultError(f"cannot be used: {error.strerror}", place=_place(file))
