package scenario

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

const (
	openTrust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
	oneRole   = `{"RoleDetailList":[{"Path":"/","RoleName":"app","Arn":"arn:aws:iam::111122223333:role/app","AssumeRolePolicyDocument":` + openTrust + `}]}`
	oneTask   = `{"family":"f","taskRoleArn":"app","containerDefinitions":[{"name":"c","image":"i:1"}]}`
)

// dirs writes directories of files below a temporary directory, and returns
// that of the first name.
func dirs(t testing.TB, files map[string]string) string {
	t.Helper()
	top := t.TempDir()
	for name, text := range files {
		name = filepath.Join(top, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return top
}

func TestLoadErrors(t *testing.T) {
	for name, tc := range map[string]struct {
		roles, task, scenario string
		want                  string
	}{
		"no roles":                  {task: oneTask, want: "has no roles.json"},
		"no task definition":        {roles: oneRole, want: "has no task-definition.json"},
		"syntax":                    {roles: "{\n  \"RoleDetailList\": [,]\n}", task: oneTask, want: "roles.json:2:22: invalid character ','"},
		"trailing":                  {roles: oneRole + "\n{}", task: oneTask, want: "roles.json:2:1: invalid character '{' after top-level value"},
		"empty":                     {roles: " ", task: oneTask, want: "roles.json:1:1: unexpected end of JSON input"},
		"wrong kind":                {roles: "{\n\"RoleDetailList\": 5}", task: oneTask, want: "roles.json:2:19: json: cannot unmarshal number"},
		"unknown field":             {roles: strings.Replace(oneRole, `"RoleName"`, "\n \"Grants\":{\"a\":[1]},\"RoleName\"", 1), task: oneTask, want: `roles.json:2:2: unknown field "Grants"`},
		"field twice":               {roles: strings.Replace(oneRole, `"RoleName"`, "\n\"path\":\"/x/\",\"RoleName\"", 1), task: oneTask, want: `roles.json:2:1: field "path" is there twice`},
		"one page":                  {roles: strings.TrimSuffix(oneRole, "}") + `,"IsTruncated":true}`, task: oneTask, want: "one page of several"},
		"nothing":                   {roles: `{}`, task: oneTask, want: "has no roles"},
		"UTF-16":                    {roles: "\xff\xfe{\x00}\x00", task: oneTask, want: "is UTF-16"},
		"URL encoding":              {roles: strings.Replace(oneRole, openTrust, `"%7"`, 1), task: oneTask, want: "roles.json: policy document: invalid URL escape"},
		"no ARN":                    {roles: strings.Replace(oneRole, "arn:aws:iam::111122223333:role/app", "app", 1), task: oneTask, want: `the account is not 12 digits: ""`},
		"ARN and name":              {roles: strings.Replace(oneRole, `"app"`, `"application"`, 1), task: oneTask, want: `roles.json: role "arn:aws:iam::111122223333:role/app": the ARN does not fit`},
		"another partition":         {roles: strings.Replace(oneRole, "arn:aws:", "arn:aws-cn:", 1), task: oneTask, want: "partition aws only"},
		"two accounts":              {roles: strings.TrimSuffix(oneRole, "]}") + `,{"Path":"/","RoleName":"b","Arn":"arn:aws:iam::222233334444:role/b","AssumeRolePolicyDocument":{}}]}`, task: oneTask, want: ""},
		"account of scenario.json":  {roles: oneRole, task: oneTask, scenario: `{"account":"222233334444"}`, want: "does not fit account 222233334444"},
		"policy of another account": {roles: strings.TrimSuffix(oneRole, "}") + `,"Policies":[{"Arn":"arn:aws:iam::222233334444:policy/p","Path":"/","PolicyName":"p"}]}`, task: oneTask, want: `roles.json: policy "arn:aws:iam::222233334444:policy/p"`},
		"user of another account":   {roles: strings.TrimSuffix(oneRole, "}") + `,"UserDetailList":[{"Arn":"arn:aws:iam::222233334444:user/p","Path":"/","UserName":"p"}]}`, task: oneTask, want: `roles.json: user "arn:aws:iam::222233334444:user/p"`},
		"group of another account":  {roles: strings.TrimSuffix(oneRole, "}") + `,"GroupDetailList":[{"Arn":"arn:aws:iam::222233334444:group/p","Path":"/","GroupName":"p"}]}`, task: oneTask, want: `roles.json: group "arn:aws:iam::222233334444:group/p"`},

		"task syntax":            {roles: oneRole, task: "{\n\"family\" 5}", want: "task-definition.json:2:10: invalid character '5'"},
		"task kind":              {roles: oneRole, task: "{\"family\":\"f\",\n\"containerDefinitions\":[],\n\"cpu\": 256}", want: "task-definition.json:3:10: json: cannot unmarshal number"},
		"task field":             {roles: oneRole, task: strings.Replace(oneTask, `"name"`, "\n\"privilege\":true,\"name\"", 1), want: `task-definition.json:2:1: unknown field "privilege"`},
		"described field":        {roles: oneRole, task: "{\"taskDefinition\":" + strings.Replace(oneTask, `"name"`, "\n\"privilege\":true,\"name\"", 1) + "}", want: `task-definition.json:2:1: unknown field "privilege"`},
		"no family":              {roles: oneRole, task: `{"containerDefinitions":[]}`, want: `has no "family"`},
		"described null":         {roles: oneRole, task: `{"taskDefinition":null}`, want: `has no "family"`},
		"task null":              {roles: oneRole, task: `null`, want: `has no "family"`},
		"scenario syntax":        {roles: oneRole, task: oneTask, scenario: "{\n  \"region\": eu}", want: "scenario.json:2:13: invalid character 'e'"},
		"scenario field":         {roles: oneRole, task: oneTask, scenario: "{\n  \"regoin\": \"eu-west-1\"}", want: `scenario.json:2:3: unknown field "regoin"`},
		"object field":           {roles: oneRole, task: oneTask, scenario: "{\"buckets\":{\"b\":{\"k\":\n{\"txt\":\"\"}}}}", want: `scenario.json:2:2: unknown field "txt"`},
		"scenario field twice":   {roles: oneRole, task: oneTask, scenario: `{"secrets":{"a":"1","a":"2"}}`, want: `field "a" is there twice`},
		"region":                 {roles: oneRole, task: oneTask, scenario: `{"region":"Frankfurt"}`, want: `"Frankfurt" is not a region`},
		"image source":           {roles: oneRole, task: oneTask, scenario: `{"images":{"i:1":{}}}`, want: `image "i:1" needs either "package" or "tarball"`},
		"two image sources":      {roles: oneRole, task: oneTask, scenario: `{"images":{"i:1":{"package":".","tarball":"x"}}}`, want: `needs either`},
		"image tag":              {roles: oneRole, task: oneTask, scenario: `{"images":{"i":{"package":"."}}}`, want: `image "i" is not REPOSITORY:TAG`},
		"object source":          {roles: oneRole, task: oneTask, scenario: `{"buckets":{"b":{"k":{}}}}`, want: `object s3://b/k needs either "text" or "file"`},
		"caller of another kind": {roles: oneRole, task: oneTask, scenario: `{"caller":"arn:aws:iam::111122223333:role/app"}`, want: `is neither "root" nor the ARN of a user`},
		"unknown caller":         {roles: oneRole, task: oneTask, scenario: `{"caller":"arn:aws:iam::111122223333:user/eve"}`, want: `caller arn:aws:iam::111122223333:user/eve is not in roles.json`},
		"extends itself":         {roles: oneRole, task: oneTask, scenario: `{"extends":"."}`, want: "extends goes in a circle"},
		"extends nothing":        {roles: oneRole, task: oneTask, scenario: `{"extends":"../nowhere"}`, want: "nowhere"},
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{}
			for f, text := range map[string]string{"roles.json": tc.roles, "task-definition.json": tc.task, "scenario.json": tc.scenario} {
				if text != "" {
					files["s/"+f] = text
				}
			}
			if tc.want == "" {
				tc.want = `role "arn:aws:iam::222233334444:role/b"`
			}
			_, err := Load(filepath.Join(dirs(t, files), "s"))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got  %v\nwant %s", err, tc.want)
			}
		})
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a directory that does not exist was loaded")
	}
	f := filepath.Join(dirs(t, map[string]string{"f": ""}), "f")
	if _, err := Load(f); err == nil || !strings.Contains(err.Error(), "is not a directory") {
		t.Errorf("a file: %v", err)
	}
}

