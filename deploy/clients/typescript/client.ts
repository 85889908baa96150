// Signs in to Countersign with a second factor over gRPC, and checks access tokens by its public keys, without asking it.

import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { createRemoteJWKSet, errors, jwtVerify, type JWTPayload } from "jose";
import { SessionService } from "./gen/countersign/v1/session_pb.js";
import { Method, TwoFaService } from "./gen/countersign/v1/twofa_pb.js";
import { ErrorInfoSchema, RetryInfoSchema } from "./gen/google/rpc/error_details_pb.js";

const USAGE = "node dist/client.js [--server HOST:PORT] [--jwks URL] [--issuer I] [--audience A] sign-in EMAIL | check";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    server: { type: "string", default: "127.0.0.1:50051" },
    jwks: { type: "string", default: "http://127.0.0.1:3000/.well-known/jwks.json" },
    issuer: { type: "string", default: "http://localhost:3000" },
    audience: { type: "string", default: "countersign" },
  },
});
// Plaintext, as `serve --dev` speaks; https:// where it has a certificate.
const transport = createGrpcTransport({ baseUrl: `http://${options.server}`, defaultTimeoutMs: 10_000 });
const twoFa = createClient(TwoFaService, transport);
const sessions = createClient(SessionService, transport);
// Asked for once and kept; asked for again when a token names a key that is not among them.
const keys = createRemoteJWKSet(new URL(options.jwks));

/** The claims of an access token that is good; anything else throws. */
async function check(token: string): Promise<JWTPayload> {
  const { payload } = await jwtVerify(token, keys, {
    algorithms: ["EdDSA"],
    typ: "at+jwt",
    issuer: options.issuer,
    audience: options.audience,
    requiredClaims: ["exp", "sub"],
    clockTolerance: 10,
  });
  return payload;
}

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** The next line of standard input. */
async function ask(what: string): Promise<string> {
  process.stderr.write(`${what}:\n`);
  const { value, done } = await lines.next();
  if (done) throw new Error(`${what}: the input has ended`);
  return value.trim();
}

/** Signs in, asking for a code where one is needed; answers both tokens. */
async function signIn(email: string): Promise<{ accessToken: string; refreshToken: string }> {
  const first = await twoFa.localAuth({ email, password: await ask("Password") });
  if (first.enrollmentRequired) throw new Error("this account must enrol a second factor before it gets a session");
  if (!first.twoFaRequired) return first;
  console.error(`A second factor is needed: ${first.methods.map((method) => Method[method]).join(", ")}`);
  // The method is told from the code: one of the app, of a text message, or a backup code.
  return await twoFa.verify({ challengeId: first.challengeId, code: await ask("Code") });
}

/** What went wrong, in one line: programs go by the reason, people read the message. */
function told(fault: unknown): string {
  if (fault instanceof errors.JOSEError) return `token refused: ${fault.code}: ${fault.message}`;
  if (!(fault instanceof ConnectError)) return String(fault);
  const [info] = fault.findDetails(ErrorInfoSchema);
  const [retry] = fault.findDetails(RetryInfoSchema);
  const wait = retry?.retryDelay ? ` Try again in ${retry.retryDelay.seconds} s.` : "";
  return `refused: ${info?.reason ?? Code[fault.code]}: ${fault.rawMessage}${wait}`;
}

async function run([command, ...rest]: string[]): Promise<void> {
  if (command === "check" && rest.length === 0) {
    console.log(JSON.stringify(await check(await ask("Token"))));
  } else if (command === "sign-in" && rest.length === 1) {
    const { accessToken, refreshToken } = await signIn(rest[0]!);
    const claims = await check(accessToken);
    console.error(`Signed in: ${claims.sub} ${claims.acr}, checked by JWKS`);
    // Before the access token ends; a refresh token works once, and the answer holds its successor.
    const renewed = await sessions.refreshSession({ refreshToken });
    const again = await check(renewed.accessToken);
    if (again.sid !== claims.sid) throw new Error("refreshed: another session");
    console.error("Refreshed: the same session");
    console.log(renewed.accessToken);
  } else {
    throw new Error(`usage: ${USAGE}`);
  }
}

try {
  await run(positionals);
  process.exit(0);
} catch (fault) {
  console.error(told(fault));
  process.exit(1);
}
