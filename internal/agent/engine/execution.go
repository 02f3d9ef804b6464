package engine

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	logstypes "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/remit-ecs/remit/internal/agent/acs"
	"github.com/remit-ecs/remit/internal/agent/logship"
	"github.com/remit-ecs/remit/internal/agent/runtime"
)

// prepared is what the execution role fetched before anything was pulled.
// Secrets are held until the containers are created and never written down.
type prepared struct {
	registries map[string]login             // by container name
	secrets    map[string]string            // by secretKey
	files      map[string]map[string]string // environment files, by container name
}

type login struct{ username, password string }

// prepare does the work that Fargate does before it pulls: registry
// credentials, secrets, log streams. The first failure ends the task.
func (t *task) prepare(ctx context.Context) (prepared, error) {
	p := prepared{registries: map[string]login{}, secrets: map[string]string{}, files: map[string]map[string]string{}}
	ecrLogins := map[acs.ECRAuthData]login{}
	for _, c := range t.containers {
		a := c.payload.RegistryAuthentication
		if a == nil {
			continue
		}
		var l login
		var err error
		switch {
		case a.Type == "ecr" && a.ECRAuthData != nil:
			var have bool
			if l, have = ecrLogins[*a.ECRAuthData]; !have {
				l, err = t.ecrLogin(ctx, *a.ECRAuthData)
				ecrLogins[*a.ECRAuthData] = l
			}
		case a.Type == "asm" && a.ASMAuthData != nil:
			l, err = t.asmLogin(ctx, *a.ASMAuthData)
		default:
			err = fmt.Errorf("registry authentication of type %q is not supported", a.Type)
		}
		if err != nil {
			return p, err
		}
		p.registries[c.payload.Name] = l
	}
	if err := t.fetchSecrets(ctx, p.secrets); err != nil {
		return p, err
	}
	for _, c := range t.containers {
		if len(c.payload.EnvironmentFiles) == 0 {
			continue
		}
		env, err := t.environmentFiles(ctx, c.payload.EnvironmentFiles)
		if err != nil {
			return p, err
		}
		p.files[c.payload.Name] = env
	}
	for _, c := range t.containers {
		if c.docker.LogConfig.Type == logDriverAWSLogs {
			if err := t.validateLogger(ctx, c); err != nil {
				return p, err
			}
		}
	}
	return p, nil
}

// awsConfig is for one client. The SDK's own retries are off, so that the
// number of retries in a text is the number that happened.
func (t *task) awsConfig(credentials aws.CredentialsProvider, region, endpoint string) aws.Config {
	o := &t.engine.opts
	if endpoint == "" {
		endpoint = o.Endpoint
	}
	return aws.Config{
		Region: o.region(region), Credentials: credentials, HTTPClient: o.HTTPClient,
		BaseEndpoint: aws.String(endpoint), Retryer: func() aws.Retryer { return aws.NopRetryer{} },
	}
}

// executionCredentials is the execution role, without which a task that needs
// it must fail and not wait.
func (t *task) executionCredentials() (aws.CredentialsProvider, error) {
	if t.execution == nil {
		return nil, fail("noExecution")
	}
	return t.execution, nil
}

// retry calls f until it succeeds or has failed too often: twice where the
// answer will hardly change, six times where it may. It returns how many times
// f was called again.
func (t *task) retry(ctx context.Context, f func(context.Context) error) (retries int, err error) {
	delay := t.engine.opts.RetryDelay
	for {
		if err = f(ctx); err == nil || ctx.Err() != nil {
			return retries, err
		}
		limit := 1
		if transient(err) {
			limit = 5
		}
		if retries >= limit {
			return retries, err
		}
		if err := t.engine.opts.Clock.Sleep(ctx, delay); err != nil {
			return retries, err
		}
		retries++
		delay *= 2
	}
}

func transient(err error) bool {
	var refused *registryError
	if errors.As(err, &refused) {
		return refused.status >= 500 || refused.status == http.StatusTooManyRequests
	}
	var local *runtime.StartError
	var wording *failure
	if errors.As(err, &local) || errors.As(err, &wording) || errors.Is(err, errUninitialized) {
		return false
	}
	return logship.Transient(err)
}

