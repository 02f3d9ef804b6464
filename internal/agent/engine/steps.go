package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"

	"github.com/remit-ecs/remit/internal/agent/logship"
	"github.com/remit-ecs/remit/internal/agent/metadata"
	"github.com/remit-ecs/remit/internal/agent/network"
	"github.com/remit-ecs/remit/internal/agent/runtime"
)

// Network modes that differ in what the engine does. awsvpc and bridge both get
// a namespace for each task; only bridge has host ports.
const (
	networkBridge = "bridge"
	networkHost   = "host"
	networkVPC    = "awsvpc"
)

// metadataBase is where containers with a network namespace find the agent.
const metadataBase = "http://169.254.170.2"

// attach gives the task its network and starts its credentials and metadata
// endpoint there, before anything of the task runs.
func (t *task) attach(ctx context.Context) error {
	if t.onHostNetwork() {
		loopback, err := metadata.Listen(t.meta)
		if err != nil {
			return err
		}
		t.mu.Lock()
		t.loopback = loopback
		t.mu.Unlock()
		return nil
	}
	wanted, err := t.wantedInterface()
	if err != nil {
		return err
	}
	attached, err := t.engine.opts.Network.Attach(ctx, t.id, wanted)
	if err != nil {
		return err
	}
	server := t.meta.Server()
	t.engine.goroutine(func() {
		// It ends when the listener or the server is closed; either way the
		// task is over.
		_ = server.Serve(attached.Credentials)
	})
	t.mu.Lock()
	t.net, t.server = attached, server
	t.mu.Unlock()
	return t.writeFiles(attached)
}

// onHostNetwork says whether the task shares the host's network, so that its
// endpoint needs a token.
// wantedInterface is the address that the control plane gave an awsvpc task:
// its network interface, as everybody describes it.
func (t *task) wantedInterface() (network.TaskOptions, error) {
	var o network.TaskOptions
	if len(t.payload.ElasticNetworkInterfaces) == 0 {
		return o, nil
	}
	i := t.payload.ElasticNetworkInterfaces[0]
	for _, a := range i.IPv4Addresses {
		if !a.Primary && len(i.IPv4Addresses) > 1 {
			continue
		}
		var err error
		if o.Address, err = netip.ParseAddr(a.PrivateAddress); err != nil {
			return o, fmt.Errorf("network interface %s: %w", i.EC2ID, err)
		}
	}
	if i.MACAddress != "" {
		var err error
		if o.MAC, err = net.ParseMAC(i.MACAddress); err != nil {
			return o, fmt.Errorf("network interface %s: %w", i.EC2ID, err)
		}
	}
	return o, nil
}

func (t *task) onHostNetwork() bool {
	return t.engine.opts.Network == nil || t.payload.NetworkMode == networkHost
}

// fileDir holds the task's hosts and resolv.conf.
func (t *task) fileDir() string { return filepath.Join(t.engine.opts.DataDir, "volumes", t.id) }

func (t *task) hostname() string {
	if t.net != nil && t.net.Address.Is4() {
		return "ip-" + strings.ReplaceAll(t.net.Address.String(), ".", "-")
	}
	return t.id[:min(len(t.id), 12)]
}

