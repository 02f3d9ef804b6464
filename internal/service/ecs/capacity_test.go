package ecs_test

import (
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/remit-ecs/remit/internal/service/ecs"
)

// TestNeverOverCapacity lets many callers race for an instance with room for
// four tasks.
func TestNeverOverCapacity(t *testing.T) {
	w := newWorld(t, nil)
	w.Role("host", "", hostRole)
	a := w.newAgent(w.Session("host", "i-1", time.Hour), "default").connect(true)
	def := w.bridge("b", nil)
	var placed, refused int
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 12 {
		all.Go(func() {
			out, err := w.root.RunTask(t.Context(), &awsecs.RunTaskInput{TaskDefinition: &def})
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			placed += len(out.Tasks)
			refused += len(out.Failures)
		})
	}
	all.Wait()
	if placed != 4 || refused != 8 {
		t.Errorf("%d tasks placed and %d refused on an instance for 4", placed, refused)
	}
	w.eventually("four payloads", func() bool { return a.count("PayloadMessage") == 4 })
}

// TestAddresses: every task of a host has an address of its own.
func TestAddresses(t *testing.T) {
	w := newWorld(t, nil)
	a := w.newAgent(w.hostConfig(), "fargate").connect(true)
	in := runInput(w.fargate("web", nil))
	in.Count = aws.Int32(8)
	out, err := w.root.RunTask(t.Context(), in)
	if err != nil || len(out.Tasks) != 8 {
		t.Fatalf("%v %s", err, show(out))
	}
	seen := map[string]bool{}
	for _, task := range out.Tasks {
		ip := *w.until("default", *task.TaskArn, "RUNNING").Containers[0].NetworkInterfaces[0].PrivateIpv4Address
		if seen[ip] {
			t.Errorf("%s twice", ip)
		}
		seen[ip] = true
	}
	if a.count("PayloadMessage") != 8 {
		t.Errorf("%d payloads for 8 tasks", a.count("PayloadMessage"))
	}
}

// TestHostWithoutTaskNetworks runs awsvpc tasks in its own network.
func TestHostWithoutTaskNetworks(t *testing.T) {
	w := newWorld(t, nil)
	a := &agent{w: w, cfg: w.hostConfig(), api: w.sdk(w.hostConfig()), cluster: "fargate"}
	out, err := a.api.RegisterContainerInstance(t.Context(), &awsecs.RegisterContainerInstanceInput{
		Cluster: &a.cluster, Attributes: []types.Attribute{{Name: aws.String(ecs.NetworkAttribute), Value: aws.String("host")}},
		TotalResources: []types.Resource{{Name: aws.String("CPU"), Type: aws.String("INTEGER"), IntegerValue: 2048}, {Name: aws.String("MEMORY"), Type: aws.String("INTEGER"), IntegerValue: 4096}},
	})
	if err != nil {
		t.Fatal(err)
	}
	a.arn = *out.ContainerInstance.ContainerInstanceArn
	a.connect(true)
	arn := *w.run(runInput(w.fargate("web", nil))).TaskArn
	task := w.until("default", arn, "RUNNING")
	if got := *task.Containers[0].NetworkInterfaces[0].PrivateIpv4Address; got != "127.0.0.1" {
		t.Errorf("the task is at %s", got)
	}
	if p := a.payload(0); p["networkMode"] != "host" || p["elasticNetworkInterfaces"] != nil {
		t.Errorf("payload: %s", show(p))
	}
}
