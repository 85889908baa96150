"""Signs in to Countersign with a second factor over gRPC, and checks access tokens by its public keys, without asking it."""

import argparse
import json
import sys
from pathlib import Path

import grpc
import jwt
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from grpc_status import rpc_status

sys.path.insert(0, str(Path(__file__).parent / "gen"))
from countersign.v1 import session_pb2, session_pb2_grpc, twofa_pb2, twofa_pb2_grpc  # noqa: E402

SECONDS = 10


class Keys:
    """Judges access tokens by the public keys, which are asked for once, and again for a key that is not among them."""

    def __init__(self, url: str, issuer: str, audience: str):
        self.keys = jwt.PyJWKClient(url, timeout=SECONDS)
        self.issuer, self.audience = issuer, audience

    def check(self, token: str) -> dict:
        """The claims of an access token that is good; anything else raises."""
        judged = jwt.decode_complete(
            token,
            self.keys.get_signing_key_from_jwt(token),
            algorithms=["EdDSA"],
            issuer=self.issuer,
            audience=self.audience,
            leeway=10,
            options={"require": ["exp", "iss", "aud", "sub"]},
        )
        if judged["header"].get("typ") != "at+jwt":
            raise jwt.InvalidTokenError("it is no access token")
        return judged["payload"]


def ask(what: str) -> str:
    """The next line of standard input."""
    print(f"{what}:", file=sys.stderr, flush=True)
    line = sys.stdin.readline()
    if not line:
        raise SystemExit(f"{what}: the input has ended")
    return line.strip()


def sign_in(channel: grpc.Channel, email: str):
    """Signs in, asking for a code where one is needed; answers both tokens."""
    two_fa = twofa_pb2_grpc.TwoFaServiceStub(channel)
    request = twofa_pb2.LocalAuthRequest(email=email, password=ask("Password"))
    first = two_fa.LocalAuth(request, timeout=SECONDS)
    if first.enrollment_required:
        raise SystemExit("this account must enrol a second factor before it gets a session")
    if not first.two_fa_required:
        return first
    methods = ", ".join(twofa_pb2.Method.Name(method) for method in first.methods)
    print(f"A second factor is needed: {methods}", file=sys.stderr)
    # The method is told from the code: one of the app, of a text message, or a backup code.
    answer = twofa_pb2.VerifyRequest(challenge_id=first.challenge_id, code=ask("Code"))
    return two_fa.Verify(answer, timeout=SECONDS)


def told(error: grpc.RpcError) -> str:
    """A refusal in one line: programs go by the reason, people read the message."""
    reason, wait = error.code().name, ""
    status = rpc_status.from_call(error)
    for detail in status.details if status else []:
        info, retry = ErrorInfo(), RetryInfo()
        if detail.Unpack(info):
            reason = info.reason
        elif detail.Unpack(retry):
            wait = f" Try again in {retry.retry_delay.seconds} s."
    return f"refused: {reason}: {error.details()}{wait}"


def run(options: argparse.Namespace) -> None:
    keys = Keys(options.jwks, options.issuer, options.audience)
    if options.command == "check":
        print(json.dumps(keys.check(ask("Token"))))
        return
    # Plaintext, as `serve --dev` speaks; grpc.secure_channel where it has a certificate.
    with grpc.insecure_channel(options.server) as channel:
        tokens = sign_in(channel, options.email)
        claims = keys.check(tokens.access_token)
        print(f"Signed in: {claims['sub']} {claims['acr']}, checked by JWKS", file=sys.stderr)
        # Before the access token ends; a refresh token works once, and the answer holds its successor.
        request = session_pb2.RefreshSessionRequest(refresh_token=tokens.refresh_token)
        renewed = session_pb2_grpc.SessionServiceStub(channel).RefreshSession(request, timeout=SECONDS)
        if keys.check(renewed.access_token)["sid"] != claims["sid"]:
            raise SystemExit("refreshed: another session")
        print("Refreshed: the same session", file=sys.stderr)
        print(renewed.access_token)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", default="127.0.0.1:50051", metavar="HOST:PORT")
    parser.add_argument("--jwks", default="http://127.0.0.1:3000/.well-known/jwks.json", metavar="URL")
    parser.add_argument("--issuer", default="http://localhost:3000")
    parser.add_argument("--audience", default="countersign")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("sign-in").add_argument("email")
    commands.add_parser("check")
    try:
        run(parser.parse_args())
    except grpc.RpcError as error:
        raise SystemExit(told(error)) from None
    except jwt.PyJWTError as error:
        raise SystemExit(f"token refused: {type(error).__name__}: {error}") from None


if __name__ == "__main__":
    main()
