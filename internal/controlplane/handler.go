package controlplane

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/remit-ecs/remit/internal/audit"
	"github.com/remit-ecs/remit/internal/gateway"
)

// handler tells the listeners apart that share the port.
func (cp *ControlPlane) handler() http.Handler {
	hosts, registry := cp.services.hosts.Handler(), cp.services.registry
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Expect") == "100-continue" && r.ContentLength == 0 {
			// net/http sends 100 Continue when a body is read, and here is
			// none; botocore would wait a minute for it.
			w.WriteHeader(http.StatusContinue)
		}
		switch path := r.URL.Path; {
		case path == "/_remit/health" || path == "/_localstack/health":
			cp.health(w, r)
		case path == "/_remit/reset":
			cp.reset(w, r)
		case strings.HasPrefix(path, "/_remit/"):
			http.NotFound(w, r)
		case (path == "/acs/ws" || path == "/tcs/ws") && r.Header.Get("Upgrade") != "":
			hosts.ServeHTTP(w, r)
		case (path == "/v2" || strings.HasPrefix(path, "/v2/")) && !signed(r):
			registry.ServeHTTP(w, r)
		default:
			cp.gateway.ServeHTTP(w, r)
		}
	})
}

// signed tells an S3 request for a bucket named v2 from a registry's.
func signed(r *http.Request) bool {
	return strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-") || r.URL.Query().Has("X-Amz-Algorithm")
}

func (cp *ControlPlane) health(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	services := map[string]string{}
	for _, s := range cp.gateway.Mux().Services() {
		services[s.Name] = "running"
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"status": "running", "version": cp.Version, "iam": cp.Mode, "services": services,
	})
}

// reset empties all state. It is the one request that is not signed and
// changes something, which is why --allow-reset is not the default.
func (cp *ControlPlane) reset(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", "POST")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	case within(cp.subnet, r.RemoteAddr):
		http.Error(w, "not for tasks: they may do what their roles allow", http.StatusForbidden)
		return
	case r.Header.Get("Origin") != "":
		// Any page in a browser on this machine can send such a request.
		http.Error(w, "not for pages in a browser", http.StatusForbidden)
		return
	case !cp.AllowReset:
		http.Error(w, "start remit serve with --allow-reset to allow this", http.StatusForbidden)
		return
	}
	trails, err := cp.trails(r.Context())
	if err == nil {
		err = cp.resetState(r.Context())
	}
	if err == nil {
		// Whoever reads an emptied trail shall know why it is empty.
		err = cp.gateway.Happened(r, "Reset", trails...)
	}
	if err != nil {
		cp.Log.Error("reset", "error", err)
		http.Error(w, "the state could not be emptied: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintln(w, `{"status":"reset"}`)
}

// trails are the streams of records that are there, and that of the server's
// own account and region.
func (cp *ControlPlane) trails(ctx context.Context) ([]string, error) {
	streams, err := cp.store.Streams(ctx, audit.Streams)
	if err != nil {
		return nil, err
	}
	names := []string{audit.Stream(cp.Account, cp.Options.Region)}
	for _, s := range streams {
		if account, region := audit.OfStream(s); account != "" && region != "" {
			names = append(names, s)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// Banner says what a person has to know about the running server: how far
// roles bind, how signatures are checked, and each way around them.
func (cp *ControlPlane) Banner() []string {
	lines := []string{fmt.Sprintf("Remit %s at %s, account %s", cp.Version, cp.endpoint, cp.Account)}
	if n := len(cp.Accounts.Accounts()); n > 1 || cp.Accounts.OrganizationID() != "" {
		line := fmt.Sprintf("Accounts: %d, no organization", n)
		if org := cp.Accounts.OrganizationID(); org != "" {
			line = fmt.Sprintf("Accounts: %d, organization %s managed by %s", n, org, cp.Accounts.ManagementAccount())
		}
		lines = append(lines, line)
	}
	signatures, binding := "verified (SigV4)", "roles bind"
	switch cp.Mode {
	case gateway.Soft:
		binding = "WHAT WOULD BE DENIED IS RECORDED AND ALLOWED"
	case gateway.Off:
		binding, signatures = "NOTHING IS ENFORCED", "NOT VERIFIED: any key is the account's root"
	}
	lines = append(lines, fmt.Sprintf("IAM: %s (%s)", cp.Mode, binding), "Signatures: "+signatures)
	var bypasses []string
	if cp.AllowReset {
		bypasses = append(bypasses, "POST /_remit/reset empties all state, unsigned")
	}
	if cp.InsecureHTTP && cp.TLSCert == "" {
		bypasses = append(bypasses, "plain http off loopback")
	}
	if len(bypasses) == 0 {
		bypasses = []string{"none"}
	}
	lines = append(lines, "Bypasses: "+strings.Join(bypasses, "; "), "Tasks: "+cp.tasksLine())
	for _, w := range slices.Compact(slices.Clone(cp.warnings)) {
		lines = append(lines, "Warning: "+w)
	}
	if cp.temp {
		lines = append(lines, "State: temporary, removed at exit (--data DIR keeps it)")
	} else {
		lines = append(lines, "State: "+cp.data)
	}
	return lines
}
