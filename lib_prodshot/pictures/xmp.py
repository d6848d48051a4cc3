"""XMP packets: read, and changed property by property with every other byte in its place.

Packets are parsed by expat, which tells where each element stands; nothing is written anew but what changes. A document
type, by which entities could be declared, is refused before any is expanded.

Sources: Adobe, "XMP Specification Part 1" (ISO 16684-1), sections 7.3 to 7.5; W3C, "Namespaces in XML 1.0".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat
from xml.sax.saxutils import escape

Name = tuple[str, str]
"""Namespace and local name of a property."""

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_XML = "http://www.w3.org/XML/1998/namespace"
_BETWEEN = "\x1f"
"""Between the parts of a name as expat tells it: no XML can hold this character."""

_PREFIXES = {"http://iptc.org/std/Iptc4xmpExt/2008-02-29/": "Iptc4xmpExt", "http://ns.adobe.com/xmp/note/": "xmpNote"}
_TAG = re.compile(rb"""<[^\s/>]+(?:"[^"]*"|'[^']*'|[^>"'])*>""")
_TAG_NAME = re.compile(rb"<[^\s/>]+")
_WRAPPER = re.compile(rb"<\?xpacket\b.*?\?>", re.DOTALL)
_FORBIDDEN = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_PADDING = re.compile(rb"\s+(?=<\?xpacket end)")

_RIGHTS: Mapping[str, set[str]] = {
    "http://purl.org/dc/elements/1.1/": {"creator", "rights"},
    "http://ns.adobe.com/photoshop/1.0/": {"Credit", "Source", "AuthorsPosition"},
    "http://ns.adobe.com/xap/1.0/rights/": set(),
    "http://ns.useplus.org/ldf/xmp/1.0/": set(),
    "http://creativecommons.org/ns#": set(),
    "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/": {"CreatorContactInfo"},
    "http://iptc.org/std/Iptc4xmpExt/2008-02-29/": {
        *("DigitalSourceType", "AISystemUsed", "AISystemVersionUsed", "AIPromptInformation", "AIPromptWriterName"),
    },
}
"""Namespaces of what says whose a picture is and how it was made, with the names there (empty: all)."""


class XmpError(ValueError):
    """A packet that cannot be read; the rest of a sentence."""


def says_rights(name: Name) -> bool:
    """Whether a property says whose a picture is, or how it was made: true of whatever is made of that picture."""
    return name[0] in _RIGHTS and name[1] in (_RIGHTS[name[0]] or {name[1]})


@dataclass(frozen=True)
class _Property:
    """A property, its text, and its bytes: an element's, or an attribute's with the blank before it."""

    name: Name
    text: str
    start: int
    end: int


@dataclass
class _Element:
    """An element: its start tag, which prefixes stand for what in it (of those that properties stand in), and where its
    contents end (None: it has none)."""

    start: int
    tag_end: int
    scope: Mapping[str, str] = field(default_factory=dict)
    contents_end: int | None = None


@dataclass
class _Parsed:
    properties: list[_Property] = field(default_factory=list)
    description: _Element | None = None
    rdf: _Element | None = None


class _Reader:
    """Goes through a packet once and notes where things are."""

    def __init__(self, packet: bytes) -> None:
        self._data = packet
        self._path: list[Name] = []
        self._open: list[_Element] = []
        self._scope: dict[str, list[str]] = {}
        self._text: list[str] = []
        self._resource = ""
        self.parsed = _Parsed()
        self._parser = expat.ParserCreate(None, _BETWEEN)
        self._parser.namespace_prefixes = True
        self._parser.ordered_attributes = True
        self._parser.StartDoctypeDeclHandler = self._refuse
        self._parser.StartNamespaceDeclHandler = self._declare
        self._parser.EndNamespaceDeclHandler = lambda prefix: self._scope[prefix or ""].pop()
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = lambda text: self._text.append(text)

    def read(self) -> _Parsed:
        try:
            self._parser.Parse(self._data, True)
        except expat.ExpatError as error:
            raise XmpError(f"it is no XML: {expat.ErrorString(error.code)}, line {error.lineno}") from error
        if self.parsed.rdf is None:
            raise XmpError("it holds no RDF")
        return self.parsed

    def _refuse(self, *_told: Any) -> None:
        raise XmpError("it declares a document type, which XMP may not")

    def _declare(self, prefix: str | None, uri: str | None) -> None:
        self._scope.setdefault(prefix or "", []).append(uri or "")

    def _start(self, told: str, attributes: Sequence[str]) -> None:
        name, _ = _split(told)
        place = self._parser.CurrentByteIndex
        tag = _TAG.match(self._data, place)
        if tag is None:  # in an encoding in which tags are written otherwise
            raise XmpError("it is not in UTF-8")
        element = _Element(place, tag.end())
        if name == (_RDF, "RDF") and self.parsed.rdf is None:
            self.parsed.rdf = self._with_scope(element)
        elif self._stands_in_rdf() and name == (_RDF, "Description"):
            self.parsed.description = self.parsed.description or self._with_scope(element)
            self._note_attributes(tag[0], place, attributes)
        elif self._stands_in_description():
            self._text, self._resource = [], ""
            for key, value in zip(attributes[::2], attributes[1::2]):
                if _split(key)[0] == (_RDF, "resource"):
                    self._resource = value
        self._path.append(name)
        self._open.append(element)

    def _with_scope(self, element: _Element) -> _Element:
        element.scope = {prefix: uris[-1] for prefix, uris in self._scope.items() if uris}
        return element

    def _stands_in_rdf(self) -> bool:
        return self._path[-1:] == [(_RDF, "RDF")]

    def _stands_in_description(self) -> bool:
        return self._path[-2:] == [(_RDF, "RDF"), (_RDF, "Description")]

    def _note_attributes(self, tag: bytes, place: int, attributes: Sequence[str]) -> None:
        for key, value in zip(attributes[::2], attributes[1::2]):
            name, prefix = _split(key)
            if name[0] in ("", _RDF, _XML):
                continue
            written = re.escape(f"{prefix}:{name[1]}".encode())
            found = re.search(rb"""\s+%s\s*=\s*(?:"[^"]*"|'[^']*')""" % written, tag)
            if found is not None:
                self.parsed.properties.append(_Property(name, value, place + found.start(), place + found.end()))

    def _end(self, _told: str) -> None:
        name, element = self._path.pop(), self._open.pop()
        place = self._parser.CurrentByteIndex
        is_empty = self._data[: element.tag_end].endswith(b"/>")
        element.contents_end = None if is_empty else place
        if self._stands_in_description():
            end = element.tag_end if is_empty else self._data.index(b">", place) + 1
            text = "".join(self._text).strip() or self._resource
            self.parsed.properties.append(_Property(name, text, element.start, end))


