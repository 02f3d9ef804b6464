package ecs

import "regexp"

// ECRImage is an image in an ECR registry.
type ECRImage struct{ Registry, Region string }

// ECR image names are ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME, or, where no
// DNS leads to our registry, the same behind its address:
// HOST:PORT/ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME.
var ecrImage = regexp.MustCompile(`^(?:[A-Za-z0-9.-]+:[0-9]{1,5}/)?([0-9]{12})\.dkr\.ecr(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/[^/]`)

// ParseECRImage reads the registry out of an image name; false for images that
// are not in ECR.
func ParseECRImage(image string) (ECRImage, bool) {
	m := ecrImage.FindStringSubmatch(image)
	if m == nil {
		return ECRImage{}, false
	}
	return ECRImage{Registry: m[1], Region: m[2]}, true
}
