package configs

import (
	"strings"
	"testing"
)

func TestWhereTheHTTPListenerIs(t *testing.T) {
	for name, c := range map[string]struct {
		file, variable, want, fault string
	}{
		"left out":                  {"", "", "auto", ""},
		"none":                      {"flowgate: {http: \"\"}", "", "", ""},
		"any port":                  {"flowgate: {http: '127.0.0.1:0'}", "", "127.0.0.1:0", ""},
		"IPv6":                      {"flowgate: {http: '[::1]:4280'}", "", "[::1]:4280", ""},
		"variable":                  {"flowgate: {http: '127.0.0.1:1'}", "localhost:2", "localhost:2", ""},
		"prometheus":                {"integrations: {prometheus: {enabled: true, port: 8000}}", "", "127.0.0.1:8000", ""},
		"prometheus, not enabled":   {"integrations: {prometheus: {enabled: false, port: 8000}}", "", "auto", ""},
		"prometheus and our own":    {"flowgate: {http: '127.0.0.1:1'}\nintegrations: {prometheus: {enabled: true, port: 8000}}", "", "127.0.0.1:1", ""},
		"not loopback":              {"flowgate: {http: '0.0.0.0:4280'}", "", "", "flowgate.http: must be a loopback address"},
		"every interface":           {"flowgate: {http: ':4280'}", "", "", "flowgate.http: must be a loopback address"},
		"not loopback, and allowed": {"flowgate: {http: '0.0.0.0:4280', http_allow_remote: true}", "", "0.0.0.0:4280", ""},
		"no port":                   {"flowgate: {http: localhost}", "", "", "flowgate.http: must be host:port"},
		"port over all ports":       {"integrations: {prometheus: {enabled: true, port: 70000}}", "", "", "integrations.prometheus.port: must be from 0 to 65535"},
		"collector with a password": {"flowgate: {telemetry: {otlp_endpoint: 'http://u:canary@h:4318'}}", "", "", "flowgate.telemetry.otlp_endpoint: must be http"},
	} {
		t.Run(name, func(t *testing.T) {
			env := func(variable string) (string, bool) {
				if variable != "FLOWGATE_HTTP" || c.variable == "" {
					return "", false
				}
				return c.variable, true
			}
			s, _, err := load("settings.yaml", []byte(c.file), env)
			if c.fault == "" && (err != nil || s.Flowgate.HTTP != c.want) {
				t.Errorf("%q, %v", s.Flowgate.HTTP, err)
			}
			if c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault) || strings.Contains(err.Error(), "canary")) {
				t.Errorf("the fault is %v", err)
			}
		})
	}
}
