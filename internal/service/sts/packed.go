package sts

import (
	"bytes"
	"compress/flate"
	"maps"
	"slices"

	"github.com/remit-ecs/remit/internal/api"
)

// packedLimit is the room for what a session carries, in bytes after packing.
// AWS's own format is not public; the percentages are ours.
const packedLimit = 2048

// packedSize is how much of the room session policies and tags take, in
// percent; nil where there are none.
func packedSize(given restrictions, tags passed) (*int32, error) {
	if given.policy == nil && len(given.arns) == 0 && len(tags.values) == 0 {
		return nil, nil
	}
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestCompression)
	if err != nil {
		return nil, err
	}
	put := func(s string) { _, _ = w.Write(append([]byte(s), 0)) } // a Buffer takes everything
	put(api.Value(given.policy))
	for _, a := range given.arns {
		put(api.Value(a.Arn))
	}
	for _, k := range slices.Sorted(maps.Keys(tags.values)) {
		put(k)
		put(tags.values[k])
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	percent := int32((out.Len()*100 + packedLimit - 1) / packedLimit)
	if percent > 100 {
		return nil, tooLarge(int(percent))
	}
	return &percent, nil
}