func (t *task) ecrLogin(ctx context.Context, a acs.ECRAuthData) (login, error) {
	credentials := t.engine.opts.InstanceCredentials
	if a.UseExecutionRole {
		var err error
		if credentials, err = t.executionCredentials(); err != nil {
			return login{}, err
		}
	}
	client := ecr.NewFromConfig(t.awsConfig(credentials, a.Region, a.EndpointOverride))
	in := &ecr.GetAuthorizationTokenInput{}
	if a.RegistryID != "" {
		//lint:ignore SA1019 the stock agent sends it
		in.RegistryIds = []string{a.RegistryID}
	}
	var out *ecr.GetAuthorizationTokenOutput
	n, err := t.retry(ctx, func(ctx context.Context) (err error) {
		out, err = client.GetAuthorizationToken(ctx, in)
		return err
	})
	if err != nil {
		return login{}, fail("ecrAuth", n, plain(err))
	}
	if len(out.AuthorizationData) == 0 {
		return login{}, fail("ecrAuth", n, "AuthorizationData is malformed, empty field")
	}
	token, err := base64.StdEncoding.DecodeString(aws.ToString(out.AuthorizationData[0].AuthorizationToken))
	user, password, ok := strings.Cut(string(token), ":")
	if err != nil || !ok {
		return login{}, fail("ecrAuth", n, "AuthorizationData is malformed, empty field")
	}
	return login{user, password}, nil
}

func (t *task) asmLogin(ctx context.Context, a acs.ASMAuthData) (login, error) {
	value, err := t.secretValue(ctx, a.Region, &secretsmanager.GetSecretValueInput{SecretId: aws.String(a.CredentialsParameter)}, "asmAuth")
	if err != nil {
		return login{}, err
	}
	var doc struct{ Username, Password string }
	if json.Unmarshal([]byte(value), &doc) != nil || doc.Username == "" || doc.Password == "" {
		return login{}, fail("asmAuth", 0, "AuthorizationData is malformed, empty field")
	}
	return login{doc.Username, doc.Password}, nil
}

// secretKey tells secrets apart: the same reference in another region may be
// another secret.
func secretKey(s acs.Secret) string { return s.Provider + "\x00" + s.Region + "\x00" + s.ValueFrom }

func (t *task) fetchSecrets(ctx context.Context, into map[string]string) error {
	parameters := map[string][]string{} // by region
	var regions []string
	for _, c := range t.containers {
		for _, s := range c.payload.Secrets {
			key := secretKey(s)
			if _, have := into[key]; have {
				continue
			}
			if s.Provider == "ssm" {
				into[key] = ""
				if parameters[s.Region] == nil {
					regions = append(regions, s.Region)
				}
				parameters[s.Region] = append(parameters[s.Region], s.ValueFrom)
				continue
			}
			value, err := t.asmSecret(ctx, s)
			if err != nil {
				return err
			}
			into[key] = value
		}
	}
	for _, region := range regions {
		// GetParameters takes at most ten names.
		for names := range slices.Chunk(parameters[region], 10) {
			if err := t.parameters(ctx, region, names, into); err != nil {
				return err
			}
		}
	}
	return nil
}

// secretReference is a valueFrom of Secrets Manager taken apart.
type secretReference struct{ arn, jsonKey, versionStage, versionID string }

// parseSecretARN reads the two forms: the secret's ARN, which has seven parts,
// and the same with ":json-key:version-stage:version-id", any of them empty.
func parseSecretARN(valueFrom string) (secretReference, bool) {
	parts := strings.Split(valueFrom, ":")
	if len(parts) != 7 && len(parts) != 10 || parts[0] != "arn" || parts[2] != "secretsmanager" || parts[5] != "secret" || parts[6] == "" {
		return secretReference{}, false
	}
	r := secretReference{arn: strings.Join(parts[:7], ":")}
	if len(parts) == 10 {
		r.jsonKey, r.versionStage, r.versionID = parts[7], parts[8], parts[9]
	}
	return r, true
}

func (t *task) asmSecret(ctx context.Context, s acs.Secret) (string, error) {
	ref, ok := parseSecretARN(s.ValueFrom)
	if !ok {
		return "", fail("asmARN")
	}
	in := &secretsmanager.GetSecretValueInput{SecretId: aws.String(ref.arn)}
	if ref.versionStage != "" {
		in.VersionStage = aws.String(ref.versionStage)
	}
	if ref.versionID != "" {
		in.VersionId = aws.String(ref.versionID)
	}
	value, err := t.secretValue(ctx, s.Region, in, "asm")
	if err != nil || ref.jsonKey == "" {
		return value, err
	}
	return jsonMember(value, ref)
}

