package scenario

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	ecrtypes "github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Progress tells of an image push: complete of total bytes.
type Progress func(image string, complete, total int64)

// PushImages builds what has to be built, and pushes every image to the
// registry with the password from ecr:GetAuthorizationToken.
func (s *Scenario) PushImages(ctx context.Context, root aws.Config, progress Progress) error {
	if len(s.Images) == 0 {
		return nil
	}
	c := ecr.NewFromConfig(root)
	token, err := c.GetAuthorizationToken(ctx, &ecr.GetAuthorizationTokenInput{})
	if err != nil {
		return err
	}
	auth, err := basic(aws.ToString(token.AuthorizationData[0].AuthorizationToken))
	if err != nil {
		return err
	}
	for ref, src := range s.Images {
		img, err := src.build(ctx)
		if err != nil {
			return fmt.Errorf("image %s: %w", ref, err)
		}
		repository, tag, _ := strings.Cut(ref, ":")
		uri, err := repositoryURI(ctx, c, repository)
		if err != nil {
			return fmt.Errorf("repository %s: %w", repository, err)
		}
		if err := push(ctx, uri+":"+tag, img, auth, func(done, total int64) { progress(ref, done, total) }); err != nil {
			return fmt.Errorf("push %s: %w", ref, err)
		}
	}
	return nil
}

func basic(token string) (authn.Authenticator, error) {
	plain, err := base64.StdEncoding.DecodeString(token)
	user, password, ok := strings.Cut(string(plain), ":")
	if err != nil || !ok {
		return nil, errors.New("the authorization token is not base64 of USER:PASSWORD")
	}
	return authn.FromConfig(authn.AuthConfig{Username: user, Password: password}), nil
}

func repositoryURI(ctx context.Context, c *ecr.Client, repository string) (string, error) {
	out, err := c.CreateRepository(ctx, &ecr.CreateRepositoryInput{RepositoryName: &repository})
	if err == nil {
		return aws.ToString(out.Repository.RepositoryUri), nil
	}
	var exists *ecrtypes.RepositoryAlreadyExistsException
	if !errors.As(err, &exists) {
		return "", err
	}
	have, err := c.DescribeRepositories(ctx, &ecr.DescribeRepositoriesInput{RepositoryNames: []string{repository}})
	if err != nil {
		return "", err
	}
	return aws.ToString(have.Repositories[0].RepositoryUri), nil
}

func push(ctx context.Context, ref string, img v1.Image, auth authn.Authenticator, progress func(done, total int64)) error {
	to, err := name.ParseReference(ref, name.Insecure)
	if err != nil {
		return err
	}
	updates := make(chan v1.Update, 64)
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		for u := range updates {
			progress(u.Complete, u.Total)
		}
	}()
	err = remote.Write(to, img, remote.WithAuth(auth), remote.WithContext(ctx), remote.WithProgress(updates))
	<-drained
	return err
}

func (src Image) build(ctx context.Context) (v1.Image, error) {
	if src.Tarball != "" {
		return tarball.ImageFromPath(src.Tarball, nil)
	}
	return buildPackage(ctx, src.Package)
}

// buildPackage compiles a Go main package into a static Linux binary and wraps
// it into an image whose entrypoint it is. The image holds nothing else but
// the certificates of this machine, where it has any.
func buildPackage(ctx context.Context, dir string) (v1.Image, error) {
	tmp, err := os.MkdirTemp("", "remit-image-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	bin := filepath.Join(tmp, "app")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", bin, ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+runtime.GOARCH, "GOFLAGS=-buildvcs=false")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build %s: %w\n%s", dir, err, bytes.TrimSpace(out))
	}
	return ImageOf(bin)
}

// ImageOf wraps one static binary into an image.
func ImageOf(bin string) (v1.Image, error) {
	var layer bytes.Buffer
	tw := tar.NewWriter(&layer)
	for _, d := range [...]string{"etc/", "etc/ssl/", "etc/ssl/certs/", "tmp/"} {
		mode := int64(0o755)
		if d == "tmp/" {
			mode = 0o1777
		}
		if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: d, Mode: mode}); err != nil {
			return nil, err
		}
	}
	if err := addFile(tw, bin, "app", 0o755); err != nil {
		return nil, err
	}
	if err := addFile(tw, "/etc/ssl/certs/ca-certificates.crt", "etc/ssl/certs/ca-certificates.crt", 0o644); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if err := tw.Close(); err != nil {
		return nil, err
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer.Bytes())), nil })
	if err != nil {
		return nil, err
	}
	img, err := mutate.AppendLayers(empty.Image, l)
	if err != nil {
		return nil, err
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	cfg = cfg.DeepCopy()
	cfg.OS, cfg.Architecture = "linux", runtime.GOARCH
	cfg.Config.Entrypoint = []string{"/app"}
	cfg.Config.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	return mutate.ConfigFile(img, cfg)
}

func addFile(tw *tar.Writer, from, to string, mode int64) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: to, Mode: mode, Size: info.Size()}); err != nil {
		return err
	}
	_, err = io.Copy(tw, f)
	return err
}
