#!/usr/bin/env python3
"""A second verifier of receipts, documents, sets of them and proofs of the log.

Written from docs/receipts.md, docs/transparency-log.md and the C2SP documents alone, so that two readings of them can be
compared. Needs Python 3.9 and the package `cryptography`, for Ed25519 only.

    verify_receipt.py check FILE --keys FILE [--root-key ID] [--proof FILE --policy FILE]
    verify_receipt.py set FILE
    verify_receipt.py consistency FILE --policy FILE
    verify_receipt.py vectors FOLDER

`check` reads the bundle of a receipt or a document; `set` an object of two lists of bundles, `receipts` and `statements`;
`consistency` an object of two signed checkpoints and a path: `old`, `new`, `path`. Each step is printed; the exit code is 0
when all passed. `vectors` prints the first failing step of every vector as one JSON object.
"""

import argparse
import base64
import datetime
import hashlib
import json
import re
import sys
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

INT_MAX = 2**53 - 1
AMOUNT_MAX = 2**63
DEPTH_MAX = 32
SECONDS_MAX = 253_402_300_799  # The end of the year 9999.


class Refused(Exception):
    """What was given is not as the documents say."""


def need(condition, why):
    if not condition:
        raise Refused(why)


# Text ----------------------------------------------------------------------------------------------------------------


def utf16_length(text):
    return len(text.encode("utf-16-le")) // 2


def read_strict(raw):
    """JSON without repeated names, without numbers that are no plain integers, without null and lone surrogates."""

    def members(pairs):
        names = [name for name, _ in pairs]
        need(len(set(names)) == len(names), "an object has a name twice")
        return dict(pairs)

    def integer(text):
        need(text != "-0", "minus zero")
        need(abs(int(text)) <= INT_MAX, "an integer of 2^53 or more")
        return int(text)

    def refuse(text):
        raise Refused(f"{text} is no plain integer")

    try:
        text = raw.decode("utf-8")
        value = json.loads(
            text, object_pairs_hook=members, parse_int=integer, parse_float=refuse, parse_constant=refuse
        )
    except (ValueError, RecursionError) as error:
        raise Refused(f"this is no JSON: {error}") from error
    check_value(value, 0)
    return value


def check_value(value, depth):
    need(value is not None, "null")
    if isinstance(value, str):
        need(not any(0xD800 <= ord(char) <= 0xDFFF for char in value), "a lone surrogate")
    elif isinstance(value, (dict, list)):
        need(depth < DEPTH_MAX, "nested too deep")
        for item in value:
            if isinstance(value, dict):
                check_value(item, depth)
                check_value(value[item], depth + 1)
            else:
                check_value(item, depth + 1)


