package scenario

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
)

// mostSkipped bounds how many version numbers of a policy are used up to give
// its versions the numbers of the export; past it they are numbered anew.
const mostSkipped = 50

// number reads v2; 0 is no version's number.
func (v *PolicyVersion) number() int {
	n, err := strconv.Atoi(strings.TrimPrefix(v.VersionId, "v"))
	if err != nil || n < 1 {
		return 0
	}
	return n
}

// createPolicy creates a managed policy with all its versions, under their
// numbers: people and scripts go back to them by number.
//
// IAM counts versions and never uses a number again, so the numbers of versions
// that are gone are used up by versions that are deleted at once.
func (l *loader) createPolicy(ctx context.Context, p *ManagedPolicy) error {
	current, err := p.current()
	if err != nil {
		return unloadable(err.Error())
	}
	tags, err := l.tags(p.Arn, p.Tags)
	if err != nil {
		return err
	}
	versions := slices.Clone(p.PolicyVersionList)
	slices.SortFunc(versions, func(a, b PolicyVersion) int { return a.number() - b.number() })
	if last := versions[len(versions)-1].number(); versions[0].number() == 0 || last-len(versions) > mostSkipped {
		l.notes = append(l.notes, "numbered anew: versions of "+p.Arn)
		for i := range versions {
			versions[i].VersionId = "v" + strconv.Itoa(i+1)
		}
	}
	// Number 1 is what the policy is made with: its own, or one to be deleted.
	first := current.Document
	if versions[0].number() == 1 {
		first = versions[0].Document
	}
	_, err = l.c.CreatePolicy(ctx, &iam.CreatePolicyInput{
		PolicyName: &p.PolicyName, PolicyDocument: aws.String(string(first)), Tags: tags,
		Path: set(p.Path), Description: set(p.Description),
	})
	if err != nil {
		return err
	}
	return l.undo(l.addVersions(ctx, p.Arn, versions, string(current.Document)), func() error { return l.removePolicy(ctx, p.Arn) })
}

// addVersions makes the versions of a policy that has its first one. Nothing is
// attached to it yet, so which is the default meanwhile does not matter.
func (l *loader) addVersions(ctx context.Context, arn string, versions []PolicyVersion, filler string) error {
	last := 1
	spare := versions[0].number() != 1 // v1 is none of them
	add := func(document string, makeDefault bool) (id string, err error) {
		out, err := l.c.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: &arn, PolicyDocument: &document, SetAsDefault: makeDefault})
		if err != nil {
			return "", err
		}
		last++
		return aws.ToString(out.PolicyVersion.VersionId), nil
	}
	remove := func(id string) error {
		_, err := l.c.DeletePolicyVersion(ctx, &iam.DeletePolicyVersionInput{PolicyArn: &arn, VersionId: &id})
		return err
	}
	for i := range versions {
		v := &versions[i]
		for last < v.number()-1 {
			id, err := add(filler, false)
			if err != nil {
				return err
			}
			if err := remove(id); err != nil {
				return err
			}
		}
		if v.number() == 1 {
			continue
		}
		id, err := add(string(v.Document), v.IsDefaultVersion || spare)
		switch {
		case err != nil && !v.IsDefaultVersion && isRefusal(err):
			l.notes = append(l.notes, fmt.Sprintf("not loaded: version %s of %s (%s)", v.VersionId, arn, reasonOf(err)))
			continue
		case err != nil:
			return fmt.Errorf("version %s: %w", v.VersionId, err)
		case id != v.VersionId:
			return unloadable("its version " + v.VersionId + " became " + id)
		}
		if spare {
			if err := remove("v1"); err != nil {
				return err
			}
			spare = false
		}
	}
	for i := range versions {
		if v := &versions[i]; v.IsDefaultVersion {
			_, err := l.c.SetDefaultPolicyVersion(ctx, &iam.SetDefaultPolicyVersionInput{PolicyArn: &arn, VersionId: &v.VersionId})
			return err
		}
	}
	return nil
}

// removePolicy removes a managed policy with its versions.
func (l *loader) removePolicy(ctx context.Context, arn string) error {
	versions, err := l.c.ListPolicyVersions(ctx, &iam.ListPolicyVersionsInput{PolicyArn: &arn})
	if err != nil {
		return err
	}
	for _, v := range versions.Versions {
		if v.IsDefaultVersion {
			continue
		}
		if _, err := l.c.DeletePolicyVersion(ctx, &iam.DeletePolicyVersionInput{PolicyArn: &arn, VersionId: v.VersionId}); err != nil {
			return err
		}
	}
	_, err = l.c.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: &arn})
	return err
}
