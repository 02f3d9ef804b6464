package policy

// Matching are the statements of one policy that match a request, those that
// allow and those that deny, each in the order of the document: what policy
// simulation lists, without what Explain says of all the others. The set says
// what else applies to the request, as NotPrincipal asks for; the policy itself
// need not be in it. asked is false where the layer has no say in the request.
// What can be read of a policy that cannot be read as a whole may deny, and
// allows nothing.
func Matching(r *Request, s *Set, layer Layer, a *Attached) (allows, denies []StatementRef, asked bool) {
	q, ok := prepare(r, s)
	if !ok || !q.applies(layer) {
		return nil, nil, false
	}
	if a.Document == nil {
		return nil, nil, true
	}
	for i := range a.Document.Statements {
		st := &a.Document.Statements[i]
		if st.unreadable || !st.deny && len(a.Document.Diagnostics) > 0 {
			continue
		}
		if _, ok := q.matches(st); !ok {
			continue
		}
		if st.deny {
			denies = append(denies, StatementRef{layer, a, i})
		} else {
			allows = append(allows, StatementRef{layer, a, i})
		}
	}
	return allows, denies, true
}
