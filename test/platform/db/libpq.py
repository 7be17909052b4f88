"""What libpq makes of connection URLs: reads a JSON array of them, writes one of {keyword: value} or null (refused)."""
import ctypes
import ctypes.util
import json
import sys


class Option(ctypes.Structure):
    """PQconninfoOption (PostgreSQL manual, 32.1)."""

    _fields_ = [(name, ctypes.c_char_p) for name in ("keyword", "envvar", "compiled", "val", "label", "dispchar")] + [
        ("dispsize", ctypes.c_int)
    ]


libpq = ctypes.CDLL(ctypes.util.find_library("pq"))
libpq.PQconninfoParse.restype = ctypes.POINTER(Option)
libpq.PQconndefaults.restype = ctypes.POINTER(Option)


def options(pointer):
    index = 0
    while pointer[index].keyword:
        yield pointer[index]
        index += 1


def parse(url):
    pointer = libpq.PQconninfoParse(url.encode(), None)
    if not pointer:
        return None
    return {o.keyword.decode(): o.val.decode("utf8", "replace") for o in options(pointer) if o.val is not None}


keywords = {o.keyword.decode(): o.envvar.decode() if o.envvar else None for o in options(libpq.PQconndefaults())}
json.dump({"keywords": keywords, "parsed": [parse(url) for url in json.load(sys.stdin)]}, sys.stdout)
