// An application behind Vestibule, in Node. It needs jose: npm install jose
// Takes the place of the sample application of `vestibule dev`; LISTEN and KEYS_URL say otherwise.

import { createServer } from 'node:http';
import { createRemoteJWKSet, jwtVerify } from 'jose';

const { LISTEN = '127.0.0.1:9901', KEYS_URL = 'http://127.0.0.1:9900/.well-known/jwks.json' } = process.env;
const keys = createRemoteJWKSet(new URL(KEYS_URL)); // fetched when first needed, and again for a key that is new

/** What the edge says about the request's tenant. Throws where that cannot be believed. */
async function tenantOf(request) {
  const { payload } = await jwtVerify(request.headers['x-tenant-assertion'] ?? '', keys, {
    algorithms: ['EdDSA'],
    typ: 'tenant+jwt',
    issuer: 'vestibule',
    audience: 'default', // the name of this application as an [[upstream]]
    requiredClaims: ['exp'],
  });
  return payload;
}

const server = createServer(async (request, response) => {
  response.setHeader('Content-Type', 'text/plain; charset=utf-8');
  try {
    // `sub` never changes and is never used again: it is what rows belong to. Without it the request is nobody's (`via`: none).
    const { sub, slug } = await tenantOf(request);
    response.end(sub ? `Hello ${slug}, your number is ${sub}\n` : "Hello stranger, this is nobody's address\n");
  } catch (error) {
    response.writeHead(403).end(`Not let in: ${error.message}\n`);
  }
});

const [host, port] = LISTEN.split(':');
server.listen(Number(port), host, () => console.log(`listening at ${LISTEN}`));