// jsonMember takes one member of a secret that is a JSON object. Strings lose
// their quotes; other values are given as they are written.
func jsonMember(value string, ref secretReference) (string, error) {
	var doc map[string]json.RawMessage
	if json.Unmarshal([]byte(value), &doc) != nil {
		return "", fail("asmNotJSON", ref.arn, ref.jsonKey)
	}
	raw, ok := doc[ref.jsonKey]
	if !ok {
		return "", fail("asmKey", ref.jsonKey)
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text, nil
	}
	return string(raw), nil
}

func (t *task) secretValue(ctx context.Context, region string, in *secretsmanager.GetSecretValueInput, name string) (string, error) {
	credentials, err := t.executionCredentials()
	if err != nil {
		return "", err
	}
	client := secretsmanager.NewFromConfig(t.awsConfig(credentials, region, ""))
	var out *secretsmanager.GetSecretValueOutput
	n, err := t.retry(ctx, func(ctx context.Context) (err error) {
		out, err = client.GetSecretValue(ctx, in)
		return err
	})
	switch {
	case err != nil && name == "asm":
		return "", fail(name, n, *in.SecretId, err)
	case err != nil:
		return "", fail(name, n, plain(err))
	case out.SecretString == nil:
		return "", fail("asmBinary", *in.SecretId)
	}
	return *out.SecretString, nil
}

func (t *task) parameters(ctx context.Context, region string, names []string, into map[string]string) error {
	credentials, err := t.executionCredentials()
	if err != nil {
		return err
	}
	client := ssm.NewFromConfig(t.awsConfig(credentials, region, ""))
	var out *ssm.GetParametersOutput
	n, err := t.retry(ctx, func(ctx context.Context) (err error) {
		out, err = client.GetParameters(ctx, &ssm.GetParametersInput{Names: names, WithDecryption: aws.Bool(true)})
		return err
	})
	if err != nil {
		return fail("ssm", n, plain(err))
	}
	if len(out.InvalidParameters) > 0 {
		return fail("ssmInvalid", n, strings.Join(out.InvalidParameters, ", "))
	}
	got := map[string]string{}
	for _, p := range out.Parameters {
		got[aws.ToString(p.Name)] = aws.ToString(p.Value)
		got[aws.ToString(p.ARN)] = aws.ToString(p.Value)
	}
	for _, name := range names {
		value, ok := got[name]
		if !ok {
			return fail("ssmInvalid", n, name)
		}
		into[secretKey(acs.Secret{Provider: "ssm", Region: region, ValueFrom: name})] = value
	}
	return nil
}

// logsCredentials follows logsAuthStrategy: the execution role where the
// payload says so or there is one, else the container instance role.
func (t *task) logsCredentials(c *container) aws.CredentialsProvider {
	if t.execution != nil || c.payload.LogsAuthStrategy == "ExecutionRole" {
		if t.execution == nil {
			return nil
		}
		return t.execution
	}
	return t.engine.opts.InstanceCredentials
}

// validateLogger creates the container's log stream, and its group where the
// task definition asks for that, before anything runs.
func (t *task) validateLogger(ctx context.Context, c *container) error {
	l := c.docker.LogConfig.Config
	for _, option := range []string{"awslogs-group", "awslogs-region", "awslogs-stream"} {
		if l[option] == "" {
			return fail("loggerArgs", "must specify a value for log opt '"+option+"'")
		}
	}
	if t.logsCredentials(c) == nil {
		return fail("noExecution")
	}
	client := t.logsClient(c)
	in := &cloudwatchlogs.CreateLogStreamInput{LogGroupName: aws.String(l["awslogs-group"]), LogStreamName: aws.String(l["awslogs-stream"])}
	var exists *logstypes.ResourceAlreadyExistsException
	n, err := t.retry(ctx, func(ctx context.Context) error {
		_, err := client.CreateLogStream(ctx, in)
		var missing *logstypes.ResourceNotFoundException
		if errors.As(err, &missing) && l["awslogs-create-group"] == "true" {
			if _, err := client.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: in.LogGroupName}); err != nil && !errors.As(err, &exists) {
				return err
			}
			_, err = client.CreateLogStream(ctx, in)
			return err
		}
		return err
	})
	if err == nil || errors.As(err, &exists) {
		return nil
	}
	return fail("logger", n, plain(err))
}
