package console

import (
	"net"
	"net/http"
	"strings"
)

// guard keeps answers away from web pages: a page of a stranger's may point a name of its own at 127.0.0.1 and read what
// is there (DNS rebinding). Its name then stands in the header Host. Bodies nobody reads are bounded.
func guard(next http.Handler, local bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		if local && !loopback(hostOf(r.Host)) {
			http.Error(w, "this listener answers on loopback names alone: localhost, 127.0.0.1, [::1]", http.StatusMisdirectedRequest)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, mostBody)
		next.ServeHTTP(w, r)
	})
}

// hostOf is the host of a header Host, with or without a port.
func hostOf(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
}

// loopback tells whether only this machine is behind a host.
func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
