package scenario

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

var update = flag.Bool("update", false, "rewrite the golden tables")

var someRows = []Row{
	{Role: "caller", Principal: "root", Action: "iam:PassRole", Resource: "arn:aws:iam::111122223333:role/ordersTask", Allowed: true, Why: "root user of the account", Count: 2},
	{Role: "ECS", Principal: "ecs-tasks.amazonaws.com", Action: "sts:AssumeRole", Resource: "arn:aws:iam::111122223333:role/ordersTask", Allowed: true, Why: "trust policy, statement 1", Count: 1},
	{Role: "execution", Principal: "arn:aws:sts::111122223333:assumed-role/ecsTaskExecutionRole/0123456789abcdef0123456789abcdef", Action: "logs:CreateLogStream", Resource: "arn:aws:logs:us-east-1:111122223333:log-group:/ecs/orders:log-stream:ecs/orders/0123456789abcdef0123456789abcdef", Allowed: true, Why: "AmazonECSTaskExecutionRolePolicy, statement 1", Count: 1},
	{Role: "task", Principal: "arn:aws:sts::111122223333:assumed-role/ordersTask/0123456789abcdef0123456789abcdef", Action: "secretsmanager:GetSecretValue", Resource: "arn:aws:secretsmanager:us-east-1:111122223333:secret:orders/db-Xq3vRt", Why: "User: arn:aws:sts::111122223333:assumed-role/ordersTask/0123456789abcdef0123456789abcdef is not authorized to perform: secretsmanager:GetSecretValue on resource: arn:aws:secretsmanager:us-east-1:111122223333:secret:orders/db-Xq3vRt because no identity-based policy allows the secretsmanager:GetSecretValue action", Fix: `{"Effect":"Allow","Action":"secretsmanager:GetSecretValue","Resource":"arn:aws:secretsmanager:us-east-1:111122223333:secret:orders/db-Xq3vRt"}`, Count: 1},
	{Role: "task", Principal: "arn:aws:sts::111122223333:assumed-role/ordersTask/0123456789abcdef0123456789abcdef", Action: "s3:PutObject", Resource: "arn:aws:s3:::orders-data-111122223333/exports/2026/03/02/réglé-and-a-name-that-goes-on-and-on/part-00001.parquet\x1b[2J", Why: "User: x is not authorized to perform: s3:PutObject on resource: y with an explicit deny in a permissions boundary", Count: 3},
}

func TestTable(t *testing.T) {
	for name, l := range map[string]Layout{"pipe": {}, "wide": {Width: 400}, "120": {Width: 120}, "80": {Width: 80}, "colour": {Colour: true, Width: 120}} {
		var b strings.Builder
		WriteTable(&b, someRows, l)
		golden := filepath.Join("testdata", "table-"+name+".txt")
		if *update {
			if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if b.String() != string(want) {
			t.Errorf("%s: got\n%s\nwant\n%s", name, b.String(), want)
		}
		if strings.Contains(b.String(), "\x1b") != l.Colour || strings.Contains(b.String(), "[2J") != strings.Contains(b.String(), `\x1b[2J`) {
			t.Errorf("%s: escape sequences", name)
		}
		for line := range strings.Lines(b.String()) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); name == "120" && n > l.Width && !strings.Contains(line, "would be allowed by") {
				t.Errorf("%d columns: %s", n, line)
			}
		}
	}
}

func TestMiddle(t *testing.T) {
	for _, tc := range []struct {
		s    string
		n    int
		want string
	}{{"abcdef", 0, "abcdef"}, {"abcdef", 6, "abcdef"}, {"abcdef", 5, "ab…ef"}, {"abcdef", 4, "ab…f"}, {"äöüß", 3, "ä…ß"}, {"abc", 1, "…"}} {
		if got := middle(tc.s, tc.n); got != tc.want {
			t.Errorf("middle(%q, %d) = %q, want %q", tc.s, tc.n, got, tc.want)
		}
	}
}