func TestExtends(t *testing.T) {
	top := dirs(t, map[string]string{
		"a/roles.json":           oneRole,
		"a/task-definition.json": oneTask,
		"a/scenario.json":        `{"region":"eu-west-1","images":{"i:1":{"tarball":"i.tar"},"j:1":{"package":"./j"}},"secrets":{"s":"far"},"subnets":["subnet-1"]}`,
		"a/b/scenario.json":      `{"extends":"..","secrets":{"s":"middle","t":{"k":1}},"buckets":{"b":{"x":{"file":"x.txt"},"y":{"text":""}}}}`,
		"c/scenario.json":        `{"extends":"../a/b","region":"eu-north-1","images":{"j:1":{"tarball":"j.tar"}},"secrets":{"s":"near"},"parameters":{"/p":{"value":"v"}},"buckets":{"b":{"y":{"text":"near"}}},"securityGroups":["sg-1"]}`,
		"c/roles.json":           strings.ReplaceAll(oneRole, "111122223333", "222233334444"),
		"circle/1/scenario.json": `{"extends":"../2"}`,
		"circle/2/scenario.json": `{"extends":"../1"}`,
	})
	s, err := Load(filepath.Join(top, "c"))
	if err != nil {
		t.Fatal(err)
	}
	if s.Account != "222233334444" || s.Region != "eu-north-1" || s.Caller != "arn:aws:iam::222233334444:root" || !s.CallerIsRoot() {
		t.Errorf("account %s, region %s, caller %s", s.Account, s.Region, s.Caller)
	}
	wantImages := map[string]Image{"i:1": {Tarball: filepath.Join(top, "a", "i.tar")}, "j:1": {Tarball: filepath.Join(top, "c", "j.tar")}}
	if !reflect.DeepEqual(s.Images, wantImages) {
		t.Errorf("images %v, want %v", s.Images, wantImages)
	}
	if string(s.Secrets["s"]) != `"near"` || string(s.Secrets["t"]) != `{"k":1}` {
		t.Errorf("secrets %s", s.Secrets)
	}
	if got := s.Buckets["b"]; got["x"].File != filepath.Join(top, "a", "b", "x.txt") || *got["y"].Text != "near" {
		t.Errorf("objects %+v", got)
	}
	if s.Parameters["/p"].Type != "String" || s.Subnets[0] != "subnet-1" || s.Groups[0] != "sg-1" {
		t.Errorf("parameters %v, subnets %v, groups %v", s.Parameters, s.Subnets, s.Groups)
	}
	if _, err := Load(filepath.Join(top, "circle", "1")); err == nil || !strings.Contains(err.Error(), "circle") {
		t.Errorf("a circle: %v", err)
	}
}

