"""An application behind Vestibule, in Python. It needs PyJWT: pip install 'pyjwt[crypto]'

Takes the place of the sample application of `vestibule dev`; LISTEN and KEYS_URL say otherwise.
"""

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt

KEYS_URL = os.environ.get("KEYS_URL", "http://127.0.0.1:9900/.well-known/jwks.json")
KEYS = jwt.PyJWKClient(KEYS_URL)  # fetched when first needed, and again for a key that is new


def tenant_of(headers):
    """What the edge says about the request's tenant. Raises jwt.PyJWTError where that cannot be believed."""
    assertion = headers.get("X-Tenant-Assertion", "")
    signed = jwt.decode_complete(
        assertion,
        KEYS.get_signing_key_from_jwt(assertion),
        algorithms=["EdDSA"],
        issuer="vestibule",
        audience="default",  # the name of this application as an [[upstream]]
        options={"require": ["exp", "iss", "aud"]},
    )
    if signed["header"].get("typ") != "tenant+jwt":
        raise jwt.InvalidTokenError("not an assertion")
    return signed["payload"]


class App(BaseHTTPRequestHandler):
    def do_GET(self):
        try:
            tenant = tenant_of(self.headers)
        except jwt.PyJWTError as error:
            return self.answer(403, f"Not let in: {error}\n")
        # `sub` never changes and is never used again: it is what rows belong to. Without it the request is nobody's (`via`: none).
        if "sub" not in tenant:
            return self.answer(200, "Hello stranger, this is nobody's address\n")
        self.answer(200, f"Hello {tenant['slug']}, your number is {tenant['sub']}\n")

    def answer(self, status, text):
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())


if __name__ == "__main__":
    host, port = os.environ.get("LISTEN", "127.0.0.1:9901").split(":")
    with ThreadingHTTPServer((host, int(port)), App) as server:
        print(f"listening at {host}:{port}", flush=True)
        server.serve_forever()
