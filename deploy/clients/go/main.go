// Command client signs in to Countersign with a second factor over gRPC, and checks access tokens by its public keys, without asking it.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	pb "countersign.example/client/gen/countersign/v1"
)

var (
	server   = flag.String("server", "127.0.0.1:50051", "`HOST:PORT` of the gRPC listener")
	jwks     = flag.String("jwks", "http://127.0.0.1:3000/.well-known/jwks.json", "`URL` of the public keys")
	issuer   = flag.String("issuer", "http://localhost:3000", "token.issuer of the service")
	audience = flag.String("audience", "countersign", "token.audience of the service")
	input    = bufio.NewReader(os.Stdin)
)

type claims struct {
	jwt.Claims
	SessionID string `json:"sid"`
	ACR       string `json:"acr"`
}

// check answers the claims of an access token that is good. (A service keeps the keys, and asks again for a kid that is not among them.)
func check(token string) (judged claims, err error) {
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.EdDSA})
	if err == nil && parsed.Headers[0].ExtraHeaders[jose.HeaderType] != "at+jwt" {
		err = errors.New("it is no access token")
	}
	if err != nil {
		return judged, fmt.Errorf("token refused: %w", err)
	}
	answer, err := (&http.Client{Timeout: 10 * time.Second}).Get(*jwks)
	if err != nil {
		return judged, err
	}
	defer answer.Body.Close()
	var keys jose.JSONWebKeySet
	if err := json.NewDecoder(io.LimitReader(answer.Body, 1<<20)).Decode(&keys); err != nil {
		return judged, fmt.Errorf("%s answers no keys: %w", *jwks, err)
	}
	// The key is the one that the token names.
	err = parsed.Claims(&keys, &judged)
	if err == nil && (judged.Expiry == nil || judged.Subject == "") {
		err = errors.New("exp and sub must be there")
	}
	if err == nil {
		expected := jwt.Expected{Issuer: *issuer, AnyAudience: jwt.Audience{*audience}, Time: time.Now()}
		err = judged.ValidateWithLeeway(expected, 10*time.Second)
	}
	if err != nil {
		return judged, fmt.Errorf("token refused: %w", err)
	}
	return judged, nil
}

// ask reads the next line of standard input.
func ask(what string) string {
	fmt.Fprintf(os.Stderr, "%s:\n", what)
	line, _ := input.ReadString('\n')
	return strings.TrimSpace(line)
}

// signIn asks for a code where one is needed, and answers both tokens.
func signIn(ctx context.Context, twoFa pb.TwoFaServiceClient, email string) (access, refresh string) {
	first := must(twoFa.LocalAuth(ctx, &pb.LocalAuthRequest{Email: email, Password: ask("Password")}))
	if first.EnrollmentRequired {
		must(0, errors.New("this account must enrol a second factor before it gets a session"))
	}
	if !first.TwoFaRequired {
		return first.AccessToken, first.RefreshToken
	}
	fmt.Fprintln(os.Stderr, "A second factor is needed:", first.Methods)
	// The method is told from the code: one of the app, of a text message, or a backup code.
	second := must(twoFa.Verify(ctx, &pb.VerifyRequest{ChallengeId: first.ChallengeId, Code: ask("Code")}))
	return second.AccessToken, second.RefreshToken
}

// told says in one line what went wrong: programs go by the reason, people read the message.
func told(err error) string {
	refusal, ok := status.FromError(err)
	if !ok {
		return err.Error()
	}
	reason, wait := refusal.Code().String(), ""
	for _, detail := range refusal.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			reason = detail.Reason
		case *errdetails.RetryInfo:
			wait = fmt.Sprintf(" Try again in %.0f s.", detail.RetryDelay.AsDuration().Seconds())
		}
	}
	return fmt.Sprintf("refused: %s: %s%s", reason, refusal.Message(), wait)
}

// must ends the program when something went wrong.
func must[T any](value T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, told(err))
		os.Exit(1)
	}
	return value
}

func main() {
	flag.Parse()
	if flag.NArg() == 1 && flag.Arg(0) == "check" {
		fmt.Println(string(must(json.Marshal(must(check(ask("Token")))))))
		return
	}
	if flag.NArg() != 2 || flag.Arg(0) != "sign-in" {
		must(0, errors.New("usage: client [flags] sign-in EMAIL | check; client -help names the flags"))
	}
	// Plaintext, as `serve --dev` speaks; credentials.NewTLS where it has a certificate.
	connection := must(grpc.NewClient(*server, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(`{"methodConfig": [{"name": [{}], "timeout": "10s"}]}`)))
	ctx := context.Background()
	access, refresh := signIn(ctx, pb.NewTwoFaServiceClient(connection), flag.Arg(1))
	first := must(check(access))
	fmt.Fprintf(os.Stderr, "Signed in: %s %s, checked by JWKS\n", first.Subject, first.ACR)
	// Before the access token ends; a refresh token works once, and the answer holds its successor.
	sessions := pb.NewSessionServiceClient(connection)
	renewed := must(sessions.RefreshSession(ctx, &pb.RefreshSessionRequest{RefreshToken: refresh}))
	again := must(check(renewed.AccessToken))
	if again.SessionID != first.SessionID {
		must(0, errors.New("refreshed: another session"))
	}
	fmt.Fprintln(os.Stderr, "Refreshed: the same session")
	fmt.Println(renewed.AccessToken)
}
