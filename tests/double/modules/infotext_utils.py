"""The infotext's own syntax, as far as writing and reading parameters goes."""

import json
import re

_SIZE = re.compile(r"^(\d+)x(\d+)$")
_PARAMETER = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')


def quote(text):
    if "," not in str(text) and "\n" not in str(text) and ":" not in str(text):
        return text
    return json.dumps(text, ensure_ascii=False)


def unquote(text):
    if len(text) == 0 or text[0] != '"' or text[-1] != '"':
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def parse_generation_parameters(x, skip_fields=None):
    """As the real one: fewer than three parameters are none, an empty value is dropped, a size is taken apart."""
    lastline = x.strip().split("\n")[-1]
    found = _PARAMETER.findall(lastline)
    res = {}
    for key, value in found if len(found) >= 3 else ():
        if not value:
            continue
        value = unquote(value)
        size = _SIZE.match(value)
        if size is None:
            res[key] = value
        else:
            res[f"{key}-1"], res[f"{key}-2"] = size.groups()
    return res
