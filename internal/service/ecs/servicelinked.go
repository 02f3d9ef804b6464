package ecs

import (
	"strings"

	"github.com/remit-ecs/remit/internal/store"
)

// ServiceLinkedRoleUsage gives the ARNs of an account's active clusters by
// region: while there is one, AWSServiceRoleForECS is in use and is not deleted.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/using-service-linked-roles-for-clusters.html
func ServiceLinkedRoleUsage(r store.Reader, account string) map[string][]string {
	out := map[string][]string{}
	for _, shard := range clusters.Shards(r) {
		of, region, _ := strings.Cut(shard, "/")
		if of != account {
			continue
		}
		for _, d := range clusters.Prefix(r, shard, "") {
			if d.Status == "ACTIVE" {
				out[region] = append(out[region], clusterARN(account, region, d.Name))
			}
		}
	}
	return out
}
