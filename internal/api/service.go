// SPDX-License-Identifier: Apache-2.0

package api

// Protocol is the way a service spells requests and answers on the network.
type Protocol uint8

// The protocols of the AWS services.
const (
	JSON11   Protocol = iota + 1 // awsJson1_1: one POST, X-Amz-Target, JSON body
	JSON10                       // awsJson1_0: the same with another content type
	Query                        // awsQuery: a form in, XML out
	EC2Query                     // ec2Query: Amazon EC2's dialect of Query
	RestXML                      // restXml: Amazon S3 and relatives
	RestJSON                     // restJson1
)

// String returns the protocol's name in Smithy's spelling.
func (p Protocol) String() string {
	switch p {
	case JSON11:
		return "awsJson1_1"
	case JSON10:
		return "awsJson1_0"
	case Query:
		return "awsQuery"
	case EC2Query:
		return "ec2Query"
	case RestXML:
		return "restXml"
	case RestJSON:
		return "restJson1"
	}
	return "unknown"
}

// IsJSON reports whether the protocol is one of the two awsJson protocols.
func (p Protocol) IsJSON() bool { return p == JSON11 || p == JSON10 }

// Service describes one AWS service.
type Service struct {
	Name          string   // our folder name, and the prefix of its IAM actions: "ecs"
	ID            string   // the service id of the SDKs: "CloudWatch Logs"
	SigningName   string   // the service in the credential scope: "ecr"
	TargetPrefix  string   // JSON: what stands before the dot in X-Amz-Target
	APIVersion    string   // "2014-11-13"
	XMLNamespace  string   // Query, RestXML: namespace of the answers
	EventSource   string   // as CloudTrail names it: "ecs.amazonaws.com"
	EndpointName  string   // first label of the host name: "api.ecr"
	Protocol      Protocol // how its requests and answers are spelled
	Global        bool     // one instance per partition, not per region (IAM)
	Model         *Model   // the shapes
	Ops           []*OpInfo
	operationsMap lazyOps
}

// Op returns the operation of that name, or nil where the service has none.
// Names are case-sensitive.
func (s *Service) Op(name string) *OpInfo { return s.operationsMap.find(s.Ops, name) }

// OpInfo describes one operation. The values are generated, static and must
// not be changed.
type OpInfo struct {
	Service *Service
	Name    string // "RunTask"
	Method  string // HTTP method
	URI     string // REST: template with {Label} and {Greedy+}, and fixed query keys
	Status  int    // REST: status of a successful answer; 0 means 200

	// Input and Output are indexes into Service.Model.Shapes, -1 where the
	// operation has none, or where it is not served.
	Input, Output int

	ResultWrapper string   // Query: the element around the output's members
	Errors        []string // names of the modelled error shapes

	StreamingInput  bool // the request body is one member, an io.ReadCloser
	StreamingOutput bool // the answer's body is one member, an io.ReadCloser
	Unsigned        bool // callers need not sign (AssumeRoleWithWebIdentity)
	ReadOnly        bool // as CloudTrail marks it, judged by the name (Get, List, AssumeRole, ...)
	ChecksumNeeded  bool // RestXML: the body must come with a checksum

	// NewInput and NewOutput return pointers to fresh zero values of the
	// operation's Go types. Both are nil where awsgen made no types for the
	// operation (tools/awsgen/served.txt).
	NewInput, NewOutput func() any
}

// Served reports whether Go types exist for the operation. Operations that are
// not served are listed so that they can be recognised, audited and refused.
func (o *OpInfo) Served() bool { return o.NewInput != nil }

// Action returns the operation's name in the form service:Operation. For most
// operations, though not for all, that is the IAM action it needs.
func (o *OpInfo) Action() string { return o.Service.Name + ":" + o.Name }

// InputShape returns the shape of the input, or nil where there is none.
func (o *OpInfo) InputShape() *Shape {
	if o.Input < 0 {
		return nil
	}
	return &o.Service.Model.Shapes[o.Input]
}

// OutputShape returns the shape of the output, or nil where there is none.
func (o *OpInfo) OutputShape() *Shape {
	if o.Output < 0 {
		return nil
	}
	return &o.Service.Model.Shapes[o.Output]
}

// Op is an operation together with the Go types of its input and output. The
// types exist only for the compiler: a handler for Op[In, Out] takes *In and
// returns *Out.
type Op[In, Out any] struct {
	Info *OpInfo
}

// Name returns the operation's name.
func (o Op[In, Out]) Name() string { return o.Info.Name }
