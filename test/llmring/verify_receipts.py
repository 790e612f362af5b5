"""The verifier of llmring-server in Python: reads lines of {"receipt": text, "public_key": base64url}, prints true or false.

Needs Python 3.11 and the package cryptography.
"""

import base64
import json
import math
import sys
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

SIGNED = (
    "receipt_id timestamp alias profile lock_digest provider model "
    "prompt_tokens completion_tokens total_tokens input_cost output_cost total_cost"
).split()


def number(value):
    """RFC 8785 section 3.2.2.3: the shortest digits, in the notation of ECMAScript."""
    if isinstance(value, int):
        return str(value)
    if not math.isfinite(value):
        raise ValueError("not finite")
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = f"{repr(abs(value))}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len((whole + fraction).lstrip("0")))
    digits = digits.rstrip("0")
    count = len(digits)
    if count <= point <= 21:
        return sign + digits + "0" * (point - count)
    if 0 < point <= 21:
        return sign + digits[:point] + "." + digits[point:]
    if -6 < point <= 0:
        return sign + "0." + "0" * -point + digits
    power = f"e{'+' if point > 0 else '-'}{abs(point - 1)}"
    return sign + digits[0] + ("." + digits[1:] if count > 1 else "") + power


def canonical(value):
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return number(value)


def verifies(text, public_key):
    try:
        receipt = json.loads(text)
        payload = {name: receipt[name] for name in SIGNED}
        for cost in ("input_cost", "output_cost", "total_cost"):
            payload[cost] = float(payload[cost])
        payload["timestamp"] = datetime.fromisoformat(receipt["timestamp"]).isoformat()
        members = (f"{json.dumps(name)}:{canonical(payload[name])}" for name in sorted(payload))
        scheme, _, signature = receipt["signature"].partition(":")
        if scheme != "ed25519":
            return False
        key = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(public_key + "=="))
        key.verify(base64.urlsafe_b64decode(signature + "=="), ("{" + ",".join(members) + "}").encode())
        return True
    except Exception:
        return False


for line in sys.stdin:
    case = json.loads(line)
    print("true" if verifies(case["receipt"], case["public_key"]) else "false")
