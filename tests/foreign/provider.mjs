// An OpenID provider that is not ours: the certified package `oidc-provider`, on loopback, for tests.
//
//     node provider.mjs '{"users": {"alice": {"groups": ["support"]}}, "clients": [...]}'
//
// It prints `ready URL`. Users need no browser: whoever is asked to log in is logged in as `login_hint`, else as the
// first user, and consents to whatever is asked for. What stands in `users` is in their access tokens. Every resource
// is known; its access tokens are JWTs. `documents` are client ID metadata documents, by their address.
// Keys, the algorithm and faults are changed while it runs, by POST to /admin/rotate and /admin/settings.

import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';

import Provider from './node/node_modules/oidc-provider/lib/index.js';

const given = { users: {}, clients: [], documents: {}, port: 0, ...JSON.parse(process.argv[2] ?? '{}') };
const settings = { algorithm: 'ES256', token_age_s: 300, keys_fail: false };
const KINDS = [['rsa', { modulusLength: 2048 }], ['ec', { namedCurve: 'P-256' }], ['ed25519', {}]];
const SCOPE = 'resource'; // scope that a resource knows, so that a client can ask for something there

function freshKeys() {
  return KINDS.map(([kind, options]) => {
    const { privateKey } = generateKeyPairSync(kind, options);
    return { ...privateKey.export({ format: 'jwk' }), use: 'sig' };
  });
}

function configuration(keys) {
  return {
    clients: given.clients,
    jwks: { keys },
    cookies: { keys: ['only a test'] },
    claims: { openid: ['sub'] },
    pkce: { required: () => true },
    interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
    findAccount: (_ctx, sub) => (sub in given.users ? { accountId: sub, claims: () => ({ sub }) } : undefined),
    extraTokenClaims: (_ctx, token) => given.users[token.accountId],
    ttl: { AccessToken: () => settings.token_age_s, ClientCredentials: () => settings.token_age_s },
    fetch: (url, options) => (url in given.documents ? Response.json(given.documents[url]) : fetch(url, options)),
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      clientIdMetadataDocument: { enabled: true, ack: 'draft-02' },
      dPoP: {
        enabled: true,
        nonceSecret: given.dpop_nonce ? Buffer.alloc(32, 1) : undefined,
        requireNonce: () => Boolean(given.dpop_nonce),
      },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: () => ({
          scope: SCOPE,
          accessTokenFormat: 'jwt',
          accessTokenTTL: settings.token_age_s,
          jwt: { sign: { alg: settings.algorithm } },
        }),
      },
      richAuthorizationRequests: {
        enabled: true,
        types: { agent_task: { validate() {} } },
        authorizationDetailsForGrantSource: (ctx) => details(ctx.oidc.params),
        authorizationDetailsForAccessToken: (_ctx, _token, source) => source?.rar,
        authorizationDetailsForIntrospection: (_ctx, token) => token.rar,
      },
    },
  };
}

function details(params) {
  return params.authorization_details ? JSON.parse(params.authorization_details) : undefined;
}

async function interact(request, response) {
  const { prompt, params, session, grantId } = await provider.interactionDetails(request, response);
  if (prompt.name === 'login') {
    const accountId = params.login_hint ?? Object.keys(given.users)[0];
    return provider.interactionFinished(request, response, { login: { accountId } });
  }
  const grant = grantId
    ? await provider.Grant.find(grantId)
    : new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  grant.addOIDCScope('openid offline_access');
  for (const resource of [params.resource ?? []].flat()) grant.addResourceScope(resource, SCOPE);
  for (const detail of prompt.details.rar ?? []) grant.addRar(detail);
  return provider.interactionFinished(request, response, { consent: { grantId: await grant.save() } });
}

async function body(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return JSON.parse(Buffer.concat(parts).toString() || '{}');
}

// The keys that sign stand first. A provider's keys are fixed when it is made, so a rotation makes a new one; what is
// under way is kept by the default adapter, which is shared by all of a process.
let keys = freshKeys();
let provider;
let answer;

function start() {
  provider = new Provider(issuer, configuration(keys));
  provider.on('server_error', (_ctx, error) => console.error(error));
  answer = provider.callback();
}

const server = createServer(async (request, response) => {
  if (request.url === '/admin/rotate') {
    const { retire = false } = await body(request);
    keys = [...freshKeys(), ...(retire ? [] : keys)];
    start();
    response.end();
  } else if (request.url === '/admin/settings') {
    Object.assign(settings, await body(request));
    response.end();
  } else if (request.url.startsWith('/auth?') && !request.url.includes('&scope=')) {
    request.url += `&scope=${SCOPE}`; // a client may ask for no scope (RFC 6749, section 3.3)
    await answer(request, response);
  } else if (settings.keys_fail && request.url === '/jwks') {
    response.writeHead(500).end();
  } else if (request.url.startsWith('/interaction/')) {
    await interact(request, response);
  } else {
    await answer(request, response);
  }
});

let issuer;
server.listen(given.port, '127.0.0.1', () => {
  issuer = `http://127.0.0.1:${server.address().port}`;
  start();
  console.log(`ready ${issuer}`);
});
process.on('SIGTERM', () => process.exit(0));
