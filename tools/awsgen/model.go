// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
)

// model is a service model in botocore's format, without what awsgen does not
// use: reading one and writing it again is what trims it.
type model struct {
	Metadata   metadata           `json:"metadata"`
	Operations ordered[operation] `json:"operations"`
	Shapes     ordered[shape]     `json:"shapes"`
}

type metadata struct {
	APIVersion     string `json:"apiVersion"`
	EndpointPrefix string `json:"endpointPrefix"`
	JSONVersion    string `json:"jsonVersion,omitzero"`
	Protocol       string `json:"protocol"`
	ServiceID      string `json:"serviceId"`
	SigningName    string `json:"signingName,omitzero"`
	TargetPrefix   string `json:"targetPrefix,omitzero"`
	XMLNamespace   string `json:"xmlNamespace,omitzero"`
}

type operation struct {
	HTTP struct {
		Method       string `json:"method"`
		RequestURI   string `json:"requestUri"`
		ResponseCode int    `json:"responseCode,omitzero"`
	} `json:"http"`
	Input    ref    `json:"input,omitzero"`
	Output   ref    `json:"output,omitzero"`
	Errors   []ref  `json:"errors,omitzero"`
	AuthType string `json:"authtype,omitzero"`
	Checksum struct {
		Required bool `json:"requestChecksumRequired,omitzero"`
	} `json:"httpChecksum,omitzero"`
}

// ref is a use of a shape: by an operation, a member, a list or a map.
type ref struct {
	Shape            string  `json:"shape"`
	ResultWrapper    string  `json:"resultWrapper,omitzero"`
	Location         string  `json:"location,omitzero"`
	LocationName     string  `json:"locationName,omitzero"`
	XMLNamespace     xmlName `json:"xmlNamespace,omitzero"`
	XMLAttribute     bool    `json:"xmlAttribute,omitzero"`
	Flattened        bool    `json:"flattened,omitzero"`
	Streaming        bool    `json:"streaming,omitzero"`
	IdempotencyToken bool    `json:"idempotencyToken,omitzero"`
	Deprecated       bool    `json:"deprecated,omitzero"`
}

type xmlName struct {
	Prefix string `json:"prefix,omitzero"`
	URI    string `json:"uri,omitzero"`
}

type shape struct {
	Type            string       `json:"type"`
	Members         ordered[ref] `json:"members,omitzero"`
	Required        []string     `json:"required,omitzero"`
	Member          ref          `json:"member,omitzero"`
	Key             ref          `json:"key,omitzero"`
	Value           ref          `json:"value,omitzero"`
	Payload         string       `json:"payload,omitzero"`
	LocationName    string       `json:"locationName,omitzero"`
	XMLNamespace    xmlName      `json:"xmlNamespace,omitzero"`
	Flattened       bool         `json:"flattened,omitzero"`
	TimestampFormat string       `json:"timestampFormat,omitzero"`
	Min             json.Number  `json:"min,omitzero"`
	Max             json.Number  `json:"max,omitzero"`
	Pattern         string       `json:"pattern,omitzero"`
	Enum            []string     `json:"enum,omitzero"`
	Sensitive       bool         `json:"sensitive,omitzero"`
	Document        bool         `json:"document,omitzero"`
	EventStream     bool         `json:"eventstream,omitzero"`
	Union           bool         `json:"union,omitzero"`
	Exception       bool         `json:"exception,omitzero"`
	Fault           bool         `json:"fault,omitzero"`
	Error           struct {
		Code           string `json:"code,omitzero"`
		HTTPStatusCode int    `json:"httpStatusCode,omitzero"`
		SenderFault    bool   `json:"senderFault,omitzero"`
	} `json:"error,omitzero"`
}

// ordered is a JSON object whose keys keep their order: the order of members is
// the order of fields, and of elements in XML.
type ordered[T any] struct {
	keys   []string
	values map[string]T
}

func (o ordered[T]) IsZero() bool { return o.values == nil }

func (o *ordered[T]) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return fmt.Errorf("want an object, have %v (%v)", t, err)
	}
	o.values = map[string]T{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return err
		}
		var v T
		if err := d.Decode(&v); err != nil {
			return fmt.Errorf("%v: %w", t, err)
		}
		key := t.(string) // the keys of an object are strings
		o.keys = append(o.keys, key)
		o.values[key] = v
	}
	return nil
}

func (o ordered[T]) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, k := range o.keys {
		if i > 0 {
			b.WriteByte(',')
		}
		key, err := json.Marshal(k)
		if err != nil {
			return nil, err
		}
		v, err := json.Marshal(o.values[k])
		if err != nil {
			return nil, err
		}
		b.Write(key)
		b.WriteByte(':')
		b.Write(v)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

func readModel(path string) (*model, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	m := new(model)
	if err := json.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// writeModel writes a model so that the same model gives the same bytes.
func writeModel(path string, m *model) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := z.Write(b); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	return os.WriteFile(path, out.Bytes(), 0o644)
}
