package configs

import (
	"net"
	"net/url"
	"strconv"
)

// HTTPAuto is the listener of /livez, /readyz and /metrics that nobody chose: 127.0.0.1:4280 for `flowgate up`, any free port
// of loopback for a worker, of which several may run on a machine.
const HTTPAuto = "auto"

// Telemetry says where spans go.
type Telemetry struct {
	// OTLPEndpoint is the URL of an OpenTelemetry collector that takes OTLP over HTTP; empty sends none.
	OTLPEndpoint string `yaml:"otlp_endpoint"`
}

func (f Flowgate) validateConsole(out *faults) {
	switch f.HTTP {
	case "", HTTPAuto:
	default:
		host, port, err := net.SplitHostPort(f.HTTP)
		if _, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil {
			out.add("flowgate.http", "must be host:port, such as 127.0.0.1:4280, auto, or empty for none")
		} else if !f.HTTPAllowRemote && !Loopback(host) {
			out.add("flowgate.http", "must be a loopback address, such as 127.0.0.1:4280: it asks for no password (flowgate.http_allow_remote: true permits others)")
		}
	}
	if e := f.Telemetry.OTLPEndpoint; e != "" {
		u, err := url.Parse(e)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
			out.add("flowgate.telemetry.otlp_endpoint", "must be http://host:4318 or https://…, without a password (headers come from OTEL_EXPORTER_OTLP_HEADERS)")
		}
	}
}
