// SPDX-License-Identifier: Apache-2.0

package api

// Kind is the kind of a shape.
type Kind uint8

// The kinds, and the Go types that awsgen gives them as members of a structure.
const (
	String    Kind = iota + 1 // *string; with Enum a named string type whose "" means absent
	Boolean                   // *bool
	Integer                   // *int32
	Long                      // *int64
	Float                     // *float64
	Double                    // *float64
	Timestamp                 // *Time
	Blob                      // []byte; io.ReadCloser where the member is streaming
	List                      // []T, T not a pointer
	Map                       // map[string]T, T not a pointer
	Structure                 // *T
	Document                  // any: free-form JSON
)

// String returns the kind's name as the service models spell it.
func (k Kind) String() string {
	names := [...]string{"", "string", "boolean", "integer", "long", "float", "double",
		"timestamp", "blob", "list", "map", "structure", "document"}
	if int(k) < len(names) {
		return names[k]
	}
	return "unknown"
}

// Model is the shapes of one service. Shapes refer to each other by index.
type Model struct {
	Shapes []Shape
}

// Shape describes a type of the API: what it is made of, how it is spelled, and
// which values it admits.
type Shape struct {
	Kind Kind
	Name string // as the model names it: "RunTaskRequest"

	// Structure.
	Members []Member // Members[i] is field i of the Go struct
	Payload int      // index of the member that is the HTTP body; -1 for none
	Union   bool     // exactly one member is set

	// List, Map: indexes into Model.Shapes.
	Elem, Key, Value int

	// How it is spelled in XML and forms.
	Flattened       bool   // no element around the entries
	MemberName      string // list: name of an entry where it is not "member"
	KeyName         string // map: where it is not "key"
	ValueName       string // map: where it is not "value"
	LocationName    string // structure: name of the element, where it differs
	XMLNSPrefix     string
	XMLNSURI        string
	TimestampFormat TimestampFormat // 0: the protocol's own

	// Which values it admits. Min and Max bound the length of strings, blobs,
	// lists and maps, and the value of numbers.
	HasMin, HasMax bool
	Min, Max       float64
	Pattern        string // a Java regular expression
	Enum           []string
	Sensitive      bool // must not be logged or shown

	Exception *Exception // for error shapes
}

// Member describes one member of a structure.
type Member struct {
	Name         string // in the model
	Shape        int    // index into Model.Shapes
	Required     bool
	Location     Location
	LocationName string // name on the network where it is not Name; prefix for LocationHeaders

	Flattened        bool // this use of the list or map has no element around its entries
	XMLAttribute     bool
	XMLNSPrefix      string
	XMLNSURI         string
	Streaming        bool // a body of any length: io.ReadCloser
	Sensitive        bool // its shape is
	IdempotencyToken bool // clients fill it in when the caller does not
	Deprecated       bool
}

// WireName returns the member's name on the network.
func (m *Member) WireName() string {
	if m.LocationName != "" {
		return m.LocationName
	}
	return m.Name
}

// Location says where in an HTTP message a member travels.
type Location uint8

// The locations.
const (
	LocationBody       Location = iota // in the body, with its siblings
	LocationHeader                     // one header
	LocationHeaders                    // all headers with a prefix: a map
	LocationURI                        // a label of the path
	LocationQuery                      // the query string
	LocationStatusCode                 // the status of the answer
)

// TimestampFormat is a way to write a time.
type TimestampFormat uint8

// The formats. Zero means what the protocol prescribes for the place.
const (
	TimestampISO8601 TimestampFormat = iota + 1
	TimestampRFC822
	TimestampUnix
)

// Exception is what makes a shape an error.
type Exception struct {
	Code   string // as clients see it: "NoSuchEntity"
	Status int    // HTTP status
	Fault  Fault
}