def _split(told: str) -> tuple[Name, str]:
    """Namespace and local name, and the prefix that is written, of a name as expat tells it."""
    parts = told.split(_BETWEEN)
    if len(parts) == 1:
        return ("", parts[0]), ""
    return (parts[0], parts[1]), parts[2] if len(parts) > 2 else ""


def _read(packet: bytes) -> _Parsed:
    return _Reader(packet.rstrip(b"\0")).read()


def values(packet: bytes) -> dict[Name, str]:
    """The properties of a packet with their text (of a list: all of it). Raises `XmpError`."""
    return {each.name: each.text for each in _read(packet).properties}


def edited(packet: bytes, add: Mapping[Name, str], keep: Callable[[Name], bool] = lambda name: True) -> bytes:
    """The packet with the simple properties `add` instead of its own of these names, without those that are not to be
    kept; all other bytes are as they were. Raises `XmpError`."""
    parsed = _read(packet)
    edits = [(each.start, each.end, b"") for each in parsed.properties if each.name in add or not keep(each.name)]
    if add:
        edits += _insertions(packet, parsed, add)
    for start, end, text in sorted(edits, reverse=True):
        packet = packet[:start] + text + packet[end:]
    return packet


def _insertions(packet: bytes, parsed: _Parsed, add: Mapping[Name, str]) -> list[tuple[int, int, bytes]]:
    """Where to put what: the properties at the end of the first description, in one of our own where there is none."""
    assert parsed.rdf is not None
    element = parsed.description or parsed.rdf
    tag = packet[element.start : element.tag_end]
    known = {uri: prefix for prefix, uri in element.scope.items() if prefix}
    spaces: dict[str, str] = {}
    for namespace, _ in add:
        if namespace not in known:
            known[namespace] = spaces[namespace] = _free_prefix(_PREFIXES.get(namespace, "ns"), element.scope)
    declared = "".join(f' xmlns:{prefix}="{escape(uri)}"' for uri, prefix in spaces.items())
    named = ((f"{known[uri]}:{local}", _text(text)) for (uri, local), text in add.items())
    written = "".join(f"<{name}>{text}</{name}>" for name, text in named)
    if parsed.description is None:
        head = f'<rdf:Description xmlns:rdf="{_RDF}" rdf:about=""{declared}>'
        written, declared = f"{head}{written}</rdf:Description>", ""
    opened = _TAG_NAME.match(tag)
    assert opened is not None
    contents = written.encode("ascii", "xmlcharrefreplace")
    after_name = element.start + opened.end()
    edits = [(after_name, after_name, declared.encode())] if declared else []
    if element.contents_end is not None:
        return [*edits, (element.contents_end, element.contents_end, contents)]
    return [*edits, (element.tag_end - 2, element.tag_end, b">" + contents + b"</" + opened[0][1:] + b">")]


def _free_prefix(wanted: str, scope: Mapping[str, str]) -> str:
    while wanted in scope:
        wanted += "_"
    return wanted


def _text(text: str) -> str:
    """Text as XML holds it; characters that no XML can hold are left out."""
    return escape(_FORBIDDEN.sub("", text))


def made(properties: Mapping[Name, str]) -> bytes:
    """A new packet with these simple properties."""
    empty = (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF}"><rdf:Description rdf:about=""/></rdf:RDF>'
        '</x:xmpmeta>\n<?xpacket end="w"?>'
    )
    return edited(empty.encode(), properties)


def without_padding(packet: bytes) -> bytes:
    """The packet without the room that it leaves for growth."""
    return _PADDING.sub(b"\n", packet)


def without_wrapper(packet: bytes) -> bytes:
    """The packet's document alone, as the extended part of a JPEG's XMP is kept."""
    return _WRAPPER.sub(b"", packet).strip(b"\xef\xbb\xbf\0 \t\r\n")
