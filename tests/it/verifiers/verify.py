"""Verifies assertions with PyJWT as an application server would, and reports what it thought of each.

Reads one JSON document from standard input and writes one: see `tests/it/sign.rs`.
"""

import base64
import json
import sys

import jwt


def key_for(material, token):
    if "secret" in material:
        return material["secret"].encode()
    kid = jwt.get_unverified_header(token)["kid"]
    keys = {key["kid"]: key for key in material["jwks"]["keys"]}
    return jwt.PyJWK(keys[kid])


def verify(rules, material, token):
    claims = jwt.decode(
        token,
        key_for(material, token),
        algorithms=[material["algorithm"]],
        audience=rules["audience"],
        issuer=rules["issuer"],
        options={"require": ["iss", "aud", "iat", "exp"]},
    )
    if jwt.get_unverified_header(token)["typ"] != "tenant+jwt":
        raise jwt.InvalidTokenError("not an assertion")
    return claims


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def flipped(token):
    """The token with each bit changed: of the text before the last dot, and of the signature's bytes (whose last character in
    base64 has bits that mean nothing)."""
    signed, signature = token.rsplit(".", 1)
    for data, rebuild in (
        (signed.encode(), lambda text: text.decode("latin-1") + "." + signature),
        (decode(signature), lambda data: signed + "." + encode(data)),
    ):
        for bit in range(len(data) * 8):
            changed = bytearray(data)
            changed[bit // 8] ^= 1 << (bit % 8)
            yield rebuild(bytes(changed))


def verdict(rules, material, token):
    try:
        return {"accepted": verify(rules, material, token)}
    except Exception as error:  # Whatever it is, the request is refused.
        return {"refused": type(error).__name__}


def main():
    order = json.load(sys.stdin)
    rules, flip = order["rules"], order["flip"]
    cases = {case["name"]: verdict(rules, case, case["token"]) for case in order["cases"]}
    tried = [verdict(rules, flip, token) for token in flipped(flip["token"])]
    accepted = sum("accepted" in one for one in tried)
    json.dump({"cases": cases, "flips": len(tried), "flips_accepted": accepted}, sys.stdout)


main()