// writeFiles makes the files through which a task in its own namespace names
// itself and finds others.
func (t *task) writeFiles(net *network.TaskNet) error {
	if err := os.MkdirAll(t.fileDir(), 0o755); err != nil {
		return err
	}
	var hosts, resolv strings.Builder
	fmt.Fprintf(&hosts, "127.0.0.1\tlocalhost\n%s\t%s\n", net.Address, t.hostname())
	var servers, search []string
	for _, c := range t.containers {
		for _, extra := range c.docker.ExtraHosts {
			if name, address, ok := strings.Cut(extra, ":"); ok {
				fmt.Fprintf(&hosts, "%s\t%s\n", address, name)
			}
		}
		servers, search = append(servers, c.docker.DNS...), append(search, c.docker.DNSSearch...)
	}
	for _, i := range t.payload.ElasticNetworkInterfaces {
		servers, search = append(servers, i.DomainNameServers...), append(search, i.DomainName...)
	}
	if len(servers) == 0 {
		servers = hostNameservers()
	}
	for _, s := range servers {
		if _, err := netip.ParseAddr(s); err == nil {
			fmt.Fprintf(&resolv, "nameserver %s\n", s)
		}
	}
	if len(search) > 0 {
		fmt.Fprintf(&resolv, "search %s\n", strings.Join(search, " "))
	}
	for name, content := range map[string]string{
		"hosts": hosts.String(), "resolv.conf": resolv.String(), "hostname": t.hostname() + "\n",
	} {
		if err := os.WriteFile(filepath.Join(t.fileDir(), name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// hostNameservers are the host's, without those on a loopback address, which
// mean nothing inside a namespace.
func hostNameservers() []string {
	b, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		return nil
	}
	var out []string
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) > 1 && f[0] == "nameserver" {
			if a, err := netip.ParseAddr(f[1]); err == nil && !a.IsLoopback() {
				out = append(out, f[1])
			}
		}
	}
	return out
}

// openPorts publishes a container's ports where the network mode has host ports
// of its own, before the container runs.
func (t *task) openPorts(c *container) error {
	if t.payload.NetworkMode != networkBridge || t.net == nil || len(c.payload.PortMappings) == 0 {
		return nil
	}
	ports, err := t.engine.publish(t.net.Address, c.payload.PortMappings)
	if err != nil {
		return err
	}
	t.mu.Lock()
	c.ports = ports
	t.mu.Unlock()
	return nil
}

// create opens the container's log stream and prepares the container.
func (t *task) create(ctx context.Context, c *container) error {
	spec, err := t.spec(c)
	if err != nil {
		return err
	}
	if c.docker.LogConfig.Type == logDriverAWSLogs {
		l := c.docker.LogConfig.Config
		logs := logship.Open(logship.Options{
			Client: t.logsClient(c), Group: l["awslogs-group"], Stream: l["awslogs-stream"],
			NonBlocking: l["mode"] == "non-blocking", Buffer: bufferSize(l["max-buffer-size"]),
			Logger: t.log.With("container", c.payload.Name),
		})
		spec.Log = logs
		t.mu.Lock()
		c.logs = logs
		t.mu.Unlock()
	}
	_, err = t.engine.opts.Runtime.CreateContainer(ctx, spec)
	return err
}

// spec resolves everything about a container: the task definition over the
// image's own configuration.
func (t *task) spec(c *container) (runtime.ContainerSpec, error) {
	info := t.engine.opts.Runtime.Info()
	image := c.image.Config
	args, err := arguments(c, image.Entrypoint, image.Cmd)
	if err != nil {
		return runtime.ContainerSpec{}, err
	}
	env, err := t.environment(c, image.Env)
	if err != nil {
		return runtime.ContainerSpec{}, err
	}
	mounts, err := t.mounts(c, info)
	if err != nil {
		return runtime.ContainerSpec{}, err
	}
	d := &c.docker
	s := runtime.ContainerSpec{
		ID: c.runtimeID, Name: c.payload.Name, Image: c.image, Args: args, Env: env,
		Hostname: cmp.Or(d.Hostname, t.hostname()), User: cmp.Or(d.User, image.User),
		WorkingDir: cmp.Or(d.WorkingDir, image.WorkingDir), ReadonlyRootfs: d.ReadonlyRootfs,
		Mounts: mounts, Sysctls: d.Sysctls, ShmSize: d.ShmSize,
		CapAdd: d.CapAdd, CapDrop: d.CapDrop,
		NoNewPrivileges: slices.ContainsFunc(d.SecurityOpt, func(o string) bool {
			return o == "no-new-privileges" || o == "no-new-privileges:true"
		}),
		Resources: runtime.Resources{
			Memory: c.payload.Memory << 20, MemoryReservation: d.MemoryReservation, CPUShares: uint64(max(c.payload.CPU, 0)),
			PidsLimit: d.PidsLimit,
		},
		Group: runtime.Group{ID: t.id, Resources: runtime.Resources{
			Memory: t.payload.Memory << 20, CPUQuota: int64(t.payload.CPU * runtime.CPUPeriod),
		}},
		Labels: t.labels(c),
	}
	if t.net != nil {
		s.NetNS = t.net.NSPath
	}
	for _, u := range d.Ulimits {
		s.Ulimits = append(s.Ulimits, runtime.Ulimit{Name: u.Name, Soft: u.Soft, Hard: u.Hard})
	}
	return s, nil
}

// arguments is entry point and command by Docker's rules: an entry point of
// its own makes the image's command void.
func arguments(c *container, entrypoint, command []string) ([]string, error) {
	if c.payload.EntryPoint != nil {
		entrypoint, command = c.payload.EntryPoint, nil
	}
	if c.payload.Command != nil {
		command = c.payload.Command
	}
	if override := c.docker.override.Command; override != nil {
		command = *override
	}
	args := slices.Concat(entrypoint, command)
	if len(args) == 0 {
		return nil, errors.New("no command specified")
	}
	return args, nil
}

// labels are the container's own and those by which ECS is recognised.
func (t *task) labels(c *container) map[string]string {
	labels := map[string]string{}
	maps.Copy(labels, c.docker.Labels)
	maps.Copy(labels, map[string]string{
		"com.amazonaws.ecs.cluster":                 cmp.Or(t.payload.TaskClusterARN, t.engine.opts.Cluster),
		"com.amazonaws.ecs.container-name":          c.payload.Name,
		"com.amazonaws.ecs.task-arn":                t.payload.ARN,
		"com.amazonaws.ecs.task-definition-family":  t.payload.Family,
		"com.amazonaws.ecs.task-definition-version": t.payload.Version,
	})
	return labels
}

// environment is, from weakest to strongest: the image's, environment files,
// the task definition's, secrets, and what the agent says about the task. Only
// the region and the endpoint give way to the task definition.
func (t *task) environment(c *container, image []string) ([]string, error) {
	env := map[string]string{}
	for _, kv := range image {
		k, v, _ := strings.Cut(kv, "=")
		env[k] = v
	}
	maps.Copy(env, t.prepared.files[c.payload.Name])
	maps.Copy(env, c.payload.Environment)
	for _, s := range c.payload.Secrets {
		v, ok := t.prepared.secrets[secretKey(s)]
		if !ok {
			return nil, fmt.Errorf("secret %s was not retrieved", s.Name)
		}
		env[s.Name] = v
	}
	unlessSet := func(k, v string) {
		if _, set := env[k]; !set && v != "" {
			env[k] = v
		}
	}
	unlessSet("AWS_REGION", t.engine.opts.Region)
	unlessSet("AWS_DEFAULT_REGION", t.engine.opts.Region)
	unlessSet("AWS_ENDPOINT_URL", t.engine.opts.ContainerEndpoint)
	t.mu.Lock()
	loopback := t.loopback
	t.mu.Unlock()
	base := metadataBase
	if loopback != nil {
		base = loopback.URL()
	}
	env["ECS_CONTAINER_METADATA_URI"] = base + "/v3/" + c.metaID
	env["ECS_CONTAINER_METADATA_URI_V4"] = base + "/v4/" + c.metaID
	env["ECS_AGENT_URI"] = base + "/api/" + c.metaID
	if t.application != nil {
		// The relative form wins in SDKs, so exactly one form is left,
		// whatever the image or the task definition set.
		delete(env, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
		delete(env, "AWS_CONTAINER_CREDENTIALS_FULL_URI")
		if loopback != nil {
			env["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = loopback.CredentialsURI()
			env["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = loopback.Token()
		} else {
			env["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] = "/v2/credentials/" + t.application.served().ID
		}
	}
	out := make([]string, 0, len(env))
	for _, k := range slices.Sorted(maps.Keys(env)) {
		out = append(out, k+"="+env[k])
	}
	return out, nil
}

// mounts places the task's volumes and its network files in a container.
func (t *task) mounts(c *container, info runtime.Info) ([]runtime.Mount, error) {
	var out []runtime.Mount
	if t.net != nil && info.Mounts {
		for _, name := range []string{"hosts", "resolv.conf", "hostname"} {
			out = append(out, runtime.Mount{Type: runtime.MountBind, Source: filepath.Join(t.fileDir(), name), Target: "/etc/" + name})
		}
	}
	for _, m := range c.payload.MountPoints {
		source := ""
		for _, v := range t.payload.Volumes {
			if v.Name != m.SourceVolume {
				continue
			}
			if v.Host != nil && v.Host.SourcePath != "" {
				source = v.Host.SourcePath
				continue
			}
			// A volume of the task's own lives in its directory, under a
			// position and not under a name that somebody else chose.
			i := slices.IndexFunc(t.payload.Volumes, func(o volume) bool { return o.Name == v.Name })
			source = filepath.Join(t.fileDir(), fmt.Sprintf("volume-%d", i))
			if err := os.MkdirAll(source, 0o777); err != nil {
				return nil, err
			}
			if err := os.Chmod(source, 0o777); err != nil { // the umask took bits
				return nil, err
			}
		}
		if source == "" {
			return nil, fmt.Errorf("mount point %s names volume %q, which the task does not have", m.ContainerPath, m.SourceVolume)
		}
		out = append(out, runtime.Mount{Type: runtime.MountBind, Source: source, Target: m.ContainerPath, ReadOnly: m.ReadOnly})
	}
	for target, options := range c.docker.Tmpfs {
		m := runtime.Mount{Type: runtime.MountTmpfs, Target: target}
		for _, o := range strings.Split(options, ",") {
			if size, ok := strings.CutPrefix(o, "size="); ok {
				m.Size = int64(bufferSize(size))
			} else if o != "" {
				m.Options = append(m.Options, o)
			}
		}
		out = append(out, m)
	}
	return out, nil
}

// logsClient signs as the execution role, or as the container instance role
// where the log driver is told so.
func (t *task) logsClient(c *container) *cloudwatchlogs.Client {
	l := c.docker.LogConfig.Config
	return cloudwatchlogs.NewFromConfig(t.awsConfig(t.logsCredentials(c), l["awslogs-region"], l["awslogs-endpoint"]))
}

// releaseTimeout bounds taking down one task's network and containers.
const releaseTimeout = 30 * time.Second

// releaseAll takes down what the task holds: its credentials first, then its
// containers, its network and its volumes. What cannot be taken down is
// logged, and swept when the agent starts again.
func (t *task) releaseAll() {
	t.meta.DropCredentials()
	if t.application != nil {
		t.application.drop()
	}
	ctx, cancel := context.WithTimeout(t.engine.ctx, releaseTimeout)
	defer cancel()
	for _, c := range t.containers {
		t.mu.Lock()
		ports := c.ports
		t.mu.Unlock()
		ports.close()
		t.drain(ctx, c)
		if err := t.engine.opts.Runtime.Remove(ctx, c.runtimeID); err != nil && !errors.Is(err, runtime.ErrNotFound) {
			t.log.Error("container not removed", "container", c.payload.Name, "error", err)
		}
	}
	t.closeEndpoint()
	if t.engine.opts.Network != nil && !t.onHostNetwork() {
		if err := t.engine.opts.Network.Detach(ctx, t.id); err != nil {
			t.log.Error("task network not detached", "error", err)
		}
	}
	if err := os.RemoveAll(t.fileDir()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.log.Error("task volumes not removed", "error", err)
	}
}

// closeEndpoint ends the task's credentials and metadata endpoint.
func (t *task) closeEndpoint() {
	t.mu.Lock()
	server, loopback := t.server, t.loopback
	t.server, t.loopback = nil, nil
	t.mu.Unlock()
	if server != nil {
		_ = server.Close()
	}
	if loopback != nil {
		_ = loopback.Close()
	}
}