def canonical(value):
    """RFC 8785 for values that read_strict returns."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return "[" + ",".join(canonical(item) for item in value) + "]"
    names = sorted(value, key=lambda name: name.encode("utf-16-be"))
    return "{" + ",".join(f"{canonical(name)}:{canonical(value[name])}" for name in names) + "}"


def strict_base64(text, length=None, url=False):
    need(isinstance(text, str), "bytes are not text")
    need(re.fullmatch(r"[A-Za-z0-9_-]*" if url else r"[A-Za-z0-9+/]*={0,2}", text), "stray characters in Base64")
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)) if url else base64.b64decode(text, validate=True)
    except ValueError as error:
        raise Refused(f"no Base64: {error}") from error
    again = base64.urlsafe_b64encode(raw).decode().rstrip("=") if url else base64.b64encode(raw).decode()
    need(again == text, "a second spelling of Base64")
    need(length is None or len(raw) == length, f"not {length} bytes")
    return raw


# Hashes and signatures ------------------------------------------------------------------------------------------------


def sha256(data):
    return hashlib.sha256(data).digest()


def leaf_hash(data):
    return sha256(b"\0" + data)


def node_hash(left, right):
    return sha256(b"\1" + left + right)


def tree_root(hashes):
    """RFC 9162 section 2.1.1, from the top: the left side is the largest complete tree that leaves something over."""
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    return node_hash(tree_root(hashes[:split]), tree_root(hashes[split:]))


def root_of_path(leaf, index, size, path):
    """RFC 9162 section 2.1.3.2."""
    need(0 <= index < size, "no such leaf")
    fn, sn, r = index, size - 1, leaf
    for p in path:
        need(sn != 0, "the path is too long")
        if fn % 2 == 1 or fn == sn:
            r = node_hash(p, r)
            while fn % 2 == 0 and fn != 0:
                fn //= 2
                sn //= 2
        else:
            r = node_hash(r, p)
        fn //= 2
        sn //= 2
    need(sn == 0, "the path is too short")
    return r


def is_consistent(first, first_root, second, second_root, path):
    """RFC 9162 section 2.1.4.2, with its two ends: the empty tree and the same tree."""
    if first > second:
        return False
    if first == 0:
        return not path and first_root == sha256(b"")
    if first == second:
        return not path and first_root == second_root
    if first & (first - 1) == 0:
        path = [first_root, *path]
    if not path:
        return False
    fn, sn = first - 1, second - 1
    while fn % 2 == 1:
        fn //= 2
        sn //= 2
    fr = sr = path[0]
    for c in path[1:]:
        if sn == 0:
            return False
        if fn % 2 == 1 or fn == sn:
            fr, sr = node_hash(c, fr), node_hash(c, sr)
            while fn % 2 == 0 and fn != 0:
                fn //= 2
                sn //= 2
        else:
            sr = node_hash(sr, c)
        fn //= 2
        sn //= 2
    return sn == 0 and fr == first_root and sr == second_root


def ed25519(public_key, signature, message):
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
        return True
    except (InvalidSignature, ValueError):
        return False


# Fields ---------------------------------------------------------------------------------------------------------------


def matches(shape):
    return lambda value: isinstance(value, str) and re.fullmatch(shape, value, re.ASCII) is not None


def is_int(least):
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and least <= value <= INT_MAX


def is_amount(value):
    return matches(r"0|[1-9][0-9]{0,18}")(value) and int(value) < AMOUNT_MAX


def is_adjustment(value):
    return matches(r"0|-?[1-9][0-9]{0,18}")(value) and abs(int(value)) < AMOUNT_MAX


def is_time(value):
    if not matches(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")(value):
        return False
    try:
        return datetime.datetime.strptime(value, "%Y-%m-%dT%H:%M:%S.%fZ").year >= 1970
    except ValueError:
        return False


def is_day(value):
    return matches(r"\d{4}-\d\d-\d\d")(value) and is_time(f"{value}T00:00:00.000Z")


def is_label(value):
    return isinstance(value, str) and 1 <= len(value) <= 255


def is_bytes(length, url=False):
    def check(value):
        try:
            strict_base64(value, length, url)
            return True
        except Refused:
            return False

    return check


def is_bool(value):
    return isinstance(value, bool)


def one_of(*values):
    return lambda value: isinstance(value, str) and value in values


def check_fields(value, fields, what):
    """`fields`: name → test; a name that ends in ? is optional."""
    need(isinstance(value, dict), f"{what} is not an object")
    known = {name.rstrip("?"): (test, name.endswith("?")) for name, test in fields.items()}
    for name in value:
        need(name in known, f"{what} has a field too many: {name}")
    for name, (test, optional) in known.items():
        if name not in value:
            need(optional, f"{what} lacks {name}")
        else:
            need(test(value[name]), f"{what}: {name} is not as it should be")


def has_fields(fields):
    def check(value):
        try:
            check_fields(value, fields, "")
            return True
        except Refused:
            return False

    return check


ORIGIN = matches(r"[!-*,-~]{1,255}")
ACCOUNT = matches(r"acc_[A-Za-z0-9_-]{1,64}")
PROJECT = matches(r"prj_[A-Za-z0-9_-]{1,64}")
KEY_ID = matches(r"rk_[0-9a-f]{16}")
COMMIT = matches(r"hmac-sha256:[0-9a-f]{64}")
CODE = matches(r"[a-z][a-z0-9_]{0,63}")

KINDS = (
    "input cache_read cache_write_5m cache_write_1h output reasoning audio_input audio_output characters seconds calls"
).split()


def is_usage(value):
    return isinstance(value, dict) and all(kind in KINDS and is_int(1)(units) for kind, units in value.items())


def is_lines(value):
    return isinstance(value, dict) and all(
        kind in KINDS and matches(r"0|[1-9][0-9]*")(price) and len(price) <= 16 and int(price) <= 10**15
        for kind, price in value.items()
    )


PRICE = {
    "book": matches(r"sha256:[0-9a-f]{64}"),
    "lines": is_lines,
    "minimum_nanousd?": is_amount,
    "flat_nanousd?": is_amount,
}
ATTEMPT = {
    "provider": is_label,
    "model": is_label,
    "upstream?": is_label,
    "key?": matches(r"[0-9a-f]{8}"),
    "protocol?": matches(r"[a-z][a-z0-9_-]{0,31}"),
    "result": CODE,
    "ms": is_int(0),
    "cost_nanousd?": is_amount,
}


def is_attempts(value):
    return isinstance(value, list) and len(value) <= 64 and all(has_fields(ATTEMPT)(entry) for entry in value)


RECEIPT = {
    "v": one_of("fluxgate-receipt/2"),
    "log": ORIGIN,
    "receipt_id": matches(r"rcp_[0-9a-f]{32}"),
    "account": ACCOUNT,
    "seq": is_int(1),
    "issued_at": is_time,
    "project_key": PROJECT,
    "key_id": matches(r"key_[A-Za-z0-9_-]{1,64}"),
    "alias_name?": is_label,
    "profile?": is_label,
    "origin?": is_label,
    "lock_digest?": matches(r"[!-~]{1,128}"),
    "model": is_label,
    "provider": is_label,
    "model_used": is_label,
    "upstream_id?": is_label,
    "attempts": is_int(0),
    "attempt_list?": is_attempts,
    "stream": is_bool,
    "outcome": one_of("complete", "void", "client_abort", "upstream_error", "gateway_lost", "cut_off"),
    "reason?": CODE,
    "usage": is_usage,
    "usage_source": one_of("provider", "counted", "estimated", "none"),
    "price": has_fields(PRICE),
    "charged_nanousd": is_amount,
    "absorbed_nanousd": is_amount,
    "request_commit?": COMMIT,
    "response_commit?": COMMIT,
    "config_version?": is_int(0),
}


def check_receipt(receipt):
    need(utf16_length(canonical(receipt)) <= 32_768, "the receipt is too long")
    check_fields(receipt, RECEIPT, "the receipt")
    need(receipt["usage_source"] != "none" or not receipt["usage"], "usage that nobody vouches for")
    if "attempt_list" in receipt:
        need(len(receipt["attempt_list"]) == receipt["attempts"], "attempts is not the length of its list")


def check_batch(batch):
    fields = {
        "id": matches(r"[A-Za-z0-9_-]{1,64}"),
        "key_id": KEY_ID,
        "n": lambda n: is_int(1)(n) and n <= 65_536,
        "path": lambda path: isinstance(path, list) and len(path) <= 16 and all(map(is_bytes(32), path)),
        "pos": is_int(0),
        "root": is_bytes(32),
        "sig": is_bytes(64),
    }
    check_fields(batch, fields, "the batch")
    need(batch["pos"] < batch["n"], "pos is not below n")


# Keys -----------------------------------------------------------------------------------------------------------------


def read_keys(document):
    """The keys of a keys document by their names."""
    check_fields(document, {"keys": lambda keys: isinstance(keys, list), "current_key_id": KEY_ID}, "the keys document")
    need(1 <= len(document["keys"]) <= 1000, "not 1 to 1,000 keys")
    fields = {
        "key_id": KEY_ID,
        "public_key": is_bytes(32, url=True),
        "algorithm": one_of("Ed25519"),
        "format": one_of("base64url"),
        "not_before": is_time,
        "not_after?": is_time,
        "status": one_of("active", "retired", "revoked"),
        "revoked_at?": is_time,
    }
    keys = {}
    for key in document["keys"]:
        check_fields(key, fields, "a key")
        need(key["key_id"] == "rk_" + sha256(strict_base64(key["public_key"], url=True)).hex()[:16], "not its own name")
        need(key["key_id"] not in keys, "a key twice")
        need("not_after" not in key or key["not_after"] > key["not_before"], "a key ends before it begins")
        need(key["status"] != "retired" or "not_after" in key, "a retired key without an end")
        need((key["status"] == "revoked") == ("revoked_at" in key), "revoked_at is for revoked keys")
        keys[key["key_id"]] = key
    need(keys.get(document["current_key_id"], {}).get("status") == "active", "current_key_id names no active key")
    return keys


def check_key(key, issued_at, witnessed_at):
    need(key["not_before"] <= issued_at, "issued before the key was valid")
    need("not_after" not in key or issued_at < key["not_after"], "issued after the end of the key")
    if "revoked_at" in key:
        need(witnessed_at is not None, "the key was revoked, and no witness saw this before")
        need(witnessed_at < key["revoked_at"], "witnesses saw this only after the key was revoked")


# The charge -----------------------------------------------------------------------------------------------------------


def check_charge(receipt):
    usage, price, outcome = receipt["usage"], receipt["price"], receipt["outcome"]
    unknown = receipt["usage_source"] in ("estimated", "none")
    if "flat_nanousd" in price and outcome == "complete" and unknown:
        priced = int(price["flat_nanousd"])
    else:
        need(all(kind in price["lines"] for kind in usage), "usage without a price line")
        pico = sum(units * int(price["lines"][kind]) for kind, units in usage.items())
        priced = -(-pico // 1000)
        if "minimum_nanousd" in price and usage:
            priced = max(priced, int(price["minimum_nanousd"]))
    charged, absorbed = int(receipt["charged_nanousd"]), int(receipt["absorbed_nanousd"])
    if outcome == "void":
        need(charged == 0 and absorbed <= priced, "a void call is charged, or absorbs more than its price")
    else:
        need(charged + absorbed == priced, f"worth {priced}, charged {charged}, absorbed {absorbed}")


# Documents ------------------------------------------------------------------------------------------------------------


def is_ranges(value):
    if not isinstance(value, list) or not 1 <= len(value) <= 1000:
        return False
    before = -1
    for pair in value:
        if not isinstance(pair, list) or len(pair) != 2 or not all(map(is_int(1), pair)):
            return False
        if pair[0] <= before + 1 or pair[1] < pair[0]:
            return False
        before = pair[1]
    return True


def range_count(ranges):
    return sum(last - first + 1 for first, last in ranges)


def is_projects(value):
    if not isinstance(value, list) or len(value) > 1000 or not all(map(PROJECT, value)):
        return False
    return all(value[n - 1] < value[n] for n in range(1, len(value)))


STATEMENT = {
    "v": one_of("fluxgate-statement/1"),
    "log": ORIGIN,
    "document_id": matches(r"stm_[0-9a-f]{32}"),
    "issued_at": is_time,
    "account": ACCOUNT,
    "project_keys": is_projects,
    "day": is_day,
    "opening_nanousd": is_amount,
    "granted_nanousd": is_amount,
    "charged_nanousd": is_amount,
    "refunded_nanousd": is_amount,
    "expired_nanousd": is_amount,
    "adjusted_nanousd": is_adjustment,
    "closing_nanousd": is_amount,
    "receipts": has_fields(
        {"count": is_int(0), "first?": is_int(1), "last?": is_int(1), "root?": is_bytes(32), "numbers?": is_ranges}
    ),
    "receipts_total": is_int(0),
    "highest": is_int(0),
    "open": has_fields({"count": is_int(0), "numbers?": is_ranges}),
}


def check_statement(s):
    amount = {name: int(s[f"{name}_nanousd"]) for name in
              ("opening", "granted", "charged", "refunded", "expired", "adjusted", "closing")}
    closing = (amount["opening"] + amount["granted"] - amount["charged"] + amount["refunded"] - amount["expired"]
               + amount["adjusted"])
    need(closing == amount["closing"], f"what moved leads to {closing}")
    need(s["day"] != "9999-12-31", "a day that never ends")
    after = datetime.date.fromisoformat(s["day"]) + datetime.timedelta(days=1)
    need(s["issued_at"] >= f"{after.isoformat()}T00:00:00.000Z", "issued before the day was over")
    receipts, opened = s["receipts"], s["open"]
    if receipts["count"] == 0:
        need(set(receipts) == {"count"}, "something is said of no receipts")
        need(amount["charged"] == 0, "a charge without a receipt")
    else:
        need({"first", "last", "root"} <= set(receipts), "first, last or root is missing")
        need(receipts["last"] - receipts["first"] + 1 >= receipts["count"], "so many do not fit")
        need(receipts["last"] <= s["highest"], "a receipt above the highest number")
        if "numbers" in receipts:
            numbers = receipts["numbers"]
            need(numbers[0][0] == receipts["first"] and numbers[-1][1] == receipts["last"], "first or last is another")
            need(range_count(numbers) == receipts["count"], "not as many numbers as receipts")
    need(s["receipts_total"] >= receipts["count"], "more on the day than in all")
    need(s["receipts_total"] + opened["count"] == s["highest"], "a number is neither a receipt nor open")
    if "numbers" in opened:
        need(range_count(opened["numbers"]) == opened["count"], "not as many open numbers as are counted")
        need(opened["numbers"][-1][1] <= s["highest"], "an open number above the highest")
        for first, last in opened["numbers"]:
            for start, end in receipts.get("numbers", []):
                need(last < start or end < first, "a number is both open and a receipt")


def is_legacy(value):
    fields = {"key_id": matches(r"[!-~]{1,255}"), "public_key": is_bytes(32, url=True)}
    return isinstance(value, list) and 1 <= len(value) <= 100 and all(map(has_fields(fields), value))


MANIFEST = {
    "v": one_of("fluxgate-keys/1"),
    "log": ORIGIN,
    "document_id": matches(r"kms_[0-9a-f]{32}"),
    "issued_at": is_time,
    "sequence": is_int(1),
    "root_key_id": matches(r"root_[0-9a-f]{16}"),
    "root_public_key": is_bytes(32, url=True),
    "current_key_id": KEY_ID,
    "keys": lambda keys: isinstance(keys, list) and len(keys) > 0,
    "log_vkey?": matches(r"[!-~]{1,512}"),
    "legacy_keys?": is_legacy,
    "root_sig": is_bytes(64),
}


def check_manifest(manifest):
    read_keys({"keys": manifest["keys"], "current_key_id": manifest["current_key_id"]})
    name = "root_" + sha256(strict_base64(manifest["root_public_key"], url=True)).hex()[:16]
    need(name == manifest["root_key_id"], "root_key_id is not the name of the root key")


def check_root(manifest, trusted):
    need(trusted in (None, manifest["root_key_id"]), "another root key than the one that is trusted")
    rest = {name: value for name, value in manifest.items() if name != "root_sig"}
    key = strict_base64(manifest["root_public_key"], url=True)
    signature = strict_base64(manifest["root_sig"])
    need(ed25519(key, signature, canonical(rest).encode()), "the root key did not sign this")


def is_micros(value):
    return matches(r".{19}\.\d{6}Z")(value) and is_time(value[:23] + "Z")


def is_list(test, most, least=0):
    return lambda value: isinstance(value, list) and least <= len(value) <= most and all(map(test, value))


def is_text(most):
    return lambda value: isinstance(value, str) and 1 <= len(value) <= most


def is_selection(value):
    mode = value.get("mode") if isinstance(value, dict) else None
    return isinstance(mode, str) and mode in SELECTIONS and has_fields({"mode": is_label, **SELECTIONS[mode]})(value)


UUID = matches(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
SUM = matches(r"0|[1-9][0-9]{0,22}")
DIGEST = matches(r"sha256:[0-9a-f]{64}")
SELECTIONS = {
    "log_ids": {},
    "range": {"start": is_time, "end": is_time, "certified_before": is_bool},
    "conversation": {"conversation_id": UUID, "certified_before": is_bool},
    "since_last_receipt": {"more": is_bool},
}
SUMS = {
    "calls": is_int(0),
    "input_tokens": is_int(0),
    "output_tokens": is_int(0),
    "cost_nanousd": SUM,
    "unpriced": is_int(0),
}
TOTALS = {**SUMS, "cached_input_tokens": is_int(0), "input_cost_nanousd?": SUM, "output_cost_nanousd?": SUM}


def up_to(most):
    return lambda value: is_int(1)(value) and value <= most


def groups_by(name):
    groups = is_list(has_fields({**name, **SUMS}), 50, 1)
    return has_fields({"groups": groups, "rest?": has_fields({**SUMS, "groups": up_to(10_000)})})


CERTIFICATE = {
    "v": one_of("fluxgate-certificate/1"),
    "document_id": matches(r"crt_[0-9a-f]{32}"),
    "log": ORIGIN,
    "source": one_of("reported"),
    "receipt_type": one_of("single", "batch"),
    "account": ACCOUNT,
    "project_key": PROJECT,
    "key_id": is_label,
    "issued_at": is_time,
    "selection": is_selection,
    "description?": is_text(2_000),
    "tags?": is_list(is_text(100), 32, 1),
    "alias_name?": is_label,
    "model_used?": is_label,
    "provider?": is_label,
    "profile?": is_label,
    "totals": has_fields(TOTALS),
    "start": is_micros,
    "end": is_micros,
    "by_model": groups_by({"model_used": is_label}),
    "by_alias": groups_by({"alias_name?": is_label}),
    "conversations": is_int(0),
    "conversation_ids?": is_list(UUID, 500),
    "entries": has_fields({"n": up_to(10_000), "root": is_bytes(32), "log_ids?": is_list(UUID, 500)}),
}
ENTRY = {
    "v": one_of("fluxgate-log-entry/1"),
    "source": one_of("reported"),
    "log_id": UUID,
    "account": ACCOUNT,
    "project_key": PROJECT,
    "key_id": is_label,
    "occurred_at": is_micros,
    "received_at": is_micros,
    "provider": is_label,
    "model": is_label,
    "model_used": is_label,
    "alias_name?": is_label,
    "profile": is_label,
    "origin?": is_label,
    "id_at_origin?": is_label,
    "input_tokens": is_int(0),
    "output_tokens": is_int(0),
    "cached_input_tokens": is_int(0),
    "usage": is_usage,
    "latency_ms?": is_int(0),
    "cost_status": matches(r"[a-z][a-z_]{1,63}"),
    "cost_nanousd?": is_amount,
    "price_book?": is_label,
    "reported_cost?": matches(r"(0|[1-9][0-9]{0,999})(\.[0-9]{0,999}[1-9])?"),
    "metadata_digest?": DIGEST,
    "conversation_id?": UUID,
    "imported_from?": is_label,
}


def check_certificate(c):
    totals, entries = c["totals"], c["entries"]
    need(totals["calls"] == entries["n"], "not as many calls as entries")
    need((c["receipt_type"] == "single") == (entries["n"] == 1), "single is for one entry")
    need(totals["unpriced"] <= totals["calls"], "more calls are unpriced than there are")
    need(c["start"] <= c["end"], "the end is before the start")
    for name in ("by_model", "by_alias"):
        groups = c[name]["groups"] + ([c[name]["rest"]] if "rest" in c[name] else [])
        for member in SUMS:
            need(sum(int(g[member]) for g in groups) == int(totals[member]), f"{name}: {member} is not the sum")
    parts = [int(totals[name]) for name in ("input_cost_nanousd", "output_cost_nanousd") if name in totals]
    need(not parts or sum(parts) == int(totals["cost_nanousd"]), "the parts are not the cost")
    if "log_ids" in entries:
        ids = entries["log_ids"]
        need(len(ids) == entries["n"] == len(set(ids)), "not each entry is listed once")
    need(c["conversations"] <= entries["n"], "more conversations than calls")
    if "conversation_ids" in c:
        ids = c["conversation_ids"]
        need(len(ids) == c["conversations"] and ids == sorted(set(ids)), "not each conversation is listed once")
    if c["selection"]["mode"] == "range":
        start, end = c["selection"]["start"][:23], c["selection"]["end"][:23]
        need(start <= c["start"][:23] and c["end"][:23] < end, "an entry outside of the range")


def check_entry(certificate, entry, inclusion, metadata):
    """Whether an entry is the leaf of the certificate that it claims to be."""
    need(certificate["v"] == "fluxgate-certificate/1", "no certificate")
    check_fields(entry, ENTRY, "the entry")
    text = canonical(entry)
    need(utf16_length(text) <= 32_768, "the entry is too long")
    if metadata is not None:
        need(isinstance(metadata, str), "metadata that are no text")
        digest = None if metadata == "{}" else "sha256:" + sha256(metadata.encode()).hex()
        need(entry.get("metadata_digest") == digest, "other metadata")
    path = is_list(is_bytes(32), 16)
    check_fields(inclusion, {"pos": is_int(0), "path": path}, "the inclusion")
    entries, pos = certificate["entries"], inclusion["pos"]
    root = root_of_path(leaf_hash(text.encode()), pos, entries["n"], [strict_base64(n) for n in inclusion["path"]])
    need(root == strict_base64(entries["root"]), "the path does not lead to the root of the entries")
    need(entry["project_key"] == certificate["project_key"], "an entry of another project")
    need("log_ids" not in entries or entries["log_ids"][pos : pos + 1] == [entry["log_id"]], "another entry is listed")
    need(certificate["start"] <= entry["occurred_at"] <= certificate["end"], "an entry outside of the certificate")


DOCUMENTS = {
    "fluxgate-statement/1": (STATEMENT, check_statement),
    "fluxgate-keys/1": (MANIFEST, check_manifest),
    "fluxgate-certificate/1": (CERTIFICATE, check_certificate),
}


# A bundle -------------------------------------------------------------------------------------------------------------


class Steps:
    """What passed and what failed, in order. A step whose needs are not met is not reached."""

    def __init__(self):
        self.taken = []

    def take(self, name, check, *needs):
        if any(value is None for value in needs):
            self.taken.append((name, None, "not reached"))
            return False
        try:
            check(*needs)
            self.taken.append((name, True, "ok"))
            return True
        except Refused as error:
            self.taken.append((name, False, str(error)))
            return False

    def first_failed(self):
        return next((name for name, ok, _ in self.taken if ok is False), "ok")


def attempt(check, value):
    """The value if it passes, and the reason if not."""
    try:
        check(value)
        return value, None
    except Refused as error:
        return None, str(error)


def fail(why):
    raise Refused(why)


def check_bundle(raw, keys_document, trusted_root=None, witnessed_at=None):
    steps = Steps()
    try:
        bundle = read_strict(raw)
        need(isinstance(bundle, dict), "the bundle is not an object")
        beside = {}
        if "entry" in bundle and "document" in bundle:
            beside = {name: bundle.pop(name) for name in ("entry", "inclusion", "metadata") if name in bundle}
        kind = "receipt" if set(bundle) == {"batch", "receipt"} else "document"
        need(set(bundle) == {"batch", kind}, "not exactly batch and what it is about")
        need(utf16_length(canonical(bundle)) <= (49_152 if kind == "receipt" else 278_528), "the bundle is too long")
    except Refused as error:
        why = str(error)
        steps.take("format", lambda: fail(why))
        return steps
    signed, text = bundle[kind], canonical(bundle[kind])

    def check_document(document):
        need(utf16_length(text) <= 262_144, "the document is too long")
        known = isinstance(document, dict) and isinstance(document.get("v"), str) and document["v"] in DOCUMENTS
        need(known, "not a version that is known")
        if document["v"] == "fluxgate-certificate/1":
            need(len(text.encode()) <= 262_144, "the certificate is too long")
        check_fields(document, DOCUMENTS[document["v"]][0], "the document")

    read, why_not = attempt(check_receipt if kind == "receipt" else check_document, signed)
    batch, why_no_batch = attempt(check_batch, bundle["batch"])
    steps.take("format", lambda: need(read is not None and batch is not None, why_not or why_no_batch))

    def path(batch):
        hashes = [strict_base64(node) for node in batch["path"]]
        root = root_of_path(leaf_hash(text.encode()), batch["pos"], batch["n"], hashes)
        need(root == strict_base64(batch["root"]), "the path does not lead to the root")

    steps.take("path", path, batch)
    keys, why_no_keys = attempt(read_keys, keys_document)
    key = None if keys is None or batch is None else read_keys(keys_document).get(batch["key_id"])

    def signature(batch, key):
        statement = f"fluxgate-batch/2\n{batch['id']}\n{batch['n']}\n{batch['root']}\n".encode()
        public = strict_base64(key["public_key"], url=True)
        need(ed25519(public, strict_base64(batch["sig"]), statement), "the key did not sign this")

    steps.take("signature", signature, batch, key)
    if batch is not None and key is None:
        steps.take("key", lambda: fail(why_no_keys or "the key is not listed"))
    else:
        steps.take("key", lambda _, signed: check_key(key, signed["issued_at"], witnessed_at), batch, read)
    if kind == "receipt":
        steps.take("charge", check_charge, read)
        return steps
    steps.take("content", lambda document: DOCUMENTS[document["v"]][1](document), read)
    if read is not None and read["v"] == "fluxgate-keys/1":
        steps.take("root", lambda manifest: check_root(manifest, trusted_root), read)
    if beside:
        sent = [beside.get(name) for name in ("entry", "inclusion", "metadata")]
        steps.take("entry", lambda document: check_entry(document, *sent), read)
    return steps


# The log --------------------------------------------------------------------------------------------------------------


def is_key_name(name):
    return re.search(r"[\s\ufeff+\x00-\x1f]", name) is None


def parse_vkey(text):
    match = re.fullmatch(r"([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)", text)
    need(match, "no vkey")
    name, key_id, material = match[1], match[2], strict_base64(match[3])
    need(is_key_name(name), "no key name")
    need(len(material) == 33 and material[0] in (1, 4), "not Ed25519")
    need(sha256(name.encode() + b"\n" + material)[:4].hex() == key_id, "the id is not that of the key")
    return {"name": name, "id": bytes.fromhex(key_id), "type": material[0], "key": material[1:]}


def parse_policy(text):
    logs, witnesses, names, used, quorum = [], [], {}, set(), None

    def define(name, rule):
        need(name != "none" and name not in names, "a name is taken")
        names[name] = rule

    def add(keys, key, kind):
        need(key["type"] == kind, "a key of another kind")
        need(all(key["key"] != other["key"] and key["name"] != other["name"] for other in keys), "a key twice")
        keys.append(key)

    for line in text.split("\n"):
        need(not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", line), "a control character")
        words = re.findall(r"[^ \t]+", line)
        if not words or words[0].startswith("#"):
            continue
        word, rest = words[0], words[1:]
        if word == "log" and len(rest) in (1, 2):
            add(logs, parse_vkey(rest[0]), 1)
        elif word == "witness" and len(rest) in (2, 3):
            key = parse_vkey(rest[1])
            add(witnesses, key, 4)
            define(rest[0], key["name"])
        elif word == "group" and len(rest) >= 3:
            members = []
            for member in rest[2:]:
                need(member in names and member not in used, "a member that is not there, or twice")
                used.add(member)
                members.append(names[member])
            least = {"any": 1, "all": len(members)}.get(rest[1])
            if least is None:
                need(re.fullmatch(r"[1-9][0-9]?", rest[1]), "no threshold")
                least = int(rest[1])
            need(1 <= least <= len(members), "no threshold")
            define(rest[0], (least, members))
        elif word == "quorum" and len(rest) == 1:
            need(quorum is None, "a second quorum")
            need(rest[0] == "none" or rest[0] in names, "a quorum that is not defined")
            quorum = (names.get(rest[0]),)
        else:
            raise Refused("no line of a policy")
    need(quorum is not None, "no quorum")
    return {"logs": logs, "witnesses": witnesses, "quorum": quorum[0]}


def is_met(rule, cosigners):
    if isinstance(rule, str):
        return rule in cosigners
    least, members = rule
    return sum(is_met(member, cosigners) for member in members) >= least


def parse_note(note):
    need(note.endswith("\n") and "\n\n" in note, "no note")
    need(not re.search(r"[\x00-\x09\x0b-\x1f]", note), "a control character")
    body, _, block = note.rpartition("\n\n")
    signatures = []
    for line in block[:-1].split("\n"):
        match = re.fullmatch(r"\u2014 ([^ ]+) ([A-Za-z0-9+/=]+)", line)
        need(match and is_key_name(match[1]), "no line of a signature")
        raw = strict_base64(match[2])
        need(len(raw) > 4, "a signature without bytes")
        signatures.append((match[1], raw[:4], raw[4:]))
    return body + "\n", signatures


def check_note(key, text, signatures):
    """None: not signed by the key. Otherwise the time of its cosignature, or 0. Throws for a signature that is bad."""
    mine = [raw for name, key_id, raw in signatures if name == key["name"] and key_id == key["id"]]
    latest = None
    for raw in mine:
        if key["type"] == 1:
            need(len(raw) == 64 and ed25519(key["key"], raw, text.encode()), f"not a signature of {key['name']}")
            latest = 0
        else:
            need(len(raw) == 72, "no cosignature")
            seconds = int.from_bytes(raw[:8], "big")
            message = f"cosignature/v1\ntime {seconds}\n{text}".encode()
            need(0 < seconds <= SECONDS_MAX and ed25519(key["key"], raw[8:], message), f"no cosignature of {key['name']}")
            latest = max(latest or 0, seconds)
    return latest


def decimal(text):
    need(re.fullmatch(r"0|[1-9][0-9]{0,15}", text) and int(text) <= INT_MAX, "no decimal number")
    return int(text)


def check_checkpoint(note, policy):
    """Size, root, and the times of the cosignatures of known witnesses."""
    text, signatures = parse_note(note)
    lines = text.split("\n")
    need(len(lines) >= 4 and all(lines[:-1]), "no checkpoint")
    log = next((log for log in policy["logs"] if log["name"] == lines[0]), None)
    need(log is not None, "the checkpoint of a log that is not trusted")
    need(check_note(log, text, signatures) is not None, "not signed by the log")
    times = {}
    for witness in policy["witnesses"]:
        seconds = check_note(witness, text, signatures)
        if seconds is not None:
            times[witness["name"]] = seconds
    return decimal(lines[1]), strict_base64(lines[2], 32), times


def check_proof(proof, batch_root, policy):
    """When a quorum had seen the batch; None where none is asked for."""
    head, blank, note = proof.partition("\n\n")
    need(blank, "no blank line before the checkpoint")
    lines = head.split("\n")
    need(lines.pop(0) == "c2sp.org/tlog-proof@v1", "no proof")
    if lines and lines[0].startswith("extra "):
        strict_base64(lines.pop(0)[len("extra "):])
    need(lines and lines[0].startswith("index "), "no index")
    index = decimal(lines.pop(0)[len("index "):])
    path = [strict_base64(line, 32) for line in lines]
    size, root, times = check_checkpoint(note, policy)
    need(root_of_path(leaf_hash(batch_root), index, size, path) == root, "the path does not lead to the root")
    if policy["quorum"] is None:
        return None
    for until in sorted(set(times.values())):
        if is_met(policy["quorum"], {name for name, seconds in times.items() if seconds <= until}):
            at = datetime.datetime.fromtimestamp(until, datetime.timezone.utc)
            return at.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    raise Refused("the witnesses that cosigned are no quorum")


def check_with_proof(raw, keys, proof, policy, trusted_root=None):
    """The steps of a bundle and `log`; what witnesses had seen before it was revoked, a key has signed well."""
    witnessed_at, why = None, None
    try:
        root = strict_base64(read_strict(raw)["batch"]["root"], 32)
        witnessed_at = check_proof(proof, root, policy)
    except (Refused, KeyError, TypeError) as error:
        why = str(error)
    steps = check_bundle(raw, keys, trusted_root, witnessed_at)
    steps.take("log", lambda: need(why is None, why))
    return steps


# Sets -----------------------------------------------------------------------------------------------------------------


SET_NUMBERS_MAX = 10_000_000


def numbers_in(ranges):
    need(range_count(ranges) <= SET_NUMBERS_MAX, "more numbers than this verifier compares")
    return {number for first, last in ranges for number in range(first, last + 1)}


def check_statements(receipts, statements):
    """The rules between statements and receipts of accounts, as sets of numbers."""
    problems = {"one_per_day": [], "chain": [], "numbers": [], "receipts": []}
    open_at_end = {}
    for account in sorted({s["account"] for s in statements}):
        own = {r["seq"]: r for r in receipts if r["account"] == account}
        before = None
        for s in sorted((s for s in statements if s["account"] == account), key=lambda s: s["day"]):
            count = s["receipts"]["count"]
            if before is None and s["receipts_total"] == count and s["opening_nanousd"] == "0":
                before = {"day": "", "closing": "0", "total": 0, "highest": 0, "open": set()}
            if before is None:
                problems["chain"].append(f"{s['day']} is not the first day")
            if before is not None:
                if s["day"] == before["day"]:
                    problems["one_per_day"].append(s["day"])
                if s["opening_nanousd"] != before["closing"] or s["receipts_total"] != before["total"] + count:
                    problems["chain"].append(s["day"])
                if s["highest"] < before["highest"]:
                    problems["chain"].append(s["day"])
            listed_open = set() if s["open"]["count"] == 0 else None
            if "numbers" in s["open"]:
                listed_open = numbers_in(s["open"]["numbers"])
            settled = set() if count == 0 else None
            if "numbers" in s["receipts"]:
                settled = numbers_in(s["receipts"]["numbers"])
            left = listed_open
            if before is not None and before["open"] is not None:
                need(s["highest"] - before["highest"] <= SET_NUMBERS_MAX, "more numbers than this verifier compares")
                due = before["open"] | set(range(before["highest"] + 1, s["highest"] + 1))
                if settled is None and listed_open is None:
                    problems["numbers"].append(s["day"])
                if settled is None:
                    settled = due - listed_open if listed_open is not None else set()
                left = due - settled
                if settled - due or (listed_open is not None and left != listed_open):
                    problems["numbers"].append(s["day"])
            elif settled is None:
                problems["numbers"].append(s["day"])
                settled = set()
            found = [own[number] for number in sorted(settled) if number in own]
            if len(found) != count or len(settled) != count:
                problems["receipts"].append(s["day"])
            elif found:
                charged = sum(int(r["charged_nanousd"]) for r in found)
                root = tree_root([leaf_hash(canonical(r).encode()) for r in found])
                if charged != int(s["charged_nanousd"]) or root != strict_base64(s["receipts"]["root"]):
                    problems["receipts"].append(s["day"])
            before = {"day": s["day"], "closing": s["closing_nanousd"], "total": s["receipts_total"],
                      "highest": s["highest"], "open": left}
        open_at_end[account] = before["open"] or set()
    return problems, open_at_end


def check_set(raw):
    value = read_strict(raw)
    receipts = [bundle["receipt"] for bundle in value["receipts"]]
    statements = [bundle["document"] for bundle in value["statements"]]
    steps = Steps()

    def unique(values):
        need(len(set(values)) == len(values), "something is there twice")

    problems, open_at_end = check_statements(receipts, statements)

    def gaps():
        for account in {r["account"] for r in receipts}:
            numbers = {r["seq"] for r in receipts if r["account"] == account}
            missing = set(range(1, max(numbers) + 1)) - numbers - open_at_end.get(account, set())
            need(not missing, f"{account} lacks {sorted(missing)[:10]}")

    steps.take("unique_receipt_id", lambda: unique([r["receipt_id"] for r in receipts]))
    steps.take("unique_seq", lambda: unique([(r["account"], r["seq"]) for r in receipts]))
    steps.take("no_gap", gaps)
    for name, days in problems.items():
        steps.take(name, lambda days=days: need(not days, ", ".join(days)))
    return steps


def check_consistency(raw, policy):
    pair = read_strict(raw)
    steps = Steps()
    checkpoints = []
    if steps.take("checkpoint", lambda: checkpoints.extend(check_checkpoint(pair[n], policy) for n in ("old", "new"))):
        (first, first_root, _), (second, second_root, _) = checkpoints
        path = [strict_base64(node, 32) for node in pair["path"]]
        steps.take("consistency", lambda: need(is_consistent(first, first_root, second, second_root, path), "it is not"))
    return steps


# The command ----------------------------------------------------------------------------------------------------------


def judge_vectors(folder):
    index = json.loads((folder / "index.json").read_text("utf-8"))
    keys = read_strict((folder / index["keys"]).read_bytes())

    def policy_of(name):
        try:
            return parse_policy((folder / name).read_text("utf-8"))
        except Refused:
            return None

    found = {}
    for vector in index["vectors"]:
        found[vector["file"]] = check_bundle((folder / vector["file"]).read_bytes(), keys)
    for vector in index["documents"]:
        raw = (folder / vector["file"]).read_bytes()
        found[vector["file"]] = check_bundle(raw, keys, trusted_root=index["root_key_id"])
    for vector in index["entries"]:
        found[vector["file"]] = check_bundle((folder / vector["file"]).read_bytes(), keys)
    for vector in index["sets"]:
        found[vector["file"]] = check_set((folder / vector["file"]).read_bytes())
    for vector in index["proofs"]:
        policy = policy_of(vector["policy"])
        proof = (folder / vector["proof"]).read_bytes().decode("utf-8")
        raw = (folder / vector["bundle"]).read_bytes()
        found[vector["proof"]] = None if policy is None else check_with_proof(raw, keys, proof, policy)
    for vector in index["consistency"]:
        raw = (folder / vector["file"]).read_bytes()
        found[vector["file"]] = check_consistency(raw, policy_of(json.loads(raw)["policy"]))
    return {name: "policy" if steps is None else steps.first_failed() for name, steps in found.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check")
    check.add_argument("file", type=Path)
    check.add_argument("--keys", type=Path, required=True)
    check.add_argument("--root-key")
    check.add_argument("--proof", type=Path)
    check.add_argument("--policy", type=Path)
    for name in ("set", "consistency"):
        commands.add_parser(name).add_argument("file", type=Path)
    commands.choices["consistency"].add_argument("--policy", type=Path, required=True)
    commands.add_parser("vectors").add_argument("folder", type=Path)
    arguments = parser.parse_args()
    if arguments.command == "vectors":
        print(json.dumps(judge_vectors(arguments.folder)))
        return 0
    raw = arguments.file.read_bytes()
    if arguments.command == "set":
        steps = check_set(raw)
    elif arguments.command == "consistency":
        steps = check_consistency(raw, parse_policy(arguments.policy.read_text("utf-8")))
    else:
        keys = read_strict(arguments.keys.read_bytes())
        if arguments.proof is None:
            steps = check_bundle(raw, keys, arguments.root_key)
        else:
            policy = parse_policy(arguments.policy.read_text("utf-8"))
            proof = arguments.proof.read_text("utf-8")
            steps = check_with_proof(raw, keys, proof, policy, arguments.root_key)
    for name, ok, detail in steps.taken:
        print(f"{'ok' if ok else '--' if ok is None else 'FAIL':4}  {name:9}  {detail}")
    return 0 if all(ok for _, ok, _ in steps.taken) else 1


if __name__ == "__main__":
    sys.exit(main())
