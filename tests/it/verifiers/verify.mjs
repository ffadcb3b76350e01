// Verifies assertions with jose as an application server would, and reports what it thought of each.
// Reads one JSON document from standard input and writes one: see `tests/it/sign.rs`. The first argument is where jose is.

import { readFileSync } from 'node:fs';
import { webcrypto } from 'node:crypto';
import { pathToFileURL } from 'node:url';

globalThis.crypto ??= webcrypto; // Node 18 has it, but not by this name.
const { jwtVerify, createLocalJWKSet } = await import(pathToFileURL(process.argv[2]).href);

const order = JSON.parse(readFileSync(0, 'utf8'));
const { rules, flip } = order;

async function verify(material, token) {
  const key = material.secret === undefined
    ? createLocalJWKSet(material.jwks)
    : new TextEncoder().encode(material.secret);
  const { payload } = await jwtVerify(token, key, {
    algorithms: [material.algorithm],
    audience: rules.audience,
    issuer: rules.issuer,
    typ: 'tenant+jwt',
    requiredClaims: ['iat', 'exp'],
  });
  return payload;
}

async function verdict(material, token) {
  try {
    return { accepted: await verify(material, token) };
  } catch (error) { // Whatever it is, the request is refused.
    return { refused: error.code ?? error.name };
  }
}

// The token with each bit changed: of the text before the last dot, and of the signature's bytes (whose last character in
// base64 has bits that mean nothing).
function* flipped(token) {
  const dot = token.lastIndexOf('.');
  const [signed, signature] = [token.slice(0, dot), token.slice(dot + 1)];
  const parts = [
    [Buffer.from(signed), (data) => `${data.toString('latin1')}.${signature}`],
    [Buffer.from(signature, 'base64url'), (data) => `${signed}.${data.toString('base64url')}`],
  ];
  for (const [data, rebuild] of parts) {
    for (let bit = 0; bit < data.length * 8; bit++) {
      const changed = Buffer.from(data);
      changed[bit >> 3] ^= 1 << (bit & 7);
      yield rebuild(changed);
    }
  }
}

const cases = {};
for (const { name, token, ...material } of order.cases) {
  cases[name] = await verdict(material, token);
}
let [flips, flipsAccepted] = [0, 0];
for (const token of flipped(flip.token)) {
  flips += 1;
  flipsAccepted += 'accepted' in await verdict(flip, token) ? 1 : 0;
}
console.log(JSON.stringify({ cases, flips, flips_accepted: flipsAccepted }));
