"""The infotext's own syntax, as far as writing and reading parameters goes."""

import json
import re

_PARAMETER = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')


def quote(text):
    if "," not in str(text) and "\n" not in str(text) and ":" not in str(text):
        return text
    return json.dumps(text, ensure_ascii=False)


def unquote(text):
    if len(text) == 0 or text[0] != '"' or text[-1] != '"':
        return text
    return json.loads(text)


def parse_generation_parameters(x, skip_fields=None):
    lastline = x.strip().split("\n")[-1]
    return {key: unquote(value) for key, value in _PARAMETER.findall(lastline)}
