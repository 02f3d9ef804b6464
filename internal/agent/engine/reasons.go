package engine

import (
	"context"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/aws/smithy-go"
)

// maxReason is what SubmitTaskStateChange accepts, in bytes.
const maxReason = 1024

// provenance says how well a text is known.
type provenance string

const (
	documented provenance = "documented" // in AWS's own pages
	observedAt provenance = "observed"   // seen in real outputs quoted by users
	unseen     provenance = "unseen"     // ours: nobody has shown us AWS's
)

// A text is the wording of one failure. Its format takes what the constructor
// below passes.
type text struct {
	format string
	from   provenance
}

// The texts with which tasks and containers end. N is always the number of
// retries that really happened.
var texts = map[string]text{
	// AWS Fargate, "Stopped tasks error messages" in the ECS developer guide
	// and outputs quoted with it.
	"manifest":     {"CannotPullContainerError: pull image manifest has been retried %d time(s): failed to resolve ref %s: %s", observedAt},
	"layers":       {"CannotPullContainerError: ref pull has been retried %d time(s): failed to copy: httpReadSeeker: failed open: %s", observedAt},
	"unpack":       {"CannotPullContainerError: ref pull has been retried %d time(s): failed to extract layer: %s", unseen},
	"ecrAuth":      {"ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve ecr registry auth: service call has been retried %d time(s): %s", observedAt},
	"asmAuth":      {"ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve registry auth from asm: service call has been retried %d time(s): %s", observedAt},
	"asm":          {"ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve secret from asm: service call has been retried %d time(s): failed to fetch secret %s from secrets manager: %s", observedAt},
	"asmARN":       {"ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve secret from asm: an invalid ARN format for the AWS Secrets Manager secret was specified. Specify a valid ARN and try again.", observedAt},
	"asmKey":       {"ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve secret from asm: retrieved secret from Secrets Manager did not contain json key %s", observedAt},
	"asmNotJSON":   {"ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve secret from asm: the secret %s is not a JSON object, so json key %s cannot be read from it", unseen},
	"asmBinary":    {"ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve secret from asm: the secret %s has no SecretString", unseen},
	"ssm":          {"ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve secrets from ssm: service call has been retried %d time(s): %s", observedAt},
	"ssmInvalid":   {"ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve secrets from ssm: service call has been retried %d time(s): invalid parameters: %s", observedAt},
	"noExecution":  {"ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable to find execution role credentials", observedAt},
	"envFile":      {"ResourceInitializationError: failed to download env files: file download command: non empty error stream: %s", unseen},
	"logger":       {"ResourceInitializationError: failed to validate logger args: create stream has been retried %d times: failed to create Cloudwatch log stream: %s : exit status 1", observedAt},
	"loggerArgs":   {"ResourceInitializationError: failed to validate logger args: %s : exit status 1", unseen},
	"network":      {"ResourceInitializationError: failed to set up the task network: %s", unseen},
	"unsupported":  {"ResourceInitializationError: this container instance cannot run the task: %s", unseen},
	"createFailed": {"CannotCreateContainerError: %s", documented},
	"startFailed":  {"CannotStartContainerError: %s", documented},
	"stopFailed":   {"CannotStopContainerError: %s", documented},
	"oom":          {"OutOfMemoryError: Container killed due to memory usage", documented},
	// amazon-ecs-agent.
	"dependency":   {"TaskDependencyError: failed to resolve container ordering dependency [%s] for target [%s]: the dependency did not reach its condition", unseen},
	"unrecognised": {"UnrecogniedTaskError: Error loading task: %s", observedAt}, // the misspelling is the stock agent's
	"unknownStop":  {"TaskStateError: Agent could not progress task's state to stopped", observedAt},
	"restarted":    {"ContainerRuntimeError: the container instance's agent restarted and the container ended with it", unseen},
}

// reason words a failure and cuts it to what may be reported.
func reason(name string, args ...any) string {
	t, ok := texts[name]
	if !ok {
		panic("engine: no text named " + name)
	}
	return cut(fmt.Sprintf(t.format, args...))
}

// cut shortens s to maxReason bytes without splitting a character.
func cut(s string) string {
	if len(s) <= maxReason {
		return s
	}
	n := maxReason
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// failure is an error whose text is already worded for a reason.
type failure struct{ text string }

func (f *failure) Error() string { return f.text }

func fail(name string, args ...any) error { return &failure{reason(name, args...)} }

// worded gives an error's reason, wording it as name where it has none.
func worded(err error, name string) string {
	var f *failure
	if errors.As(err, &f) {
		return f.text
	}
	return reason(name, err)
}

// plain is an AWS error as the older SDKs spell it, "Code: message", which is
// how most of Fargate's texts end.
func plain(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode() + ": " + api.ErrorMessage()
	}
	return err.Error()
}

// canceled says whether err is only the task's own end.
func canceled(ctx context.Context, err error) bool {
	return err != nil && ctx.Err() != nil && errors.Is(context.Cause(ctx), context.Canceled)
}