// TestNoScenarioFile says that the two exports are enough.
func TestNoScenarioFile(t *testing.T) {
	image := `"111122223333.dkr.ecr.eu-central-1.amazonaws.com/i:1"`
	s, err := Load(dirs(t, map[string]string{"roles.json": "\xef\xbb\xbf" + oneRole, "task-definition.json": strings.Replace(oneTask, `"i:1"`, image, 1)}))
	if err != nil {
		t.Fatal(err)
	}
	if s.Account != "111122223333" || s.Region != "eu-central-1" {
		t.Errorf("account %s, region %s", s.Account, s.Region)
	}
	if s, err = Load(dirs(t, map[string]string{"roles.json": oneRole, "task-definition.json": oneTask})); err != nil || s.Region != DefaultRegion {
		t.Errorf("region %s, %v", s.Region, err)
	}
}

// TestDescribed reads what describe-task-definition prints.
func TestDescribed(t *testing.T) {
	const inner = `"taskDefinitionArn":"arn:aws:ecs:us-east-1:111122223333:task-definition/f:7","family":"f","revision":7,"status":"ACTIVE",
		"containerDefinitions":[{"name":"c","image":"i:1","cpu":0,"portMappings":[],"environment":[{"name":"A","value":"b"}],"mountPoints":[],"volumesFrom":[],"systemControls":[]}],
		"volumes":[],"placementConstraints":[],"compatibilities":["EC2","FARGATE"],"requiresAttributes":[{"name":"com.amazonaws.ecs.capability.task-iam-role"}],
		"requiresCompatibilities":["FARGATE"],"cpu":"256","memory":"512","registeredAt":"2026-03-02T09:14:07.123000+00:00","registeredBy":"arn:aws:iam::111122223333:user/x"`
	for name, tc := range map[string]struct {
		text string
		tags int
	}{
		"described":           {`{"taskDefinition":{` + inner + `},"tags":[{"key":"team","value":"orders"}]}`, 1},
		"described, no tags":  {`{"taskDefinition":{` + inner + `},"tags":[]}`, 0},
		"the inner object":    {`{` + inner + `}`, 0},
		"an input, with tags": {`{` + inner + `,"tags":[{"key":"team","value":"orders"}]}`, 1},
	} {
		in, err := parseTaskDefinition("task-definition.json", []byte(tc.text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if *in.Family != "f" || len(in.Tags) != tc.tags || *in.Cpu != "256" || *in.ContainerDefinitions[0].Environment[0].Value != "b" {
			t.Errorf("%s: %+v", name, in)
		}
	}
}

// TestNothingIsDropped holds that whatever a described definition says is
// registered again, but for what AWS adds to it.
func TestNothingIsDropped(t *testing.T) {
	answers := map[string]bool{
		"TaskDefinitionArn": true, "Revision": true, "Status": true, "RequiresAttributes": true, "Compatibilities": true,
		"RegisteredAt": true, "RegisteredBy": true, "DeregisteredAt": true, "DeleteRequestedAt": true,
	}
	in := reflect.TypeFor[ecs.RegisterTaskDefinitionInput]()
	for _, f := range reflect.VisibleFields(reflect.TypeFor[ecstypes.TaskDefinition]()) {
		if _, ok := in.FieldByName(f.Name); f.IsExported() && ok == answers[f.Name] {
			t.Errorf("%s: in the input %t, an answer %t", f.Name, ok, answers[f.Name])
		}
	}
	for _, f := range reflect.VisibleFields(in) {
		if _, ok := reflect.TypeFor[definitionFile]().FieldByName(f.Name); f.IsExported() && !ok {
			t.Errorf("%s cannot be written in task-definition.json", f.Name)
		}
	}
}

func TestDocument(t *testing.T) {
	for in, want := range map[string]string{
		`{"Version": "2012-10-17"}`:             `{"Version": "2012-10-17"}`,
		`"%7B%22a%22%3A%22b+c%2Bd%20e%22%7D"`:   `{"a":"b+c+d e"}`,
		`"%0A%7B%22a%22%3A1%7D"`:                "\n" + `{"a":1}`,
		`"{\"Version\":\"2012-10-17\"}"`:        `{"Version":"2012-10-17"}`,
		`"{\"Resource\":\"arn:aws:s3:::%7B\"}"`: `{"Resource":"arn:aws:s3:::%7B"}`,
	} {
		var d Document
		if err := d.UnmarshalJSON([]byte(in)); err != nil || string(d) != want {
			t.Errorf("%s: got %s, %v; want %s", in, d, err, want)
		}
	}
}

func TestRolesOfTask(t *testing.T) {
	s := &Scenario{Account: "111122223333", TaskDefinition: &ecs.RegisterTaskDefinitionInput{TaskRoleArn: aws.String("app")}}
	if got := s.taskRole(); got != "arn:aws:iam::111122223333:role/app" {
		t.Error(got)
	}
	if got := s.executionRole(); got != "" {
		t.Errorf("no execution role: %q", got)
	}
	s.TaskDefinition.ExecutionRoleArn = aws.String("arn:aws:iam::111122223333:role/x/app")
	if got := s.executionRole(); got != "arn:aws:iam::111122223333:role/x/app" {
		t.Error(got)
	}
}

func FuzzLoad(f *testing.F) {
	for _, dir := range []string{"orders", "orders-broken/passrole", "orders-broken/trust"} {
		var texts [3]string
		for i, name := range []string{"roles.json", "task-definition.json", "scenario.json"} {
			text, err := os.ReadFile(filepath.Join("..", "..", "examples", dir, name))
			if os.IsNotExist(err) {
				text = []byte("{}")
			} else if err != nil {
				f.Fatal(err)
			}
			texts[i] = string(text)
		}
		f.Add(texts[0], texts[1], texts[2])
	}
	f.Add(oneRole, `{"taskDefinition":`+oneTask+`,"tags":[]}`, `{"extends":"."}`)
	f.Add(`{"RoleDetailList":[{"Arn":"arn:aws:iam::1:"}]}`, `{"family":"","containerDefinitions":[{}]}`, `{"buckets":{"":{"":{"text":""}}}}`)
	f.Fuzz(func(t *testing.T, roles, task, scenario string) {
		if strings.Contains(scenario, "extends") {
			scenario = "{}" // stay in the directory
		}
		s, err := Load(dirs(t, map[string]string{"roles.json": roles, "task-definition.json": task, "scenario.json": scenario}))
		if err != nil {
			return
		}
		s.logGroups()
		for i := range s.Roles.Roles {
			r := &s.Roles.Roles[i]
			trust, gone, err := without(string(r.AssumeRolePolicyDocument), s.Account, s.needs)
			if err == nil && len(gone) == 0 && trust != string(r.AssumeRolePolicyDocument) {
				t.Errorf("a trust policy changed from %s to %s", r.AssumeRolePolicyDocument, trust)
			}
			s.attached(r.Arn)
		}
	})
}
