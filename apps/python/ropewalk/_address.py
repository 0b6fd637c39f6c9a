"""Where brokers are and how one is let in: URLs, tokens, TLS."""

from __future__ import annotations

import dataclasses
import os
import random
import urllib.parse
from typing import TYPE_CHECKING, Any, Mapping, Optional, Union

if TYPE_CHECKING:
    import ssl

DEFAULT_PORT = 7070
DEFAULT_URL = "ropewalk://127.0.0.1:7070"

Path = Union[str, "os.PathLike[str]"]


@dataclasses.dataclass(frozen=True)
class Address:
    """Brokers that are as good as one another, and what is shown to them."""

    brokers: tuple[tuple[str, int], ...]
    token: Optional[bytes] = dataclasses.field(default=None, repr=False)
    tls: Optional["ssl.SSLContext"] = None


def address_of(
    url: str,
    *,
    token: Union[str, bytes, None] = None,
    token_file: Optional[Path] = None,
    ca: Optional[Path] = None,
    cert: Optional[Path] = None,
    key: Optional[Path] = None,
    environment: Mapping[str, str] = os.environ,
) -> Address:
    """What a URL says, with what is said besides it.

    ``ropewalk://token@host:7070,host2:7070`` names brokers, the first of which that can be reached is used; ``ropewalks://``
    speaks TLS. After a ``?`` may come ``token-file=``, ``ca=``, ``cert=`` and ``key=`` (paths, of which the latter three are
    for TLS only). The token is taken from: the argument, the file, the URL, the file that ``ROPEWALK_TOKEN_FILE`` names,
    ``ROPEWALK_TOKEN``; whichever comes first. Other users of the machine can see command lines and, as root, environments: a
    file of mode 600 is the place for it.

    :raises ValueError: with a sentence, if the URL is none of these.
    :raises OSError: if a file cannot be read.

    >>> address_of("ropewalk://10.0.0.1,[::1]:7171", environment={}).brokers
    (('10.0.0.1', 7070), ('::1', 7171))
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in ("ropewalk", "ropewalks"):
        raise ValueError(f"'{_without_token(url)}' is no address of a broker: write ropewalk://HOST:PORT, or ropewalks:// for TLS")
    place, _, query = rest.partition("?")
    options = _options(query)
    in_url, at, hosts = place.rstrip("/").rpartition("@")
    brokers = tuple(_broker(one) for one in hosts.split(","))
    token_file = token_file or options.get("token-file")
    if token is None and token_file is None and at:
        token = urllib.parse.unquote_to_bytes(in_url)
    if token is None:
        token_file = token_file or environment.get("ROPEWALK_TOKEN_FILE")
        if token_file is not None:
            with open(token_file, "rb") as file:
                token = file.read().strip()
        else:
            token = environment.get("ROPEWALK_TOKEN")
    said = token.encode() if isinstance(token, str) else token
    if said is not None and not 1 <= len(said) <= 255:
        raise ValueError(f"a token has 1 to 255 bytes, and this one {len(said)}")
    ca, cert, key = ca or options.get("ca"), cert or options.get("cert"), key or options.get("key")
    if scheme == "ropewalk":
        if ca or cert or key:
            raise ValueError("certificates are for TLS: write ropewalks:// in place of ropewalk://")
        return Address(brokers, said)
    return Address(brokers, said, _context(ca, cert, key))


def _without_token(url: str) -> str:
    return url.rpartition("@")[2]


def _options(query: str) -> dict[str, str]:
    options = dict(urllib.parse.parse_qsl(query, strict_parsing=True)) if query else {}
    unknown = set(options) - {"token-file", "ca", "cert", "key"}
    if unknown:
        raise ValueError(f"a broker's address has no '{min(unknown)}'; behind its ? may come: token-file, ca, cert, key")
    return options


def _broker(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, str(DEFAULT_PORT)
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"'{text}' is no HOST:PORT")
    return host, int(port)


def _context(ca: Optional[Path], cert: Optional[Path], key: Optional[Path]) -> "ssl.SSLContext":
    import ssl

    context = ssl.create_default_context(cafile=ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if cert:
        context.load_cert_chain(cert, key)
    return context


def check_role(certificate: Mapping[str, Any]) -> None:
    """A certificate of a Ropewalk authority says what it is for; only a broker's is shown by a broker.

    :raises ConnectionError: if it is for something else.

    >>> check_role({"subject": ((("organizationalUnitName", "Ropewalk worker"),),)})
    Traceback (most recent call last):
    ConnectionError: what answers there has the certificate of a 'Ropewalk worker', and is no broker
    """
    for part in certificate.get("subject", ()):
        for name, value in part:
            if name == "organizationalUnitName" and value.startswith("Ropewalk ") and value != "Ropewalk broker":
                raise ConnectionError(f"what answers there has the certificate of a '{value}', and is no broker")


class Backoff:
    """Which broker to try next, and after how many seconds: the others at once, then ever later, at random.

    >>> b = Backoff(2, random.Random(1))
    >>> b.next(), b.next(), [round(b.next()[1], 3) for _ in range(3)]
    ((0, 0.0), (1, 0.0), [0.013, 0.085, 0.153])
    """

    FIRST = 0.05  # seconds
    LONGEST = 5.0

    def __init__(self, brokers: int, chance: Optional[random.Random] = None) -> None:
        self._brokers = brokers
        self._chance = chance or random.Random()
        self._next = 0
        self._failures = 0

    def next(self) -> tuple[int, float]:
        """The number of the broker, and how long to wait before."""
        delay = 0.0
        rounds = self._failures // self._brokers
        if rounds:
            delay = self._chance.uniform(0, min(self.LONGEST, self.FIRST * 2.0 ** min(rounds, 10)))
        at = self._next
        self._next = (at + 1) % self._brokers
        self._failures += 1
        return at, delay

    @property
    def failures(self) -> int:
        """How many tries there were since the last that succeeded."""
        return self._failures

    def succeeded(self) -> None:
        """The last one is connected: it is the first to be tried next time, after another."""
        self._failures = 0
